//! Symbolic links: which file a path stands for, even if that file does not exist yet.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The kernel follows at most this many links.
const LINKS_MAX: usize = 40;

/// The target of `path` if it is a link, else `path` itself. Calls `check` with every link before it is followed.
///
/// # Errors
/// Those of `check`, links that form a loop, and links that cannot be read.
pub(crate) fn follow(path: &Path, check: impl Fn(&Path) -> io::Result<()>) -> io::Result<PathBuf> {
    let mut place = path.to_owned();
    for _ in 0..LINKS_MAX {
        match fs::read_link(&place) {
            Ok(target) => {
                check(&place)?;
                place = folder_of(&place).join(target);
            }
            Err(error) => match error.kind() {
                // The kernel returns this error for a path that is not a link.
                ErrorKind::InvalidInput | ErrorKind::NotFound | ErrorKind::NotADirectory => return Ok(place),
                _ => return Err(error),
            },
        }
    }
    Err(io::Error::new(ErrorKind::InvalidInput, "its symbolic links form a loop"))
}

/// The absolute path of the file that `path` stands for. If its folder exists, all paths to the same file have the same
/// result.
///
/// # Errors
/// Links that form a loop, and links that cannot be read.
pub(crate) fn resolve(path: &Path) -> io::Result<PathBuf> {
    resolve_folder(&follow(path, |_| Ok(()))?)
}

/// Like [`resolve`], but if `path` itself is a link, the result is the path of the link.
pub(crate) fn resolve_folder(path: &Path) -> io::Result<PathBuf> {
    match (folder_of(path).canonicalize(), path.file_name()) {
        (Ok(folder), Some(name)) => Ok(folder.join(name)),
        _ => std::path::absolute(path),
    }
}

/// The folder that contains the name `path`.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn all_paths_to_one_file_resolve_to_the_same_path() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path();
        fs::create_dir(base.join("a")).unwrap();
        symlink(base.join("a"), base.join("b")).unwrap();
        symlink("a/x", base.join("later")).unwrap();
        symlink("b/../later", base.join("twice")).unwrap();
        let expected = base.canonicalize().unwrap().join("a/x");
        for path in ["a/x", "a/./x", "a/../a/x", "b/x", "later", "twice"] {
            assert_eq!(resolve(&base.join(path)).unwrap(), expected, "{path}");
        }
        assert_eq!(resolve(Path::new("absent/x")).unwrap(), resolve(Path::new("./absent/x")).unwrap());
    }

    #[test]
    fn a_loop_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        symlink("link", &link).unwrap();
        assert!(resolve(&link).unwrap_err().to_string().contains("loop"));
    }

    #[test]
    fn a_refused_link_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        symlink("target", &link).unwrap();
        let refusal = follow(&link, |_| Err(ErrorKind::PermissionDenied.into())).unwrap_err();
        assert_eq!(refusal.kind(), ErrorKind::PermissionDenied);
    }
}
