//! A file: each batch is one appending write and one `fdatasync`, and then counts as delivered.
//!
//! Delivery is exactly once. Each append returns a mark of where the file ended. After a crash, lines beyond
//! the mark of the last commit are recognised (`known`), so a repeated batch adds only the missing lines. A
//! failed write is truncated before the next try. Between two batches, the file is rotated if it is due
//! (`rotation`).

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use tracing::{debug, error, info, warn};

use crate::blocking;
use crate::config::{FileConfig, RotateConfig};
use crate::event::{Event, EventId, Queue};
use crate::failpoint;
use crate::log_code;
use crate::shutdown::Signals;
use crate::sink::contract::DeliverError;
use crate::sink::contract::Mark;
use crate::sink::contract::Sink;
use crate::sink::file::known::{self, KnownLines, QueueTag, tag_of};
use crate::sink::file::mark::FileMark;
use crate::sink::file::open_file::{OpenFile, PendingTruncate};
use crate::sink::file::path::{cautions, follow, identity_at, sync_folder};
use crate::sink::file::rotated::compression;
use crate::sink::file::rotated::files::Files;
use crate::sink::file::rotated::format::Format;
use crate::sink::file::rotated::housekeeping::{Housekeeper, Rules};
use crate::sink::file::rotated::rotation::{self, Naming, Past, Turn};

/// The size of a line in addition to its payload, rounded up.
const LINE_OVERHEAD: usize = 160;

/// Marks by queue, from lanes that resume after a restart.
type Marks = HashMap<QueueTag, Option<Mark>>;

/// The `file` sink.
pub(crate) struct FileSink {
    signals: Signals,
    writer: Arc<Mutex<Writer>>,
    /// Input for the next append. Separate from the writer, which may be waiting for the disk.
    resumed: Arc<Mutex<Marks>>,
    housekeeper: Housekeeper,
    /// `rotate.size`.
    rotates_at: Option<u64>,
}

impl FileSink {
    /// Prepares the file on another thread, so that a disk that hangs does not delay the start. Errors are
    /// reported by the first attempt.
    pub(crate) fn new(config: FileConfig, signals: Signals) -> Self {
        let housekeeper = Housekeeper::default();
        let resumed = Arc::default();
        let rotates_at = config.rotate.and_then(|rotate| rotate.size);
        let writer = Arc::new(Mutex::new(Writer::new(config, housekeeper.clone(), Arc::clone(&resumed))));
        let prepared = Arc::clone(&writer);
        housekeeper.begin_with(move || prepared.lock().unwrap_or_else(PoisonError::into_inner).prepare());
        Self { signals, writer, resumed, housekeeper, rotates_at }
    }
}

impl Drop for FileSink {
    fn drop(&mut self) {
        self.housekeeper.wait();
    }
}

#[async_trait]
impl Sink for FileSink {
    /// One `fdatasync` serves a whole batch.
    fn attempt_max(&self) -> usize {
        usize::MAX
    }

    /// One write goes into one file, so it is limited to a part of a file, including the overhead of lines.
    fn attempt_bytes(&self) -> u64 {
        self.rotates_at.map_or(u64::MAX, |size| size / 4)
    }

    async fn deliver(&self, events: &[&Event]) -> Result<Option<Mark>, DeliverError> {
        let Some(first) = events.first() else { return Ok(None) };
        let tag = tag_of(&first.queue);
        let lines = Lines::of(events);
        let (writer, nudge_count) = (Arc::clone(&self.writer), self.signals.nudge_count());
        blocking::run(move || {
            // A panic leaves the same state as a crash, and the next append handles that.
            writer.lock().unwrap_or_else(PoisonError::into_inner).append(&tag, &lines, nudge_count)
        })
        .await
    }

    fn resume(&self, queue: &Arc<Queue>, mark: Option<&str>) {
        let mark = mark.map(|mark| Mark::new(mark.to_owned()));
        self.resumed.lock().unwrap_or_else(PoisonError::into_inner).insert(tag_of(queue), mark);
    }
}

