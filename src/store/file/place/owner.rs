//! A command that root runs on another user's state works with that user's rights. So files that this user has planted
//! there lead no further than the user could go alone, and new files belong to the user.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::geteuid;

use crate::store::file::place::borrowed::Borrowed;
use crate::store::file::place::durable_dir;
use crate::symlinks;

/// The owner of the files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Owner {
    user: u32,
    group: u32,
}

/// Runs `work` as the owner of the state at `path` if this process is root and the owner is not. Without the right to
/// change users, as in a container without capabilities, the checks of `place` must be enough.
pub(crate) fn as_owner<T>(path: &Path, work: impl FnOnce() -> T) -> T {
    let owner = if geteuid().is_root() { owner_of(path) } else { None };
    let _borrowed = owner.and_then(|owner| Borrowed::take(owner.user, owner.group).ok());
    work()
}

/// The owner of the state at `path`, if that is not root.
fn owner_of(path: &Path) -> Option<Owner> {
    // The folder of a link may be another user's, and so may the folder of its target.
    owner_at(path).or_else(|| owner_at(&symlinks::resolve(path).ok()?))
}

fn owner_at(path: &Path) -> Option<Owner> {
    let folder = path.ancestors().skip(1).find_map(|folder| durable_dir::or_here(folder).metadata().ok())?;
    // The owner of the existing file, even if it is a link.
    let chosen = match path.symlink_metadata() {
        Ok(file) if file.uid() == 0 || folder.uid() == 0 => file,
        _ => folder,
    };
    Some(Owner { user: chosen.uid(), group: chosen.gid() }).filter(|owner| owner.user != 0)
}
