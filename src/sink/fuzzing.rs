//! Entry points for `fuzz/`: properties that hold for every file after a crash, a power failure or a change
//! by another program, and for every response of a receiver.

use std::cell::RefCell;
use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::unix::fs::FileExt as _;

use crate::event::Queue;
use crate::sink::contract::Mark;
use crate::sink::file::known::{self, KnownLines, tag_of};
use crate::sink::file::mark::FileMark;
use crate::sink::file::recovery::{cut_torn, repair};
use crate::sink::file::rotated::files::Files;
use crate::sink::file::rotated::rotation::Past;

pub use crate::sink::webhook::fuzzing::answer;

/// Checks the properties for `bytes` as the file of a sink.
///
/// # Panics
/// If a property does not hold, or the disk fails.
pub fn tail(bytes: &[u8]) {
    thread_local! {
        static FILE: RefCell<Option<File>> = const { RefCell::new(None) };
    }
    FILE.with_borrow_mut(|file| {
        let file = file.get_or_insert_with(|| works(tempfile::tempfile()));
        fill(file, bytes);
        search(file, bytes);
        fill(file, bytes);
        let is_cut = works(cut_torn(file));
        let cut = content(file);
        assert!(bytes.starts_with(&cut) && is_cut == (cut.len() < bytes.len()), "only ever cuts");
        fill(file, bytes);
        let is_changed = works(repair(file)).is_some();
        let repaired = content(file);
        assert_eq!(is_changed, repaired != bytes, "says so exactly when it repairs");
        assert_keeps_all_but_torn_lines(bytes, &repaired);
        assert!(works(repair(file)).is_none(), "there is nothing left to repair");
    });
}

fn works<T>(outcome: std::io::Result<T>) -> T {
    outcome.unwrap_or_else(|error| panic!("{error}"))
}

fn fill(file: &mut File, bytes: &[u8]) {
    works(file.set_len(0));
    works(file.rewind());
    works(file.write_all(bytes));
}

fn content(file: &File) -> Vec<u8> {
    let length = works(file.metadata()).len();
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    works(file.read_exact_at(&mut bytes, 0));
    bytes
}

/// The last line of an event is known, unless it lies before the mark.
fn search(file: &File, bytes: &[u8]) {
    let queue = Queue::new("support", "portal.example/user/12");
    let prefix = format!("{{\"id\":\"{}", queue.stable_prefix());
    // A compressed file, or one with the start of a compressed file, may be damaged.
    let Ok(unmarked) = lines_beyond(file, &queue, None) else { return };
    if bytes.starts_with(b"\x1f\x8b") || bytes.starts_with(b"\x28\xb5\x2f\xfd") {
        return;
    }
    let ours =
        bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.starts_with(prefix.as_bytes()));
    let Some((line, id)) = ours.filter_map(|line| Some((line, id_of(&line[prefix.len()..])?))).next_back()
    else {
        return;
    };
    assert!(unmarked.holds(id, line), "the last event there is recognised");
    assert!(!unmarked.holds(id, &[line, b" "].concat()), "and no other");
    let mark = Mark::new(works(FileMark::at_end(file)).to_string());
    assert!(works(lines_beyond(file, &queue, Some(mark))).is_empty(), "nothing lies beyond the end");
}

fn lines_beyond(file: &File, queue: &Queue, mark: Option<Mark>) -> std::io::Result<KnownLines> {
    let marks = [(tag_of(queue), mark)].into();
    let mut known = known::search(&Files::new(file, Past::default()), &marks)?;
    Ok(known.remove(&tag_of(queue)).unwrap_or_else(|| panic!("no answer")))
}

fn id_of(rest: &[u8]) -> Option<crate::event::EventId> {
    let digits = &rest[..rest.iter().position(|byte| *byte == b'"')?];
    crate::event::EventId::try_new(std::str::from_utf8(digits).ok()?.parse().ok()?)
}

/// Checks that all remaining lines are unchanged and in order, and that each removed line began like one of
/// ours.
fn assert_keeps_all_but_torn_lines(before: &[u8], after: &[u8]) {
    if after.len() > before.len() {
        assert_eq!(after, [before, b"\n"].concat(), "a line is ended, and no more");
        return;
    }
    assert!(before.starts_with(after), "only ever cuts");
    assert!(after.is_empty() || after.ends_with(b"\n"), "leaves whole lines");
    for line in before[after.len()..].split_inclusive(|byte| *byte == b'\n') {
        let sound = line.split(|byte| *byte == 0).next().unwrap_or(line);
        let begin = br#"{"id":"b24_"#;
        assert!(sound.starts_with(begin) || begin.starts_with(sound), "cut off what is not ours");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use b24_testkit::fuzzing::hold_against_seeds;

    #[test]
    fn whatever_a_file_ends_with_is_repaired_as_promised() {
        hold_against_seeds("sink_tail", tail);
    }

    #[test]
    fn whatever_a_receiver_answers_means_what_is_promised() {
        hold_against_seeds("webhook_answer", answer);
    }
}
