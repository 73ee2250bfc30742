//! A file: one appending write and one `fdatasync` a batch, then it counts as delivered.
//!
//! Exactly once: what a crash left behind is found again when the file is opened (`tail`), so a
//! repeated batch adds only what is missing. A write that failed is cut off again before the next try.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tracing::{info, warn};

use super::tail::{self, Tail};
use super::{DeliverError, Sink, blocking};
use crate::config::FileConfig;
use crate::event::{Event, EventId, Queue};
use crate::shutdown::Signals;

/// What a line needs besides its payload, generously.
const LINE_OVERHEAD: usize = 160;

/// The `file` sink.
pub struct FileSink {
    signals: Signals,
    writer: Arc<Mutex<Writer>>,
}

impl FileSink {
    pub fn new(config: FileConfig, signals: Signals) -> Self {
        Self { signals, writer: Arc::new(Mutex::new(Writer { config, opened: None })) }
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
        blocking(move || {
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
    fn missing_in(self, tail: &Tail) -> Vec<u8> {
        if tail.is_empty() {
            return self.bytes;
        }
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
    opened: Option<Opened>,
}

impl Writer {
    fn append(&mut self, queue: &Queue, lines: Lines, nudge_count: u64) -> Result<(), DeliverError> {
        let result = self.opened(nudge_count).and_then(|opened| opened.append(queue, lines));
        result.map_err(|error| {
            // Whatever happened: look at the file afresh before the next try.
            self.opened = None;
            explain(&self.config.path, &error)
        })
    }

    /// The file, opened again when a nudge has come since: it may have been moved away.
    fn opened(&mut self, nudge_count: u64) -> io::Result<&mut Opened> {
        if self.opened.as_ref().is_some_and(|opened| opened.nudge_count != nudge_count) {
            info!(path = %self.config.path.display(), "reopening the file");
            self.opened = None;
        }
        match &mut self.opened {
            Some(opened) => Ok(opened),
            none => Ok(none.insert(Opened::open(&self.config, nudge_count)?)),
        }
    }
}

/// The open file, and what it held of each queue before we added to it.
struct Opened {
    file: File,
    nudge_count: u64,
    tails: HashMap<Arc<str>, Tail>,
}

impl Opened {
    fn open(config: &FileConfig, nudge_count: u64) -> io::Result<Self> {
        let path = &config.path;
        let is_new = !path.exists();
        if is_new {
            create_parents(path)?;
        }
        let file = OpenOptions::new().read(true).append(true).create(true).mode(config.mode).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
        }
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(ErrorKind::ResourceBusy, "another process writes to it"));
            }
            // Some network file systems know no locks; we only guard against a second writer.
            Err(TryLockError::Error(error)) if error.kind() != ErrorKind::Unsupported => return Err(error),
            _ => {}
        }
        if is_new {
            // The process's umask has had its say; the configuration has the last word.
            file.set_permissions(Permissions::from_mode(config.mode))?;
            sync_folder(path)?;
        } else if let Some(repair) = tail::repair(&file)? {
            warn!(path = %path.display(), "{repair}");
        }
        Ok(Self { file, nudge_count, tails: HashMap::new() })
    }

    fn append(&mut self, queue: &Queue, lines: Lines) -> io::Result<()> {
        let (Some(&(from, _)), Some(&(to, _))) = (lines.ends.first(), lines.ends.last()) else {
            return Ok(());
        };
        let tail = match self.tails.entry(Arc::clone(&queue.identity)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(Tail::read(&self.file, queue, from)?),
        };
        write_durably(&self.file, &lines.missing_in(tail))?;
        tail.forget_up_to(to);
        Ok(())
    }
}

/// Appends `bytes` and waits for the disk; what was there before may still be on its way there, too.
fn write_durably(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    let length = file.metadata()?.len();
    let written = file.write_all(bytes).and_then(|()| file.sync_data());
    if written.is_err() {
        // After a failed sync the system may forget the pages and call the next sync a success, so
        // the lines must be written anew. If even this fails, opening the file repairs it.
        file.set_len(length).ok();
    }
    written
}

/// Creates the missing folders above `path`, each one's name on the disk before it is used.
fn create_parents(path: &Path) -> io::Result<()> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    if folder.exists() {
        return Ok(());
    }
    create_parents(folder)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => sync_folder(folder),
    }
}

/// Makes the name `path` durable in the folder that holds it.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
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
        | ErrorKind::ResourceBusy => DeliverError::Held { reason },
        _ => DeliverError::Transient { reason, wait: None },
    }
}
