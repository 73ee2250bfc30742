//! Symbolic links on the way to the state file.

use std::io;
use std::path::{Path, PathBuf};

use crate::store::file::place::durable_dir;

/// How many links are followed, as many as by the kernel.
const LINKS_MAX: usize = 40;

/// The target of `path`. If its folder exists, the result contains no links.
pub(crate) fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut place = std::path::absolute(path)?;
    for _ in 0..LINKS_MAX {
        match std::fs::read_link(&place) {
            Ok(target) => place = durable_dir::of(&place).join(target),
            // It is not a link, or it does not exist.
            Err(_) => return follow_folder(&place),
        }
    }
    Err(io::Error::other("its symbolic links form a loop"))
}

/// The path with the links of its folder resolved, if the folder exists. The last name is not followed.
pub(crate) fn follow_folder(path: &Path) -> io::Result<PathBuf> {
    match (durable_dir::of(path).canonicalize(), path.file_name()) {
        (Ok(folder), Some(name)) => Ok(folder.join(name)),
        _ => std::path::absolute(path),
    }
}
