//! The end of what a crash may have left behind: torn lines are repaired, and lines already there are
//! recognised, so that nothing is written twice.
//!
//! What can come again is the last attempt of each queue: at most a thousand events, written in one go. So
//! the last lines of each queue are kept, by where they stand and not by their ids, which need not ascend.
//! They are looked for once in the life of a process, for all queues together: one that is silent until much
//! later is recognised even when others have filled the file meanwhile.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, BufRead as _, Write as _};
use std::os::unix::fs::FileExt as _;

use super::compression::Format;
use crate::event::{EventId, Queue};

/// How far back files are searched, all together and unpacked. Far more than one attempt of every source:
/// the portal's answers have at most 16 MiB, and so have attempts.
pub const TAIL_MAX: u64 = 128 * 1024 * 1024;

/// The most that one write may have left half-done: an attempt is at most as large as an answer of the portal.
const WRITE_MAX: u64 = 32 * 1024 * 1024;

/// How many lines of one queue are kept: twice the largest attempt.
const LINES_MAX: usize = 2048;

/// After so many events of a queue nothing of before comes again: what a crash left behind comes first, with
/// at most a thousand events that became visible late between it.
const OFFERED_MAX: usize = 4096;

/// The first step back; each further one doubles what is held, so that a huge line costs linear time.
const STEP_MIN: u64 = 256 * 1024;

/// How every line of ours begins.
const OURS: &[u8] = br#"{"id":"b24_"#;

/// How every line of ours begins, up to its id.
const BEGIN: &[u8] = br#"{"id":""#;

/// The last lines that were there before this process wrote, of every queue.
#[derive(Default)]
pub struct Tails {
    /// By what is before the `_` of the events' ids.
    queues: HashMap<Box<str>, Tail>,
    /// How much has been searched.
    searched: u64,
}

/// The last lines of one queue, by event and content.
///
/// The content counts as well: an id alone might belong to another life of the portal's counter, and
/// an event must never be taken for written because of a number.
#[derive(Default)]
pub struct Tail {
    lines: HashMap<EventId, u64>,
    offered: usize,
}

impl Tails {
    /// Adds what `file` holds; called for the newest file first.
    pub fn search(&mut self, file: &File) -> io::Result<()> {
        match Format::sniff(file)? {
            None => self.search_plain(file),
            Some(format) => self.search_compressed(file, format),
        }
    }

    /// Whether older files are worth a look.
    pub fn wants_more(&self) -> bool {
        self.searched < TAIL_MAX
    }

    /// The lines of `queue`; `None` when there is nothing that could be written twice.
    pub fn of(&self, queue: &Queue) -> Option<&Tail> {
        self.queues.get(key(queue))
    }

    /// Lets go of what will not be asked for again, now that `count` more events of `queue` are there.
    pub fn forget_after(&mut self, queue: &Queue, count: usize) {
        if let Some(tail) = self.queues.get_mut(key(queue)) {
            tail.offered += count;
            if tail.offered > OFFERED_MAX {
                self.queues.remove(key(queue));
            }
        }
    }

    fn search_plain(&mut self, file: &File) -> io::Result<()> {
        let mut backwards = Backwards::new(file, TAIL_MAX.saturating_sub(self.searched))?;
        while let Some(line) = backwards.next_line()? {
            self.searched += line.len() as u64;
            if let Some((queue, id)) = names_of(&line) {
                self.add(queue, id, || digest(&line));
            }
        }
        Ok(())
    }

    /// A compressed file can only be read from its beginning, so it is read whole.
    fn search_compressed(&mut self, file: &File, format: Format) -> io::Result<()> {
        let mut found: HashMap<Box<str>, VecDeque<(EventId, u64)>> = HashMap::new();
        let mut reader = format.reader(file)?;
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            self.searched = self.searched.saturating_add(line.len() as u64);
            if let Some((queue, id)) = names_of(&line) {
                let lines = found.entry(queue.into()).or_default();
                if lines.len() == LINES_MAX {
                    lines.pop_front();
                }
                lines.push_back((id, digest(&line)));
            }
            line.clear();
        }
        for (queue, lines) in found {
            for (id, digest) in lines.into_iter().rev() {
                self.add(&queue, id, || digest);
            }
        }
        Ok(())
    }

    fn add(&mut self, queue: &str, id: EventId, digest: impl FnOnce() -> u64) {
        if !self.queues.contains_key(queue) {
            self.queues.insert(queue.into(), Tail::default());
        }
        if let Some(tail) = self.queues.get_mut(queue).filter(|tail| tail.lines.len() < LINES_MAX) {
            // The newest line of an event is what was written last.
            tail.lines.entry(id).or_insert_with(digest);
        }
    }
}

