//! A file: one appending write and one `fdatasync` a batch, then it counts as delivered.
//!
//! Exactly once: what a crash left behind is found again when the file is first opened (`tail`), so a
//! repeated batch adds only what is missing. A write that failed is cut off again before the next try.
//! Between two batches the file is put aside when it is time (`rotation`).

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use tracing::{debug, error, info, warn};

use super::compression::{self, Format};
use super::open_file::{Doubt, OpenFile, open_outside, open_past};
use super::place::{cautions, follow, identity_at, sync_folder};
use super::rotation::{self, Naming, Turn};
use super::tail::{Tail, Tails};
use super::tidying::{Rules, Tidier};
use super::{DeliverError, Sink};
use crate::blocking;
use crate::config::{FileConfig, RotateConfig};
use crate::event::{Event, EventId, Queue};
use crate::failpoint;
use crate::shutdown::Signals;

/// What a line needs besides its payload, generously.
const LINE_OVERHEAD: usize = 160;

/// How many files of before are searched, at most: each costs an opening and a sync, and the last attempt of
/// every source is in the newest.
const SEARCHED_FILES_MAX: usize = 1000;

/// The `file` sink.
pub struct FileSink {
    signals: Signals,
    writer: Arc<Mutex<Writer>>,
    tidier: Tidier,
}

impl FileSink {
    /// Looks at the folder on another thread, so that a disk that hangs does not delay the start. Errors are left to the
    /// first attempt.
    pub fn new(config: FileConfig, signals: Signals) -> Self {
        let tidier = Tidier::default();
        let writer = Arc::new(Mutex::new(Writer::new(config, tidier.clone())));
        let prepared = Arc::clone(&writer);
        tidier.begin_with(move || prepared.lock().unwrap_or_else(PoisonError::into_inner).prepare());
        Self { signals, writer, tidier }
    }
}

impl Drop for FileSink {
    fn drop(&mut self) {
        self.tidier.wait();
    }
}

#[async_trait]
impl Sink for FileSink {
    /// A whole batch shares one `fdatasync`.
    fn attempt_max(&self) -> usize {
        usize::MAX
    }

    async fn deliver(&self, events: &[&Event]) -> Result<(), DeliverError> {
        let Some(first) = events.first() else { return Ok(()) };
        let queue = Arc::clone(&first.queue);
        let lines = Lines::of(events);
        let (writer, nudge_count) = (Arc::clone(&self.writer), self.signals.nudge_count());
        blocking::run(move || {
            // A panic half-way leaves what a crash leaves, and the next append copes with that.
            writer.lock().unwrap_or_else(PoisonError::into_inner).append(&queue, lines, nudge_count)
        })
        .await
    }
}

/// Events, rendered one behind the other.
struct Lines {
    bytes: Vec<u8>,
    /// Each line's event, and where the line ends.
    ends: Vec<(EventId, usize)>,
}

impl Lines {
    fn of(events: &[&Event]) -> Self {
        let size = events.iter().map(|event| event.data.get().len() + LINE_OVERHEAD).sum();
        let (mut bytes, mut ends) = (Vec::with_capacity(size), Vec::with_capacity(events.len()));
        for event in events {
            event.write_line(&mut bytes);
            ends.push((event.id, bytes.len()));
        }
        Self { bytes, ends }
    }

    /// The lines that `tail` does not hold. Nearly always that is all of them, and nothing is copied.
    fn missing_in(self, tail: Option<&Tail>) -> Vec<u8> {
        let Some(tail) = tail else { return self.bytes };
        let mut missing = Vec::new();
        let mut start = 0;
        for (id, end) in self.ends {
            let line = &self.bytes[start..end];
            if !tail.holds(id, line) {
                missing.extend_from_slice(line);
            }
            start = end;
        }
        missing
    }
}

struct Writer {
    config: FileConfig,
    opened: Option<OpenFile>,
    /// The nudges that had come when it was opened.
    nudge_count: u64,
    /// What was there before this process; not looked for yet without.
    tails: Option<Tails>,
    doubt: Option<Doubt>,
    /// The last turn of a rotated file, from before the first one was compressed by this process.
    last_turn: Option<Turn>,
    tidier: Tidier,
    /// Rotating failed, which has been said.
    is_stuck: bool,
}

impl Writer {
    fn new(config: FileConfig, tidier: Tidier) -> Self {
        Self {
            config,
            opened: None,
            nudge_count: 0,
            tails: None,
            doubt: None,
            last_turn: None,
            tidier,
            is_stuck: false,
        }
    }

    /// Warns about other users, and opens what a run before has left, so that nothing is there twice for longer
    /// than need be.
    fn prepare(&mut self) {
        for caution in cautions(&self.config.path) {
            warn!(path = %self.config.path.display(), "{caution}");
        }
        if self.config.rotate.is_none() {
            return;
        }
        let path = follow(&self.config.path);
        let past = path.and_then(|place| Ok((place.exists(), Naming::try_new(&place)?.list()?)));
        if past.is_ok_and(|(is_there, past)| is_there || !past.ours.is_empty()) && self.search().is_err() {
            self.opened = None;
        }
    }

    fn append(&mut self, queue: &Queue, lines: Lines, nudge_count: u64) -> Result<(), DeliverError> {
        self.try_append(queue, lines, nudge_count).map_err(|error| {
            // Whatever happened: look at the file afresh before the next try.
            self.opened = None;
            explain(&self.config.path, &error)
        })
    }

