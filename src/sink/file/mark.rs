//! A position in the file of a sink: which file it was, even if it was renamed, and how long it was.
//!
//! The inode identifies a renamed file. A compressed or copied file has another inode, and a new file may get
//! the inode of a deleted one. So the start of the file is compared too. No two files have the same start,
//! because each line begins with the id of its event.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;

use sha2::{Digest as _, Sha256};

use crate::sink::file::rotated::compression::reader_at;
use crate::sink::file::rotated::format::Format;

/// How many bytes at the start of a file are compared: an id and a part of the text after it.
const HEAD_MAX: u64 = 512;

/// A position in a file. As text: `INODE:LENGTH:HEAD`, where `HEAD` is a digest of the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FileMark {
    inode: u64,
    /// In bytes, uncompressed.
    pub length: u64,
    head: u64,
}

impl FileMark {
    /// The end of `file`.
    pub(crate) fn at_end(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let length = metadata.len();
        Ok(Self { inode: metadata.ino(), length, head: head_of(file, length)? })
    }

    /// Parses a mark; `None` if `text` is not one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (inode, length, head) = (parts.next()?, parts.next()?, parts.next()?);
        let head = u64::from_str_radix(head, 16).ok()?;
        Some(Self { inode: inode.parse().ok()?, length: length.parse().ok()?, head })
    }

    /// True if `metadata` has the inode of the marked file.
    pub(crate) fn has_inode_of(&self, metadata: &Metadata) -> bool {
        metadata.ino() == self.inode
    }

    /// True if `file`, compressed or not, contains the content of the marked file.
    pub(crate) fn is_in(&self, file: &File) -> io::Result<bool> {
        let is_too_short = Format::sniff(file)?.is_none() && file.metadata()?.len() < self.length;
        Ok(!is_too_short && head_of(file, self.length)? == self.head)
    }
}

impl fmt::Display for FileMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{:016x}", self.inode, self.length, self.head)
    }
}

/// A digest of the start of `file` when it had `length` bytes.
fn head_of(file: &File, length: u64) -> io::Result<u64> {
    let mut head = Vec::new();
    reader_at(file, 0)?.take(length.min(HEAD_MAX)).read_to_end(&mut head)?;
    let mut digest = [0; 8];
    digest.copy_from_slice(&Sha256::digest(&head)[..8]);
    Ok(u64::from_be_bytes(digest))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::sink::file::rotated::compression::compress;

    #[test]
    fn a_mark_survives_its_text_and_nothing_else_is_one() {
        let mark = FileMark { inode: 12, length: u64::MAX, head: 0xab };
        assert_eq!(mark.to_string(), "12:18446744073709551615:00000000000000ab");
        assert_eq!(FileMark::parse(&mark.to_string()), Some(mark));
        for text in ["", "12", "12:3", "12:x:ab", "-1:3:ab", "12:3:xyz"] {
            assert_eq!(FileMark::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_file_is_known_by_its_beginning_longer_or_compressed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let is_in = |mark: &FileMark, path: &std::path::Path| mark.is_in(&File::open(path).unwrap()).unwrap();
        fs::write(&path, "{\"id\":\"b24_1\"}\n").unwrap();
        let mark = FileMark::at_end(&File::open(&path).unwrap()).unwrap();
        assert!(mark.has_inode_of(&fs::metadata(&path).unwrap()));
        fs::write(&path, "{\"id\":\"b24_1\"}\n{\"id\":\"b24_2\"}\n").unwrap();
        assert!(is_in(&mark, &path), "it has grown");
        let grown = FileMark::at_end(&File::open(&path).unwrap()).unwrap();
        fs::write(&path, "{\"id\":\"b24_1\"}\n").unwrap();
        assert!(!is_in(&grown, &path), "it is shorter");
        let long = "{\"id\":\"b24_1\"}\n".repeat(100);
        fs::write(&path, &long).unwrap();
        let longer = FileMark::at_end(&File::open(&path).unwrap()).unwrap();
        fs::write(&path, &long[..long.len() / 2]).unwrap();
        assert!(!is_in(&longer, &path), "it is shorter and begins the same");
        fs::write(&path, "{\"id\":\"b24_3\"}\n{\"id\":\"b24_2\"}\n").unwrap();
        assert!(!is_in(&mark, &path) && !is_in(&grown, &path), "it is another");
        for format in Format::ALL {
            fs::write(&path, "{\"id\":\"b24_1\"}\n{\"id\":\"b24_2\"}\n").unwrap();
            compress(&path, format).unwrap();
            let packed = format.beside(&path);
            assert!(is_in(&mark, &packed) && is_in(&grown, &packed));
        }
    }
}