impl Tail {
    /// Whether there is exactly this line.
    pub fn holds(&self, id: EventId, line: &[u8]) -> bool {
        self.lines.get(&id).is_some_and(|known| *known == digest(line))
    }
}

fn key(queue: &Queue) -> &str {
    queue.stable_prefix().trim_end_matches('_')
}

/// Ends the file with a whole line: a torn line of ours is cut off (its event was not settled and
/// comes again), foreign text is left alone and ended. Says what was done. The file stays as old as it was.
///
/// After a power cut more than the end may be torn: a part of the last write that did not come to the disk
/// reads as zeroes, though parts behind it did. All of ours behind such a hole was never synced either, and goes.
pub fn repair(mut file: &File) -> io::Result<Option<String>> {
    let (written, length) = (file.metadata()?.modified()?, file.metadata()?.len());
    let repaired = if let Some(sound) = sound_length(file)?.filter(|sound| *sound < length) {
        file.set_len(sound)?;
        format!(
            "cut off {} bytes that were not written whole, their events will be written again",
            length - sound
        )
    } else if torn_line(file)?.is_some() {
        file.write_all(b"\n")?;
        "ended a last line that lacked its newline".to_owned()
    } else {
        return Ok(None);
    };
    file.set_modified(written)?;
    Ok(Some(repaired))
}

/// Up to where lines of ours at the end are whole, if there is one that is not.
fn sound_length(file: &File) -> io::Result<Option<u64>> {
    let mut backwards = Backwards::new(file, WRITE_MAX)?;
    let mut sound = None;
    while let Some(line) = backwards.next_line()?.filter(|line| is_ours(line)) {
        if !line.ends_with(b"\n") || line.contains(&0) {
            sound = Some(backwards.handed_out());
        }
    }
    Ok(sound)
}

/// Cuts off a torn last line of ours; says whether there was one. Anything else is left alone.
pub fn cut_torn(file: &File) -> io::Result<bool> {
    match torn_line(file)?.filter(|torn| is_ours(torn)) {
        Some(torn) => cut(file, &torn).map(|()| true),
        None => Ok(false),
    }
}

fn torn_line(file: &File) -> io::Result<Option<Vec<u8>>> {
    Ok(Backwards::new(file, TAIL_MAX)?.next_line()?.filter(|line| !line.ends_with(b"\n")))
}

/// Whether a line of ours begins like this, as far as it is there: JSON has no zeroes.
fn is_ours(line: &[u8]) -> bool {
    let sound = line.split(|byte| *byte == 0).next().unwrap_or(line);
    let shared = sound.len().min(OURS.len());
    sound[..shared] == OURS[..shared]
}

fn cut(file: &File, torn: &[u8]) -> io::Result<()> {
    file.set_len(file.metadata()?.len() - torn.len() as u64)
}

