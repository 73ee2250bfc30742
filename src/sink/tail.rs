//! The end of a file that a crash may have left behind: torn lines are repaired, and lines already
//! there are recognised, so that nothing is written twice.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;

use crate::event::{EventId, Queue};

/// How far back a file is searched. Far more than one batch of one source: what is searched for was
/// written by the last moments of the process before.
const TAIL_MAX: u64 = 64 * 1024 * 1024;

/// The first step back; each further one doubles what is held, so that a huge line costs linear time.
const STEP_MIN: u64 = 256 * 1024;

/// How every line of ours begins.
const OURS: &[u8] = br#"{"id":"b24_"#;

/// The lines that a file already holds of one queue, by event and content.
///
/// The content counts as well: an id alone might belong to another life of the portal's counter, and
/// an event must never be taken for written because of a number.
pub struct Tail {
    lines: HashMap<EventId, u64>,
}

impl Tail {
    /// Finds the lines of `queue` from the event `from` on. Lines of one queue ascend, so the search
    /// ends at the first older one.
    pub fn read(file: &File, queue: &Queue, from: EventId) -> io::Result<Self> {
        let prefix = format!(r#"{{"id":"{}"#, queue.stable_prefix());
        let mut lines = HashMap::new();
        let mut backwards = Backwards::new(file)?;
        while let Some(line) = backwards.next_line()? {
            match id_behind(prefix.as_bytes(), &line) {
                Some(id) if id < from => break,
                Some(id) => {
                    lines.insert(id, digest(&line));
                }
                None => {}
            }
        }
        Ok(Self { lines })
    }

    /// Whether nothing is known that could be written twice.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether the file holds exactly this line.
    pub fn holds(&self, id: EventId, line: &[u8]) -> bool {
        self.lines.get(&id).is_some_and(|known| *known == digest(line))
    }

    /// Lets go of what will not be asked for again.
    pub fn forget_up_to(&mut self, id: EventId) {
        self.lines.retain(|known, _| *known > id);
    }
}

/// Ends the file with a whole line: a torn line of ours is cut off (its event was not settled and
/// comes again), foreign text is left alone and ended. Says what was done.
pub fn repair(mut file: &File) -> io::Result<Option<String>> {
    let length = file.metadata()?.len();
    let Some(torn) = Backwards::new(file)?.next_line()?.filter(|line| !line.ends_with(b"\n")) else {
        return Ok(None);
    };
    let shared = torn.len().min(OURS.len());
    if torn[..shared] == OURS[..shared] {
        file.set_len(length - torn.len() as u64)?;
        Ok(Some(format!("cut off a torn last line of {} bytes, its event will be written again", torn.len())))
    } else {
        file.write_all(b"\n")?;
        Ok(Some("ended a last line that lacked its newline".to_owned()))
    }
}

fn id_behind(prefix: &[u8], line: &[u8]) -> Option<EventId> {
    let rest = line.strip_prefix(prefix)?;
    let digits = &rest[..rest.iter().position(|byte| *byte == b'"')?];
    std::str::from_utf8(digits).ok()?.parse().ok().and_then(EventId::try_new)
}

fn digest(line: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(line);
    hasher.finish()
}

/// The lines of a file from the last to the first, newline included.
struct Backwards<'a> {
    file: &'a File,
    /// Read, not handed out yet; begins at `position`.
    held: Vec<u8>,
    position: u64,
    /// Where the search ends.
    end: u64,
}

impl<'a> Backwards<'a> {
    fn new(file: &'a File) -> io::Result<Self> {
        let position = file.metadata()?.len();
        Ok(Self { file, held: Vec::new(), position, end: position.saturating_sub(TAIL_MAX) })
    }

    fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let before_last = self.held.len().saturating_sub(1);
            if let Some(newline) = self.held[..before_last].iter().rposition(|byte| *byte == b'\n') {
                return Ok(Some(self.held.split_off(newline + 1)));
            }
            if self.position == self.end {
                let first = std::mem::take(&mut self.held);
                return Ok(Some(first).filter(|line| !line.is_empty()));
            }
            self.step_back()?;
        }
    }

    fn step_back(&mut self) -> io::Result<()> {
        let step = STEP_MIN.max(self.held.len() as u64).min(self.position - self.end);
        self.position -= step;
        let mut held = vec![0; usize::try_from(step).unwrap_or(usize::MAX)];
        self.file.read_exact_at(&mut held, self.position)?;
        held.append(&mut self.held);
        self.held = held;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::io::Seek as _;

    use proptest::prelude::*;

    use super::*;

    fn file_of(content: &[u8]) -> File {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        std::fs::write(&path, content).unwrap();
        File::options().read(true).append(true).open(&path).unwrap()
    }

    fn content(mut file: &File) -> Vec<u8> {
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn id(id: u64) -> EventId {
        EventId::try_new(id).unwrap()
    }

    fn line(queue: &Queue, id: u64, rest: &str) -> String {
        format!("{{\"id\":\"{}{id}\",{rest}}}\n", queue.stable_prefix())
    }

    #[test]
    fn a_torn_line_of_ours_is_cut_and_foreign_text_is_ended() {
        for (before, after) in [
            ("", ""),
            ("a\nb\n", "a\nb\n"),
            ("a\n{\"id\":\"b24_00", "a\n"),
            ("a\n{\"i", "a\n"),
            ("{", ""),
            ("a\nforeign", "a\nforeign\n"),
            ("{\"other\":1}", "{\"other\":1}\n"),
        ] {
            let file = file_of(before.as_bytes());
            repair(&file).unwrap();
            assert_eq!(String::from_utf8(content(&file)).unwrap(), after, "{before}");
        }
    }

    #[test]
    fn a_line_is_known_by_its_event_and_its_content() {
        let (mine, other) = (Queue::new("a", "p/user/1"), Queue::new("b", "p/user/2"));
        let text =
            [line(&mine, 4, "x"), line(&mine, 5, "x"), line(&other, 6, "x"), line(&mine, 7, "y")].concat();
        let tail = Tail::read(&file_of(text.as_bytes()), &mine, id(5)).unwrap();
        assert!(tail.holds(id(5), line(&mine, 5, "x").as_bytes()));
        assert!(tail.holds(id(7), line(&mine, 7, "y").as_bytes()));
        assert!(!tail.holds(id(7), line(&mine, 7, "z").as_bytes()), "another life of the counter");
        assert!(!tail.holds(id(6), line(&mine, 6, "x").as_bytes()), "another queue's event");
        assert!(!tail.holds(id(4), line(&mine, 4, "x").as_bytes()), "settled long ago");
    }

    #[test]
    fn a_line_longer_than_a_step_is_found() {
        let queue = Queue::new("a", "p/user/1");
        let long = line(&queue, 5, &"x".repeat(3 * 256 * 1024));
        let text = [line(&queue, 4, "x"), long.clone(), line(&queue, 6, "x")].concat();
        let tail = Tail::read(&file_of(text.as_bytes()), &queue, id(5)).unwrap();
        assert!(tail.holds(id(5), long.as_bytes()) && tail.holds(id(6), line(&queue, 6, "x").as_bytes()));
    }

    proptest! {
        #[test]
        fn reading_backwards_gives_the_same_lines(lines in prop::collection::vec("[a-c]{0,5}\n", 0..20), end in "[a-c]{0,3}") {
            let text = lines.concat() + &end;
            let file = file_of(text.as_bytes());
            let mut backwards = Backwards::new(&file).unwrap();
            let mut found = Vec::new();
            while let Some(line) = backwards.next_line().unwrap() {
                found.push(String::from_utf8(line).unwrap());
            }
            found.reverse();
            let expected: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
