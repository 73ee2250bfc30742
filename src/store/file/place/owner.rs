//! A command that root runs on another user's state works with that user's rights. So files that this user has planted
//! there lead no further than the user could go alone, and new files belong to the user.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{Gid, Uid};
use rustix::process::{getegid, geteuid, getgroups};
use rustix::thread::{
    CapabilitySet, capabilities, set_capabilities, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

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
    let _borrowed = owner.and_then(|owner| Borrowed::take(owner).ok());
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

/// The rights of another user, for this thread alone and until dropped.
struct Borrowed {
    group: Gid,
    groups: Vec<Gid>,
}

impl Borrowed {
    fn take(owner: Owner) -> io::Result<Self> {
        let groups = getgroups()?;
        set_thread_groups(&[])?;
        // From here on, a failure is undone.
        let borrowed = Self { group: getegid(), groups };
        set_thread_res_gid(None, Gid::from_raw(owner.group), None)?;
        set_thread_res_uid(None, Uid::from_raw(owner.user), None)?;
        keep_reading();
        Ok(borrowed)
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        let is_back = set_thread_res_uid(None, Uid::ROOT, None)
            .and_then(|()| set_thread_res_gid(None, self.group, None))
            .and_then(|()| set_thread_groups(&self.groups));
        if is_back.is_err() {
            // Otherwise the thread would go on with unexpected rights. The kernel does not refuse this to root.
            std::process::abort();
        }
    }
}

/// Keeps root's right to read everywhere: a folder above the state may be for root alone, like `/var/lib/private` of
/// systemd. Without that right, paths that the owner cannot reach are refused.
fn keep_reading() {
    if let Ok(mut sets) = capabilities(None) {
        sets.effective |= sets.permitted & CapabilitySet::DAC_READ_SEARCH;
        set_capabilities(None, sets).ok();
    }
}
