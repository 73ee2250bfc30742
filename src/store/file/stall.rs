//! The notice that the state file cannot be written. It cannot be stored in that file, so it is in the lock file, where
//! this process and others can read it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::store::file::lock::Lock;

/// All waits for one state file.
pub struct StallNotice {
    lock: Lock,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    next: u64,
    reasons: BTreeMap<u64, String>,
}

/// One wait for the state file, until it is dropped.
pub struct Wait {
    number: u64,
    waits: Arc<StallNotice>,
}

impl StallNotice {
    /// The waits of the holder of `lock`.
    pub fn new(lock: Lock) -> Arc<Self> {
        Arc::new(Self { lock, known: Mutex::default() })
    }

    /// The lock of their process.
    pub fn lock(&self) -> &Lock {
        &self.lock
    }

    /// Begins a wait, for `reason`.
    pub fn begin(self: &Arc<Self>, reason: String) -> Wait {
        let mut number = 0;
        self.change(|known| {
            number = known.next;
            known.next += 1;
            known.reasons.insert(number, reason);
        });
        Wait { number, waits: Arc::clone(self) }
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut known);
        self.lock.tell(known.reasons.first_key_value().map_or("", |(_, reason)| reason));
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.waits.change(|known| drop(known.reasons.remove(&self.number)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_there_as_long_as_anybody_waits() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state.db");
        let waits = StallNotice::new(Lock::acquire(&state).unwrap());
        waits.lock().sign();
        let told = || Lock::holder(&state).unwrap().trouble;
        assert_eq!(told(), None);
        let (one, other) = (waits.begin("full".to_owned()), waits.begin("still\nfull".to_owned()));
        assert_eq!(told().as_deref(), Some("full"));
        drop(one);
        assert_eq!(told().as_deref(), Some("still full"));
        drop(other);
        assert_eq!(told(), None);
        drop(waits);
        assert!(Lock::holder(&state).is_none());
    }
}
