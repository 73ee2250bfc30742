//! Repairs the end of a file after a crash or a power failure: incomplete lines are truncated.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;

/// The maximum size of an incomplete write: an attempt is at most as large as a response of the portal.
const WRITE_MAX: u64 = 32 * 1024 * 1024;

/// The first step back. Each further step doubles the buffer, so that a huge line takes linear time.
const STEP_MIN: u64 = 256 * 1024;

/// The start of each of our lines.
const OURS: &[u8] = br#"{"id":"b24_"#;

/// Makes the file end with a complete line. An incomplete line of ours is truncated, because its event was
/// not settled and will be delivered again. Other text is kept and gets a newline. Returns a description of
/// the repair. The modification time of the file does not change.
///
/// After a power failure, more than the end may be damaged: a part of the last write that did not reach the
/// disk reads as zeroes, although later parts did. All of our lines after such a hole were never synced
/// either, and are removed.
pub(crate) fn repair(mut file: &File) -> io::Result<Option<String>> {
    let (written, length) = (file.metadata()?.modified()?, file.metadata()?.len());
    let repaired = if let Some(sound) = sound_length(file)?.filter(|sound| *sound < length) {
        file.set_len(sound)?;
        format!("cut off {} bytes of an incomplete write: their events will be written again", length - sound)
    } else if torn_line(file)?.is_some() {
        file.write_all(b"\n")?;
        "added the missing newline to the last line".to_owned()
    } else {
        return Ok(None);
    };
    file.set_modified(written)?;
    Ok(Some(repaired))
}

/// The length up to which our lines at the end are complete, if one of them is not.
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

/// Truncates an incomplete last line of ours, and returns whether there was one. Other text is kept.
pub(crate) fn cut_torn(file: &File) -> io::Result<bool> {
    match torn_line(file)?.filter(|torn| is_ours(torn)) {
        Some(torn) => cut(file, &torn).map(|()| true),
        None => Ok(false),
    }
}

fn torn_line(file: &File) -> io::Result<Option<Vec<u8>>> {
    Ok(Backwards::new(file, WRITE_MAX)?.next_line()?.filter(|line| !line.ends_with(b"\n")))
}

/// True if `line` is, or is the start of, a line of ours. JSON contains no zeroes.
fn is_ours(line: &[u8]) -> bool {
    let sound = line.split(|byte| *byte == 0).next().unwrap_or(line);
    let shared = sound.len().min(OURS.len());
    sound[..shared] == OURS[..shared]
}

fn cut(file: &File, torn: &[u8]) -> io::Result<()> {
    file.set_len(file.metadata()?.len() - torn.len() as u64)
}

/// The lines of a file from the last to the first, each with its newline.
struct Backwards<'a> {
    file: &'a File,
    /// Bytes that are read but not returned yet; they begin at `position`.
    held: Vec<u8>,
    position: u64,
    /// The position at which the search ends.
    end: u64,
}

impl<'a> Backwards<'a> {
    /// Reads at most `reach` bytes from the end.
    fn new(file: &'a File, reach: u64) -> io::Result<Self> {
        let position = file.metadata()?.len();
        Ok(Self { file, held: Vec::new(), position, end: position.saturating_sub(reach) })
    }

    /// The start of the line that was returned last.
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

    proptest! {
        #[test]
        fn reading_backwards_gives_the_same_lines(lines in prop::collection::vec("[a-c]{0,5}\n", 0..20), end in "[a-c]{0,3}") {
            let text = lines.concat() + &end;
            let file = file_of(text.as_bytes());
            let mut backwards = Backwards::new(&file, WRITE_MAX).unwrap();
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
