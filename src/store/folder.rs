//! The folders above the state file, whose names must outlive a power cut as it does (I3).

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

/// Creates the missing folders down to `folder`, each one's name on the disk before it is used.
pub fn create(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.exists() {
        return Ok(());
    }
    folder.parent().map_or(Ok(()), create)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => sync_name(folder),
    }
}

/// Makes the name of `folder` durable in the one that holds it.
fn sync_name(folder: &Path) -> io::Result<()> {
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(above)?.sync_all()
}
