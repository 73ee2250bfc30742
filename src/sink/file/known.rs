//! Lines that are in the file though no commit covers their events, as a crash came in between. Their events come again
//! and are not written a second time.
//!
//! They all lie beyond the mark of the last commit, so that is where they are looked for, however many there are. A
//! line before the mark is never recognised: when its event comes again, somebody asked for it.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, BufRead as _, ErrorKind, Read as _};

use tracing::warn;

use crate::event::{EventId, Queue};
use crate::sink::contract::Mark;
use crate::sink::file::compression::reader_at;
use crate::sink::file::files::{Files, Start};
use crate::sink::file::mark::FileMark;

/// The longest line that is read in one piece, twice the longest that there can be: the portal's answers have at most
/// 16 MiB.
const LINE_MAX: u64 = 32 * 1024 * 1024;

/// How every line of ours begins, up to its id.
const BEGIN: &[u8] = br#"{"id":""#;

/// What every id begins with.
const ID_BEGIN: &str = "b24_";

/// What stands for a queue in the ids of its events.
pub type QueueTag = Box<str>;

/// The tag of `queue`.
pub fn tag_of(queue: &Queue) -> QueueTag {
    queue.stable_prefix().trim_end_matches('_').into()
}

/// The lines of one queue beyond its mark.
///
/// The content counts as well as the id, which might belong to another life of the portal's counter: an event must
/// never be taken for written because of a number.
#[derive(Debug)]
pub struct KnownLines {
    mark: Option<Mark>,
    lines: BTreeSet<(EventId, u64)>,
}

impl KnownLines {
    /// The mark that they lie beyond.
    pub fn mark(&self) -> Option<Mark> {
        self.mark.clone()
    }

    /// Whether there is exactly this line.
    pub fn holds(&self, id: EventId, line: &[u8]) -> bool {
        self.lines.contains(&(id, digest(line)))
    }

    /// Forgets this line, now that its event is settled.
    pub fn forget(&mut self, id: EventId, line: &[u8]) {
        // After a crash events come again in the order of their ids: whatever did not come until now, such as an event
        // that the lane's filter leaves out since then, will not come any more.
        if self.lines.last().is_some_and(|(last, _)| *last < id) {
            self.lines.clear();
        }
        self.lines.remove(&(id, digest(line)));
    }

    /// Whether all were seen again.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

/// Finds the lines of some queues beyond their marks, in one pass from the oldest place on. A file that cannot be read
/// is skipped when it was put aside: what is broken must not hold up new events.
pub fn search(
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
            // It was too old to be kept.
            (Err(error), Some(_)) if error.kind() == ErrorKind::NotFound => {}
            (Err(error), Some(path)) => {
                warn!(path = %path.display(), %error, "cannot look for events in a rotated file");
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

/// The queue and the event of a line of ours.
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