/// Events rendered as consecutive lines.
struct Lines {
    bytes: Vec<u8>,
    /// Each line's event and the end of the line.
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

    fn iter(&self) -> impl Iterator<Item = (EventId, &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |(id, end)| {
            let line = &self.bytes[start..*end];
            start = *end;
            (*id, line)
        })
    }

    /// The lines that are not yet in the file. Usually these are all lines, and nothing is copied.
    fn missing_in(&self, known: Option<&KnownLines>) -> Cow<'_, [u8]> {
        let Some(known) = known else { return Cow::Borrowed(&self.bytes) };
        let missing = self.iter().filter(|(id, line)| !known.holds(*id, line));
        Cow::Owned(missing.flat_map(|(_, line)| line).copied().collect())
    }
}

struct Writer {
    config: FileConfig,
    opened: Option<OpenFile>,
    /// The number of nudges at the time it was opened.
    nudge_count: u64,
    /// Lines whose events may be delivered again.
    known: HashMap<QueueTag, KnownLines>,
    /// Queues to search for known lines before the next append.
    resumed: Arc<Mutex<Marks>>,
    unsearched: Marks,
    /// True once the files of an earlier run are repaired.
    is_repaired: bool,
    pending_truncate: Option<PendingTruncate>,
    /// The last turn of a rotated file, from before the first one was compressed by this process.
    last_turn: Option<Turn>,
    housekeeper: Housekeeper,
    /// True if rotation failed and the failure was logged.
    is_stuck: bool,
}

impl Writer {
    fn new(config: FileConfig, housekeeper: Housekeeper, resumed: Arc<Mutex<Marks>>) -> Self {
        Self {
            config,
            opened: None,
            nudge_count: 0,
            known: HashMap::new(),
            resumed,
            unsearched: HashMap::new(),
            is_repaired: false,
            pending_truncate: None,
            last_turn: None,
            housekeeper,
            is_stuck: false,
        }
    }

    /// Warns about other users with access, and opens the files of an earlier run, so that duplicate files
    /// exist no longer than necessary.
    fn prepare(&mut self) {
        for caution in cautions(&self.config.path) {
            warn!(code = %log_code::FILE_EXPOSED, path = %self.config.path.display(), "{caution}");
        }
        if self.config.rotate.is_none() {
            return;
        }
        let path = follow(&self.config.path);
        let past = path.and_then(|place| Ok((place.exists(), Naming::try_new(&place)?.list()?)));
        if past.is_ok_and(|(is_there, past)| is_there || !past.ours.is_empty()) && self.repair_past().is_err()
        {
            self.opened = None;
        }
    }

    fn append(
        &mut self,
        tag: &QueueTag,
        lines: &Lines,
        nudge_count: u64,
    ) -> Result<Option<Mark>, DeliverError> {
        self.try_append(tag, lines, nudge_count).map_err(|error| {
            // Examine the file again before the next try, whatever the error was.
            self.opened = None;
            explain(&self.config.path, &error)
        })
    }

    fn try_append(&mut self, tag: &QueueTag, lines: &Lines, nudge_count: u64) -> io::Result<Option<Mark>> {
        if let Some(pending_truncate) = &self.pending_truncate {
            pending_truncate.resolve(&self.config.path)?;
            self.pending_truncate = None;
        }
        self.let_go(nudge_count)?;
        self.repair_past()?;
        self.search_resumed()?;
        let bytes = lines.missing_in(self.known.get(tag));
        self.rotate_if_due(bytes.len() as u64)?;
        self.write(&bytes)?;
        Ok(self.mark_after(tag, lines))
    }

