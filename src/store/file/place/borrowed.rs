//! The rights of another user for one thread, which only Linux has.

#[cfg(target_os = "linux")]
pub(crate) use linux::Borrowed;

#[cfg(target_os = "linux")]
mod linux {
    use std::io;

    use rustix::fs::{Gid, Uid};
    use rustix::process::{getegid, getgroups};
    use rustix::thread::{
        CapabilitySet, capabilities, set_capabilities, set_thread_groups, set_thread_res_gid,
        set_thread_res_uid,
    };

    /// The rights of another user, for this thread alone and until dropped.
    pub(crate) struct Borrowed {
        group: Gid,
        groups: Vec<Gid>,
    }

    impl Borrowed {
        /// Takes the rights of the user `user` with the group `group` alone.
        pub(crate) fn take(user: u32, group: u32) -> io::Result<Self> {
            let groups = getgroups()?;
            set_thread_groups(&[])?;
            // From here on, a failure is undone.
            let borrowed = Self { group: getegid(), groups };
            set_thread_res_gid(None, Gid::from_raw(group), None)?;
            set_thread_res_uid(None, Uid::from_raw(user), None)?;
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
}

/// Elsewhere no thread has rights of its own.
#[cfg(not(target_os = "linux"))]
pub(crate) struct Borrowed;

#[cfg(not(target_os = "linux"))]
impl Borrowed {
    pub(crate) fn take(_: u32, _: u32) -> std::io::Result<Self> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
}
