//! Could a daemon work with the state file? Looked at only, as everything here is.

use std::path::Path;

use rustix::fs::{Access, access};

use super::finding::Finding;
use crate::cli::exit::Exit;
use crate::store::{Report, Store};

const FILE: &str = "file";

/// Looks at the state file at `path`, or at where it would be made.
pub fn examine(path: &Path) -> Finding {
    match path.try_exists() {
        Ok(true) => existing(path),
        Ok(false) => to_be_made(path),
        Err(error) => fail(format!("cannot look at it: {error}")),
    }
}

fn existing(path: &Path) -> Finding {
    match Store::report(path) {
        Ok(Report { trouble: Some(trouble), .. }) => fail(format!("takes nothing at the moment: {trouble}")),
        Ok(Report { holder: Some(holder), .. }) => Finding::ok(FILE, format!("in use by {holder}")),
        Ok(_) if access(path, Access::READ_OK | Access::WRITE_OK).is_err() => {
            fail("this user may not write to it".to_owned())
        }
        Ok(_) => Finding::ok(FILE, "can be used"),
        Err(error) => Finding::fail(FILE, Exit::Io, error.to_string(), ""),
    }
}

fn to_be_made(path: &Path) -> Finding {
    let or_here = |above: &Path| if above.as_os_str().is_empty() { ".".into() } else { above.to_owned() };
    let folder = path.ancestors().skip(1).map(or_here).find(|above| above.exists()).unwrap_or_default();
    let is_usable = folder.is_dir() && access(&folder, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    if is_usable {
        Finding::ok(FILE, "is made at the first start")
    } else {
        fail(format!("cannot be made: this user may not write to `{}`", folder.display()))
    }
}

fn fail(detail: String) -> Finding {
    Finding::fail(FILE, Exit::Io, detail, "correct `state`, or let this user write there")
}
