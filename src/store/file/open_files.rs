//! The state files that this process has open. Closing any other handle of such a file, or of one beside it, would drop
//! SQLite's locks on it, which POSIX keeps per process. Another process could then rebuild the log's index while we use
//! it. So only SQLite may open these files.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

static IN_USE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Marks a state file as open while it is alive.
pub(crate) struct InUse(PathBuf);

impl InUse {
    /// Marks `path` as open in this process.
    pub(crate) fn mark(path: &Path) -> Self {
        let path = resolved(path);
        all().push(path.clone());
        Self(path)
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut all = all();
        if let Some(index) = all.iter().position(|path| *path == self.0) {
            all.swap_remove(index);
        }
    }
}

/// Whether this process has `path` open.
pub(crate) fn is_in_use(path: &Path) -> bool {
    let path = resolved(path);
    all().contains(&path)
}

fn all() -> MutexGuard<'static, Vec<PathBuf>> {
    IN_USE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One path for all names of a file.
fn resolved(path: &Path) -> PathBuf {
    path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_in_use_by_any_name_until_the_last_mark_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("b24relay.db"), folder.path().join("link"));
        std::fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(!is_in_use(&file));
        let marks = [InUse::mark(&file), InUse::mark(&link)];
        for mark in marks {
            assert!(is_in_use(&file) && is_in_use(&link) && is_in_use(&folder.path().join("./b24relay.db")));
            drop(mark);
        }
        assert!(!is_in_use(&file) && !is_in_use(&link));
    }
}