    /// The mark after `lines`, which are now in the file. While known lines of the queue have not been
    /// delivered again, the mark stays before them, so that they are also recognised after another crash. The
    /// mark also stays if the file cannot be read at the moment; its events are settled nevertheless.
    fn mark_after(&mut self, tag: &QueueTag, lines: &Lines) -> Option<Mark> {
        if let Some(known) = self.known.get_mut(tag) {
            lines.iter().for_each(|(id, line)| known.forget(id, line));
            if !known.is_empty() {
                return known.mark();
            }
            self.known.remove(tag);
        }
        // If all lines were known from older files, this file can be empty, and an empty file cannot be
        // identified. The previous mark is better.
        let mark = FileMark::at_end(&self.opened.as_ref()?.file).ok().filter(|mark| mark.length > 0)?;
        Some(Mark::new(mark.to_string()))
    }

    /// Closes the file if its path now refers to another file, or if a nudge arrived since it was opened.
    fn let_go(&mut self, nudge_count: u64) -> io::Result<()> {
        let is_nudged = std::mem::replace(&mut self.nudge_count, nudge_count) != nudge_count;
        let Some(opened) = &self.opened else { return Ok(()) };
        let path = self.config.path.display();
        if identity_at(&self.config.path)? != Some(opened.identity) {
            warn!(code = %log_code::FILE_REPLACED, %path, "the file was moved or deleted: continuing with a new one");
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

    /// Repairs the file and the rotated files after a crash, once per process, and starts the tidying of
    /// rotated files.
    fn repair_past(&mut self) -> io::Result<()> {
        if self.is_repaired {
            return Ok(());
        }
        self.opened()?;
        // An unsuitable file name is an error only when the file is rotated.
        if let Ok(naming) = Naming::try_new(&follow(&self.config.path)?) {
            let mut past = naming.list()?;
            warn_of_foreign(&past);
            self.last_turn = past.ours.last().map(|rotated| rotated.turn);
            compression::settle(&mut past);
            self.tidy(naming);
        }
        self.is_repaired = true;
        Ok(())
    }

    /// Searches for the lines of queues that were resumed since the last append.
    fn search_resumed(&mut self) -> io::Result<()> {
        let resumed = std::mem::take(&mut *self.resumed.lock().unwrap_or_else(PoisonError::into_inner));
        self.unsearched.extend(resumed);
        if self.unsearched.is_empty() {
            return Ok(());
        }
        let past = match Naming::try_new(&follow(&self.config.path)?) {
            Ok(naming) => naming.list()?,
            Err(_) => Past::default(),
        };
        let current = self.opened()?.file.try_clone()?;
        self.known.extend(known::search(&Files::new(&current, past), &self.unsearched)?);
        self.unsearched.clear();
        Ok(())
    }

    fn tidy(&self, naming: Naming) {
        if let Some(RotateConfig { keep, .. }) = self.config.rotate {
            self.housekeeper.start(naming, Rules { keep, format: Format::of(self.config.compress) });
        }
    }

    /// Rotates the file if the next `count` bytes belong in a new one.
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
                // Never write to the old file again, even after an error, because it may be being compressed.
                self.opened = None;
                sync_folder(&place)?;
                failpoint::reached("rotation_synced");
                self.opened()?;
                failpoint::reached("rotation_created");
                self.tidy(naming);
            }
            // Events are more important than the rotation of files.
            Err(error) if !self.is_stuck => {
                self.is_stuck = true;
                error!(code = %log_code::FILE_NOT_ROTATED, %path, %error, "cannot rotate the file: events are still written to it; make its folder writable");
            }
            Err(error) => debug!(%path, %error, "cannot rotate the file"),
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let opened = self.opened()?;
        let length = opened.file.metadata()?.len();
        let written = opened.append(bytes, length);
        written.map_err(|(error, pending_truncate)| {
            self.pending_truncate = pending_truncate;
            error
        })
    }
}

fn warn_of_foreign(past: &Past) {
    if let Some(path) = past.foreign.first() {
        warn!(
            code = %log_code::FILES_IGNORED,
            path = %path.display(),
            count = past.foreign.len(),
            "ignoring files that are named like rotated files, but are no regular files of this user"
        );
    }
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
