//! Names of the files beside the state file.

use std::path::{Path, PathBuf};

/// The path of a file beside the state file: its path with `suffix` appended.
pub(super) fn sibling_path(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The suffix of the lock file.
pub(super) const LOCK_SUFFIX: &str = ".lock";

/// Whether the lock was ever taken, so that there has been a state.
pub(super) fn was_taken(state: &Path) -> bool {
    sibling_path(state, LOCK_SUFFIX).metadata().is_ok_and(|metadata| metadata.len() > 0)
}
