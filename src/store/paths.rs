//! Names of the files beside the state file.

use std::path::{Path, PathBuf};

/// A neighbour of the state file: its path with `suffix` appended.
pub fn neighbour(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