/// The queue and the event of a line of ours.
fn names_of(line: &[u8]) -> Option<(&str, EventId)> {
    let rest = line.strip_prefix(BEGIN)?;
    let name = std::str::from_utf8(&rest[..rest.iter().position(|byte| *byte == b'"')?]).ok()?;
    let (queue, id) = name.rsplit_once('_')?;
    Some((queue, EventId::try_new(id.parse().ok()?)?)).filter(|(queue, _)| queue.starts_with("b24_"))
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
    /// Up to `reach` bytes of the end.
    fn new(file: &'a File, reach: u64) -> io::Result<Self> {
        let position = file.metadata()?.len();
        Ok(Self { file, held: Vec::new(), position, end: position.saturating_sub(reach) })
    }

    /// Where the line begins that was handed out last.
    fn handed_out(&self) -> u64 {
        self.position + self.held.len() as u64
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
            ("a\n\0\0\0", "a\n"),
            ("a\n{\"id\":\"b\0\0", "a\n"),
            ("a\n{\"id\":\"b24_00\0\0,x", "a\n"),
            ("a\n{\"id\":\"b24_00\0\0,x\n{\"id\":\"b24_01\n", "a\n"),
            ("a\n{\"id\":\"b24_00\n{\"id\":\"b24_0\0\n", "a\n{\"id\":\"b24_00\n"),
            ("a\n{\"id\":\"b24_00\0\0,x\n# note\n", "a\n{\"id\":\"b24_00\0\0,x\n# note\n"),
            ("a\0", "a\0\n"),
            ("a\nforeign", "a\nforeign\n"),
            ("{\"other\":1}", "{\"other\":1}\n"),
        ] {
            let file = file_of(before.as_bytes());
            repair(&file).unwrap();
            assert_eq!(String::from_utf8(content(&file)).unwrap(), after, "{before}");
        }
    }

    fn tails_of(text: &str) -> Tails {
        let mut tails = Tails::default();
        tails.search(&file_of(text.as_bytes())).unwrap();
        tails
    }

    fn holds(tails: &Tails, queue: &Queue, event: u64, rest: &str) -> bool {
        tails.of(queue).is_some_and(|tail| tail.holds(id(event), line(queue, event, rest).as_bytes()))
    }

    #[test]
    fn a_line_is_known_by_its_event_and_its_content() {
        let (mine, other) = (Queue::new("a", "p/user/1"), Queue::new("b", "p/user/2"));
        let text =
            [line(&mine, 9, "x"), line(&mine, 5, "x"), line(&other, 6, "x"), line(&mine, 7, "y")].concat();
        let tails = tails_of(&text);
        assert!(holds(&tails, &mine, 5, "x") && holds(&tails, &mine, 9, "x"), "ids need not ascend");
        assert!(holds(&tails, &mine, 7, "y") && holds(&tails, &other, 6, "x"));
        assert!(!holds(&tails, &mine, 7, "z"), "another life of the counter");
        assert!(!holds(&tails, &mine, 6, "x"), "another queue's event");
        assert!(tails.of(&Queue::new("a", "p/user/3")).is_none());
    }

    #[test]
    fn a_line_longer_than_a_step_is_found() {
        let queue = Queue::new("a", "p/user/1");
        let long = "x".repeat(3 * 256 * 1024);
        let text = [line(&queue, 4, "x"), line(&queue, 5, &long), line(&queue, 6, "x")].concat();
        let tails = tails_of(&text);
        assert!([4, 6].iter().all(|event| holds(&tails, &queue, *event, "x")));
        assert!(holds(&tails, &queue, 5, &long));
    }

    #[test]
    fn the_last_lines_count_wherever_their_ids_stand_and_whatever_others_wrote_since() {
        let (mine, other) = (Queue::new("a", "p/user/1"), Queue::new("b", "p/user/2"));
        let count = LINES_MAX as u64;
        // The newest of ours have the lowest ids.
        let ours = (1..=2 * count).rev().map(|event| line(&mine, event, "x")).collect::<String>();
        let theirs = (1..=3 * count).map(|event| line(&other, event, "x")).collect::<String>();
        let mut tails = tails_of(&[ours, theirs].concat());
        assert!((1..=count).all(|event| holds(&tails, &mine, event, "x")));
        assert_eq!(tails.queues.values().map(|tail| tail.lines.len()).collect::<Vec<_>>(), [LINES_MAX; 2]);

        tails.forget_after(&mine, OFFERED_MAX);
        assert!(holds(&tails, &mine, 1, "x"), "it may still come");
        tails.forget_after(&mine, 1);
        assert!(tails.of(&mine).is_none() && holds(&tails, &other, 3 * count, "x"));
    }

    #[test]
    fn a_compressed_file_is_searched_as_a_plain_one() {
        let queue = Queue::new("a", "p/user/1");
        let count = 2 * LINES_MAX as u64;
        let text = (1..=count).map(|event| line(&queue, event, "x")).collect::<String>();
        for format in Format::ALL {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a");
            std::fs::write(&path, &text).unwrap();
            super::super::compression::compress(&path, format).unwrap();
            let mut tails = tails_of(&line(&queue, count, "newer"));
            tails.search(&File::open(path.with_extension(&format.suffix()[1..])).unwrap()).unwrap();
            assert!(holds(&tails, &queue, count, "newer") && !holds(&tails, &queue, count, "x"));
            assert!((count / 2 + 2..count).all(|event| holds(&tails, &queue, event, "x")));
            assert_eq!(tails.of(&queue).unwrap().lines.len(), LINES_MAX);
        }
    }

    proptest! {
        #[test]
        fn reading_backwards_gives_the_same_lines(lines in prop::collection::vec("[a-c]{0,5}\n", 0..20), end in "[a-c]{0,3}") {
            let text = lines.concat() + &end;
            let file = file_of(text.as_bytes());
            let mut backwards = Backwards::new(&file, TAIL_MAX).unwrap();
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
