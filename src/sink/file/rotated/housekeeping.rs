//! Maintenance of rotated files: deletes the oldest ones and compresses the others. It runs in parallel to
//! deliveries, on one thread for all sinks. Work that is interrupted by a crash or a stop is done after the
//! next start.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::{debug, warn};

use crate::failpoint;
use crate::log_code;
use crate::sink::file::path::sync_folder;
use crate::sink::file::rotated::compression;
use crate::sink::file::rotated::format::Format;
use crate::sink::file::rotated::rotation::{Naming, Past, Rotated};

/// How long the end of the process waits for work in progress. A drain should leave tidy files, but a large
/// file is not worth a longer wait, because its content is complete at every moment.
const PATIENCE: Duration = Duration::from_secs(2);

/// Compression uses a core and disk bandwidth, so only one file is compressed at a time, whatever the number
/// of sinks.
static TURN: Mutex<()> = Mutex::new(());

/// The rules for rotated files.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    pub keep: Option<u16>,
    pub format: Option<Format>,
}

/// The maintenance of one sink's files.
#[derive(Clone, Default)]
pub(crate) struct Housekeeper {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    is_idle: Condvar,
}

#[derive(Default)]
struct State {
    is_busy: bool,
    wanted: Option<(Naming, Rules)>,
}

impl Housekeeper {
    /// Starts to tidy the files, and returns at once.
    pub(crate) fn start(&self, naming: Naming, rules: Rules) {
        self.shared.state().wanted = Some((naming, rules));
        self.begin_with(|| ());
    }

    /// Runs `first` before the next tidying, and returns at once. Does nothing if one is already running.
    pub(crate) fn begin_with(&self, first: impl FnOnce() + Send + 'static) {
        let mut state = self.shared.state();
        if state.is_busy {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let started = thread::Builder::new().name("tidying".into()).spawn(move || {
            first();
            shared.run();
        });
        match started {
            Ok(_) => state.is_busy = true,
            Err(error) => {
                warn!(code = %log_code::FILES_NOT_TIDIED, %error, "cannot tidy up rotated files now");
            }
        }
    }

    /// Waits for work in progress, but only for a short time.
    pub(crate) fn wait(&self) {
        let waited =
            self.shared.is_idle.wait_timeout_while(self.shared.state(), PATIENCE, |state| state.is_busy);
        drop(waited);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        while let Some((naming, rules)) = self.next() {
            if let Err(error) = tidy(&naming, rules) {
                warn!(code = %log_code::FILES_NOT_TIDIED, %error, "cannot tidy up rotated files, will try again with the next one");
            }
        }
    }

    fn next(&self) -> Option<(Naming, Rules)> {
        let mut state = self.state();
        let wanted = state.wanted.take();
        if wanted.is_none() {
            state.is_busy = false;
            self.is_idle.notify_all();
        }
        wanted
    }
}

fn tidy(naming: &Naming, rules: Rules) -> io::Result<()> {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let Past { mut ours, .. } = naming.list()?;
    if let Some(keep) = rules.keep {
        delete_oldest(&mut ours, keep.into())?;
    }
    let Some(format) = rules.format else { return Ok(()) };
    for rotated in ours.iter().filter(|rotated| rotated.format.is_none()) {
        if let Some(twin) = ours.iter().find(|other| other.turn == rotated.turn && other.format.is_some()) {
            debug!(path = %twin.path.display(), "is in the way of compressing");
            continue;
        }
        if let Err(error) = compression::compress(&rotated.path, format) {
            warn!(code = %log_code::FILE_NOT_COMPRESSED, path = %rotated.path.display(), %error, "cannot compress a rotated file, will try again after the next one");
        }
    }
    Ok(())
}

/// Keeps only the newest `keep` files, compressed or not.
fn delete_oldest(ours: &mut Vec<Rotated>, keep: usize) -> io::Result<()> {
    let mut turns: Vec<_> = ours.iter().map(|rotated| rotated.turn).collect();
    turns.dedup();
    let Some(first) = turns.len().checked_sub(keep).and_then(|excess| turns.get(excess)).copied() else {
        return Ok(());
    };
    for rotated in ours.iter().filter(|rotated| rotated.turn < first) {
        failpoint::reached("deleting");
        fs::remove_file(&rotated.path).map_err(|error| named(&rotated.path, &error))?;
        failpoint::reached("deleted");
    }
    if let Some(rotated) = ours.first() {
        sync_folder(&rotated.path)?;
    }
    ours.retain(|rotated| rotated.turn >= first);
    Ok(())
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("`{}`: {error}", path.display()))
}
