//! Lines that are in the file although no commit covers their events, because of a crash. Their events are
//! delivered again, and not written a second time.
//!
//! They all lie beyond the mark of the last commit, so only that part is searched, however long it is. A line
//! before the mark is never recognised: if its event is delivered again, the operator requested it.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, BufRead as _, ErrorKind, Read as _};

use tracing::warn;

use crate::event::{EventId, Queue};
use crate::log_code;
use crate::sink::contract::Mark;
use crate::sink::file::mark::FileMark;
use crate::sink::file::rotated::compression::reader_at;
use crate::sink::file::rotated::files::{Files, Start};

/// The longest line that is read at once, twice the maximum length of a line: a response of the portal has at
/// most 16 MiB.
const LINE_MAX: u64 = 32 * 1024 * 1024;

/// The start of each of our lines, up to the id.
const BEGIN: &[u8] = br#"{"id":""#;

/// The prefix of every id.
const ID_BEGIN: &str = "b24_";

/// The part of an event id that identifies its queue.
pub(crate) type QueueTag = Box<str>;

/// The tag of `queue`.
pub(crate) fn tag_of(queue: &Queue) -> QueueTag {
    queue.stable_prefix().trim_end_matches('_').into()
}

/// The lines of one queue beyond its mark.
///
/// A line is compared by content as well as id, because the portal's counter may have restarted. A matching
/// number alone must never make an event count as written.
#[derive(Debug)]
pub(crate) struct KnownLines {
    mark: Option<Mark>,
    lines: BTreeSet<(EventId, u64)>,
}

impl KnownLines {
    /// The mark before the lines.
    pub(crate) fn mark(&self) -> Option<Mark> {
        self.mark.clone()
    }

    /// True if exactly this line exists.
    pub(crate) fn holds(&self, id: EventId, line: &[u8]) -> bool {
        self.lines.contains(&(id, digest(line)))
    }

    /// Removes this line after its event is settled.
    pub(crate) fn forget(&mut self, id: EventId, line: &[u8]) {
        // After a crash, events are delivered again in the order of their ids. Older lines that did not match
        // by now will never match, for example because the lane's filter was changed to exclude them.
        if self.lines.last().is_some_and(|(last, _)| *last < id) {
            self.lines.clear();
        }
        self.lines.remove(&(id, digest(line)));
    }

    /// True if all lines have matched.
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

/// Finds the lines of some queues beyond their marks, in one pass from the oldest position on. An unreadable
/// rotated file is skipped, because a damaged file must not block new events.
pub(crate) fn search(
    files: &Files<'_>,
    marks: &HashMap<QueueTag, Option<Mark>>,
) -> io::Result<HashMap<QueueTag, KnownLines>> {
    let mut queues = HashMap::new();
    for (tag, mark) in marks {
        let start = files.start(mark.as_ref().and_then(|mark| FileMark::parse(mark.as_str())))?;
        let lines = KnownLines { mark: mark.clone(), lines: BTreeSet::new() };
        queues.insert(tag.clone(), (start, lines));
    }
    let oldest = queues.values().map(|(start, _)| start.number).max().unwrap_or(0);
    for number in (0..=oldest).rev() {
        let searched = files.open(number).and_then(|file| search_file(&file, number, &mut queues));
        match (searched, files.path(number)) {
            // The file was deleted because of its age.
            (Err(error), Some(_)) if error.kind() == ErrorKind::NotFound => {}
            (Err(error), Some(path)) => {
                warn!(code = %log_code::FILE_NOT_SEARCHED, path = %path.display(), %error, "cannot look for events in a rotated file");
            }
            (searched, _) => searched?,
        }
    }
    Ok(queues.into_iter().map(|(tag, (_, lines))| (tag, lines)).collect())
}

fn search_file(
    file: &File,
    number: usize,
    queues: &mut HashMap<QueueTag, (Start, KnownLines)>,
) -> io::Result<()> {
    let starts = queues.values().filter_map(|(start, _)| start.in_file(number));
    let Some(mut position) = starts.min() else { return Ok(()) };
    let mut reader = reader_at(file, position)?;
    let mut line = Vec::new();
    while reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)? > 0 {
        if let Some((tag, id)) = names_of(&line)
            && let Some((start, known)) = queues.get_mut(tag)
            && start.in_file(number).is_some_and(|offset| offset <= position)
        {
            known.lines.insert((id, digest(&line)));
        }
        position += line.len() as u64;
        line.clear();
    }
    Ok(())
}

/// The queue and the event of one of our lines.
fn names_of(line: &[u8]) -> Option<(&str, EventId)> {
    let rest = line.strip_prefix(BEGIN)?;
    let name = std::str::from_utf8(&rest[..rest.iter().position(|byte| *byte == b'"')?]).ok()?;
    let (tag, id) = name.rsplit_once('_')?;
    Some((tag, EventId::try_new(id.parse().ok()?)?)).filter(|(tag, _)| tag.starts_with(ID_BEGIN))
}

fn digest(line: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(line);
    hasher.finish()
}