    fn try_append(&mut self, queue: &Queue, lines: Lines, nudge_count: u64) -> io::Result<()> {
        if let Some(doubt) = &self.doubt {
            doubt.resolve(&self.config.path)?;
            self.doubt = None;
        }
        self.let_go(nudge_count)?;
        self.search()?;
        let count = lines.ends.len();
        let bytes = lines.missing_in(self.tails.as_ref().and_then(|tails| tails.of(queue)));
        self.rotate_if_due(bytes.len() as u64)?;
        self.write(&bytes)?;
        if let Some(tails) = &mut self.tails {
            tails.forget_after(queue, count);
        }
        Ok(())
    }

    /// Closes the file when its path leads elsewhere by now, or when a nudge has come since it was opened.
    fn let_go(&mut self, nudge_count: u64) -> io::Result<()> {
        let is_nudged = std::mem::replace(&mut self.nudge_count, nudge_count) != nudge_count;
        let Some(opened) = &self.opened else { return Ok(()) };
        let path = self.config.path.display();
        if identity_at(&self.config.path)? != Some(opened.identity) {
            warn!(%path, "the file was moved or deleted: going on with a new one");
            self.opened = None;
        } else if is_nudged {
            info!(%path, "reopening the file");
            self.opened = None;
        }
        Ok(())
    }

    fn opened(&mut self) -> io::Result<&OpenFile> {
        match &mut self.opened {
            Some(opened) => Ok(opened),
            none => Ok(none.insert(OpenFile::open(&follow(&self.config.path)?, self.config.mode)?)),
        }
    }

    /// Finds out what was there before this process, once in its life: what came later it knows by itself.
    fn search(&mut self) -> io::Result<()> {
        if self.tails.is_some() {
            return Ok(());
        }
        let mut tails = Tails::default();
        tails.search(&self.opened()?.file)?;
        // A name that makes no others is refused when there is something to rotate.
        if let Ok(naming) = Naming::try_new(&follow(&self.config.path)?) {
            self.last_turn = search_past(&naming, &mut tails)?;
            self.tidy(naming);
        }
        self.tails = Some(tails);
        Ok(())
    }

    fn tidy(&self, naming: Naming) {
        if let Some(RotateConfig { keep, .. }) = self.config.rotate {
            self.tidier.start(naming, Rules { keep, format: Format::of(self.config.compress) });
        }
    }

    /// Puts the file aside when `count` more bytes are for a new one.
    fn rotate_if_due(&mut self, count: u64) -> io::Result<()> {
        let Some(config) = self.config.rotate.filter(|_| count > 0) else { return Ok(()) };
        let metadata = self.opened()?.file.metadata()?;
        if !rotation::is_due(config, metadata.len(), metadata.modified()?, SystemTime::now(), count) {
            return Ok(());
        }
        let place = follow(&self.config.path)?;
        let path = place.display();
        let rotated = Naming::try_new(&place).and_then(|naming| Ok((naming.rotate(self.last_turn)?, naming)));
        match rotated {
            Ok((rotated, naming)) => {
                debug!(%path, rotated = %rotated.path.display(), "file rotated");
                self.last_turn = Some(rotated.turn);
                self.is_stuck = false;
                // From here on nothing goes into the old one, whatever fails: it may be being compressed.
                self.opened = None;
                sync_folder(&place)?;
                failpoint::reached("rotation_synced");
                self.opened()?;
                failpoint::reached("rotation_created");
                self.tidy(naming);
            }
            // Events are worth more than the order among files.
            Err(error) if !self.is_stuck => {
                self.is_stuck = true;
                error!(%path, %error, "cannot rotate the file: events go on into it; make its folder writable");
            }
            Err(error) => debug!(%path, %error, "cannot rotate the file"),
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let opened = self.opened()?;
        let length = opened.file.metadata()?.len();
        let written = opened.append(bytes, length);
        written.map_err(|(error, doubt)| {
            self.doubt = doubt;
            error
        })
    }
}

/// How a file of before is opened.
type Open = fn(&Path) -> io::Result<File>;

/// Adds what lies beside the file to `tails`, the newest first, and puts right what a crash left there. Returns the
/// turn of the last rotated file.
fn search_past(naming: &Naming, tails: &mut Tails) -> io::Result<Option<Turn>> {
    let mut past = naming.list()?;
    let last_turn = past.ours.last().map(|rotated| rotated.turn);
    if let Some(path) = past.foreign.first() {
        warn!(
            path = %path.display(),
            count = past.foreign.len(),
            "ignoring what has the name of a rotated file and is not a regular file of this user"
        );
    }
    compression::settle(&mut past);
    let ours = past.ours.into_iter().rev().map(|rotated| (rotated.path, open_past as Open));
    let outside = past.outside.into_iter().map(|path| (path, open_outside as Open));
    let mut files: Vec<(SystemTime, PathBuf, Open)> = Vec::new();
    for (path, open) in ours.chain(outside) {
        let written = path.metadata().and_then(|metadata| metadata.modified());
        files.push((written.unwrap_or(SystemTime::UNIX_EPOCH), path, open));
    }
    // Stable: ours stay in the order of their names where the clock of the disk is too coarse.
    files.sort_by_key(|(written, ..)| std::cmp::Reverse(*written));
    for (_, path, open) in files.into_iter().take(SEARCHED_FILES_MAX) {
        if !tails.wants_more() {
            break;
        }
        if let Err(error) = open(&path).and_then(|file| tails.search(&file)) {
            warn!(path = %path.display(), %error, "cannot look for events in a rotated file");
        }
    }
    Ok(last_turn)
}

fn explain(path: &Path, error: &io::Error) -> DeliverError {
    let reason = format!("cannot write `{}`: {error}", path.display());
    match error.kind() {
        ErrorKind::PermissionDenied
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::IsADirectory
        | ErrorKind::NotADirectory
        | ErrorKind::NotFound
        | ErrorKind::InvalidInput
        | ErrorKind::ResourceBusy => DeliverError::Held { reason, wait: None },
        _ => DeliverError::Transient { reason, wait: None },
    }
}
