//! The secrets in use. A file of them that changes is taken up while the relay runs; one that turns out to be
//! wrong changes nothing and is told once.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tracing::{info, warn};

use crate::config::{SigningConfig, SigningSecret};
use crate::shutdown::Signals;
use crate::sink::blocking;

/// The file is looked at no more often, and a file that was written within this time is left for the next
/// look: whoever writes it may not be done.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// See the top of this file.
pub(super) struct Keyring {
    key: String,
    file: Option<PathBuf>,
    signals: Signals,
    kept: Mutex<Kept>,
}

struct Kept {
    secrets: Arc<[SigningSecret]>,
    looked_at: Option<Instant>,
    nudges: u64,
    seen: Option<Mark>,
    /// What was told last, and of which file.
    trouble: Option<Trouble>,
}

/// What tells one content of a file from another without reading it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Mark {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A look at the file.
struct Look {
    seen: Option<Mark>,
    /// Only a file that was last written before this is taken.
    written_before: SystemTime,
}

enum Found {
    Same,
    Changed(Mark, Vec<SigningSecret>),
}

/// Why a file could not be taken.
#[derive(PartialEq, Eq, Debug)]
struct Trouble {
    mark: Option<Mark>,
    reason: String,
}

impl Keyring {
    pub(super) fn new(config: &SigningConfig, signals: Signals) -> Self {
        let kept = Kept {
            secrets: config.secrets.clone().into(),
            looked_at: None,
            nudges: signals.nudge_count(),
            seen: None,
            trouble: None,
        };
        Self { key: config.key.clone(), file: config.file.clone(), signals, kept: Mutex::new(kept) }
    }

    /// The secrets of now, the newest first; none when nothing is signed.
    pub(super) async fn secrets(&self) -> Arc<[SigningSecret]> {
        if let Some(file) = &self.file
            && let Some(look) = self.due_look()
        {
            let file = file.clone();
            let found = blocking(move || look.at(&file)).await;
            self.keep(found);
        }
        Arc::clone(&self.kept().secrets)
    }

    /// The next look when it is time for one: a second after the last one, or when a person says so.
    fn due_look(&self) -> Option<Look> {
        let mut kept = self.kept();
        let nudges = self.signals.nudge_count();
        let is_nudged = nudges != kept.nudges;
        if !is_nudged && kept.looked_at.is_some_and(|looked_at| looked_at.elapsed() < LOOK_INTERVAL) {
            return None;
        }
        kept.nudges = nudges;
        kept.looked_at = Some(Instant::now());
        let now = SystemTime::now();
        // Nobody sends SIGHUP before the file is written.
        let written_before = if is_nudged { now + LOOK_INTERVAL } else { now - LOOK_INTERVAL };
        Some(Look { seen: kept.seen, written_before })
    }

    fn keep(&self, found: Result<Found, Trouble>) {
        let (key, mut kept) = (&self.key, self.kept());
        match found {
            Ok(Found::Same) => {}
            Ok(Found::Changed(mark, secrets)) => {
                kept.seen = Some(mark);
                if *kept.secrets != *secrets || kept.trouble.is_some() {
                    info!(key, count = secrets.len(), "deliveries are signed with the secrets of the changed file");
                }
                kept.secrets = secrets.into();
                kept.trouble = None;
            }
            Err(trouble) => {
                // What is right again after a trouble is news, even when it is what it was before.
                kept.seen = None;
                if kept.trouble.as_ref() != Some(&trouble) {
                    let reason = &trouble.reason;
                    warn!(
                        key,
                        reason, "the changed file cannot be used: deliveries are signed with the secrets of before"
                    );
                }
                kept.trouble = Some(trouble);
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Look {
    fn at(&self, path: &Path) -> Result<Found, Trouble> {
        let unreadable = |error: io::Error| Trouble { mark: None, reason: format!("the file could not be read: {error}") };
        // A pipe has been read for good, and opening one may take for ever.
        if !fs::metadata(path).map_err(unreadable)?.is_file() {
            return Ok(Found::Same);
        }
        let file = File::open(path).map_err(unreadable)?;
        // Taken before the file is read: what is written meanwhile makes another mark.
        let metadata = file.metadata().map_err(unreadable)?;
        let mark = Mark::of(&metadata);
        let is_settled = metadata.modified().map_err(unreadable)? < self.written_before;
        // A clock that has been set back must not keep a file away for hours.
        let is_of_the_future = metadata.modified().map_err(unreadable)? > self.written_before + 2 * LOOK_INTERVAL;
        if self.seen == Some(mark) || !(is_settled || is_of_the_future) {
            return Ok(Found::Same);
        }
        match SigningSecret::read(file) {
            Ok(secrets) => Ok(Found::Changed(mark, secrets)),
            Err(reason) => Err(Trouble { mark: Some(mark), reason }),
        }
    }
}

impl Mark {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}
