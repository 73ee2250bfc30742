//! The file of a sink and its rotated files, newest first, in which a queue's lines are searched.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::sink::file::mark::FileMark;
use crate::sink::file::open_file::{open_outside, open_past};
use crate::sink::file::rotated::format::Format;
use crate::sink::file::rotated::rotation::Past;

/// How much of the newest files is searched if the start is unknown.
const UNMARKED_MAX: u64 = 128 * 1024 * 1024;

/// The current file and the rotated ones. File numbers count back from the current file, which is 0.
pub(crate) struct Files<'a> {
    current: &'a File,
    past: Vec<PastFile>,
}

/// A rotated file.
struct PastFile {
    path: PathBuf,
    open: fn(&Path) -> io::Result<File>,
    metadata: Option<Metadata>,
}

/// The start of a search. Newer files are searched completely.
#[derive(Clone, Copy)]
pub(crate) struct Start {
    /// The number of the file.
    pub number: usize,
    /// The position within the file, uncompressed.
    pub offset: u64,
}

impl Start {
    /// The start of the search in file `number`; `None` if that file is too old.
    pub(crate) fn in_file(self, number: usize) -> Option<u64> {
        match self.number.cmp(&number) {
            std::cmp::Ordering::Greater => Some(0),
            std::cmp::Ordering::Equal => Some(self.offset),
            std::cmp::Ordering::Less => None,
        }
    }
}

impl<'a> Files<'a> {
    /// The `current` file and the files beside it.
    pub(crate) fn new(current: &'a File, past: Past) -> Self {
        let is_ours_alone = past.outside.is_empty();
        let ours = past.ours.into_iter().rev().map(|rotated| PastFile::new(rotated.path, open_rotated));
        let outside = past.outside.into_iter().map(|path| PastFile::new(path, open_outside));
        let mut past: Vec<_> = ours.chain(outside).collect();
        // Our names sort by age even if the clock was changed; names from other programs do not.
        if !is_ours_alone {
            past.sort_by_key(|file| std::cmp::Reverse(file.written()));
        }
        Self { current, past }
    }

    /// Opens file `number` for reading.
    pub(crate) fn open(&self, number: usize) -> io::Result<File> {
        match number.checked_sub(1).and_then(|index| self.past.get(index)) {
            Some(past) => (past.open)(&past.path),
            None => self.current.try_clone(),
        }
    }

    /// The last known path of file `number`; `None` for the current one.
    pub(crate) fn path(&self, number: usize) -> Option<&Path> {
        Some(&self.past.get(number.checked_sub(1)?)?.path)
    }

    /// The start of the search for lines beyond `mark`. Without a mark, or if its file is gone, it starts
    /// early enough to include the last attempt before a crash.
    pub(crate) fn start(&self, mark: Option<FileMark>) -> io::Result<Start> {
        let current = self.current.metadata()?;
        let all: Vec<_> = std::iter::once(Some(&current))
            .chain(self.past.iter().map(|past| past.metadata.as_ref()))
            .collect();
        if let Some(mark) = mark
            && let Some(number) = self.find(&mark, &all)
        {
            return Ok(Start { number, offset: mark.length });
        }
        let mut left = UNMARKED_MAX;
        for (number, metadata) in all.iter().enumerate() {
            let length = metadata.map_or(0, Metadata::len);
            if length >= left {
                // In a compressed file, this is earlier than in a plain one, so more is searched.
                return Ok(Start { number, offset: length - left });
            }
            left -= length;
        }
        Ok(Start { number: self.past.len(), offset: 0 })
    }

    /// The newest file that contains `mark`. A file with the same inode takes precedence over copies.
    fn find(&self, mark: &FileMark, all: &[Option<&Metadata>]) -> Option<usize> {
        let is_in = |number| self.open(number).and_then(|file| mark.is_in(&file)).unwrap_or(false);
        let has_inode = |number: &usize| all[*number].is_some_and(|metadata| mark.has_inode_of(metadata));
        let renamed = (0..all.len()).filter(has_inode).find(|number| is_in(*number));
        renamed.or_else(|| (0..all.len()).find(|number| is_in(*number)))
    }
}

impl PastFile {
    fn new(path: PathBuf, open: fn(&Path) -> io::Result<File>) -> Self {
        let metadata = path.metadata().ok();
        Self { path, open, metadata }
    }

    fn written(&self) -> SystemTime {
        let written = self.metadata.as_ref().and_then(|metadata| metadata.modified().ok());
        written.unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

/// Opens a file that we rotated. It may be compressed at any moment; then it has its new name before it loses
/// the old one.
fn open_rotated(path: &Path) -> io::Result<File> {
    open_past(path).or_else(|error| match error.kind() {
        ErrorKind::NotFound => {
            let mut packed = Format::ALL.iter().map(|format| open_past(&format.beside(path)));
            packed.find_map(Result::ok).ok_or(error)
        }
        _ => Err(error),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::sink::file::rotated::compression::compress;
    use crate::sink::file::rotated::rotation::Naming;

    #[test]
    fn a_file_that_is_compressed_after_it_was_listed_can_still_be_opened() {
        for format in Format::ALL {
            let folder = tempfile::tempdir().unwrap();
            let (place, rotated) =
                (folder.path().join("a.jsonl"), folder.path().join("a-20261121T093000Z-000001.jsonl"));
            fs::write(&place, "new\n").unwrap();
            fs::write(&rotated, "old\n").unwrap();
            let current = File::open(&place).unwrap();
            let files = Files::new(&current, Naming::try_new(&place).unwrap().list().unwrap());
            compress(&rotated, format).unwrap();
            assert_eq!(Format::sniff(&files.open(1).unwrap()).unwrap(), Some(format));
            fs::remove_file(format.beside(&rotated)).unwrap();
            assert_eq!(files.open(1).unwrap_err().kind(), ErrorKind::NotFound);
        }
    }
}
