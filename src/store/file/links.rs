//! Symbolic links on the way to the state file.

use std::io;
use std::path::{Path, PathBuf};

use crate::store::file::durable_dir;

/// As many as the kernel follows.
const LINKS_MAX: usize = 40;

/// Where `path` leads to, without any link in it as far as its folder exists.
pub fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut place = std::path::absolute(path)?;
    for _ in 0..LINKS_MAX {
        match std::fs::read_link(&place) {
            Ok(target) => place = durable_dir::of(&place).join(target),
            // Not a link, or nothing.
            Err(_) => return follow_folder(&place),
        }
    }
    Err(io::Error::other("its symbolic links form a loop"))
}

/// `path` without any link in it as far as its folder exists, but for the last name.
pub fn follow_folder(path: &Path) -> io::Result<PathBuf> {
    match (durable_dir::of(path).canonicalize(), path.file_name()) {
        (Ok(folder), Some(name)) => Ok(folder.join(name)),
        _ => std::path::absolute(path),
    }
}
