//! Checks whether a daemon could use the state file, without changing it.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::finding::Finding;
use crate::cli::exit_code::Exit;
use crate::store::{self, Inspection, Report, Soundness, Store, StoreError};

const FILE: &str = "file";

/// Checks the state file at `path`, or the folder in which it would be created. Also returns its content, if it is
/// readable.
pub(super) fn examine(path: &Path) -> (Finding, Option<Report>) {
    match Store::locate(path) {
        Ok(place) => examine_at(&place),
        Err(error) => (refused(error), None),
    }
}

fn examine_at(path: &Path) -> (Finding, Option<Report>) {
    let is_empty = path.metadata().is_ok_and(|found| found.is_file() && found.len() == 0);
    match path.try_exists() {
        Ok(true) if is_empty && Store::report(path).is_err_and(|error| is_missing(&error)) => {
            (to_be_made(path), None)
        }
        Ok(true) => existing(path),
        Ok(false) => (to_be_made(path), None),
        Err(error) => (fail(format!("cannot look at it: {error}")), None),
    }
}

/// Whether there is no state yet. `run` treats an empty file that was never used in the same way.
fn is_missing(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable { .. })
}

fn existing(path: &Path) -> (Finding, Option<Report>) {
    let report = match Store::report(path) {
        Ok(report) => report,
        Err(error) => return (refused(error), None),
    };
    let finding = match &report {
        Report { trouble: Some(trouble), .. } => fail(format!("takes nothing at the moment: {trouble}")),
        // The process that holds the file checked all of it at its start.
        Report { holder: Some(holder), .. } => Finding::ok(FILE, format!("in use by {holder}")),
        Report { .. } => usable(path),
    };
    (finding, Some(report))
}

/// Checks the file in the same way as the next start.
fn usable(path: &Path) -> Finding {
    let lock = beside(path, ".lock");
    if access(path, Access::READ_OK | Access::WRITE_OK).is_err() {
        return fail("this user may not write to it".to_owned());
    }
    if lock.exists() && access(&lock, Access::READ_OK | Access::WRITE_OK).is_err() {
        return fail(format!("this user may not write to its lock file `{}`", lock.display()));
    }
    let folder = path.parent().unwrap_or(path);
    if access(folder, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        return fail(format!("this user may not write to its folder `{}`", folder.display()));
    }
    let Inspection { soundness, findings, .. } = match Store::inspect(path) {
        Ok(inspection) => inspection,
        Err(error) => return refused(error),
    };
    let exit = match soundness {
        Soundness::Sound => return Finding::ok(FILE, "can be used"),
        Soundness::Damaged => Exit::Io,
        Soundness::Foreign => Exit::Config,
    };
    let wrong: Vec<String> = findings.into_iter().filter_map(store::Finding::trouble).collect();
    let hint = "`b24relay state check` shows what is left and what to do";
    Finding::fail(FILE, exit, format!("it is damaged: {}", wrong.join("; ")), hint)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The finding with the exit code that `run` would have.
fn refused(error: StoreError) -> Finding {
    let detail = error.to_string();
    Finding::fail(FILE, Exit::of(&error.into()), detail, "")
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
