//! Compressed files: their names, how they are written, and how they are read.
//!
//! At every moment, the events are in a complete file with one of our names. The plain file is deleted only
//! after the compressed one is on disk, and the state after a crash is repaired before anything is read.

use std::fs::{self, File, Permissions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use rustix::fs::OFlags;
use tempfile::NamedTempFile;
use tracing::warn;

use crate::failpoint;
use crate::log_code;
use crate::sink::file::path::{is_own, open_own, sync_folder};
use crate::sink::file::rotated::format::Format;
use crate::sink::file::rotated::rotation::{Past, UNFINISHED};
use crate::symlinks::folder_of;

const BUFFER: usize = 64 * 1024;

impl Format {
    /// Detects the format from the start of `file`, whichever program wrote it; `None` for a plain file.
    pub(crate) fn sniff(mut file: &File) -> io::Result<Option<Self>> {
        let mut begin = Vec::new();
        file.rewind()?;
        file.take(4).read_to_end(&mut begin)?;
        file.rewind()?;
        Ok(Self::ALL.into_iter().find(|format| begin.starts_with(format.magic())))
    }

    /// Reads the content of a file in this format.
    pub(crate) fn reader<'a>(self, file: &'a File) -> io::Result<Box<dyn BufRead + 'a>> {
        Ok(match self {
            Self::Gzip => Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(file))),
            Self::Zstd => Box::new(BufReader::with_capacity(BUFFER, zstd::Decoder::new(file)?)),
        })
    }

    fn copy(self, mut plain: &File, compressed: &File) -> io::Result<()> {
        let writer = BufWriter::with_capacity(BUFFER, compressed);
        match self {
            Self::Gzip => {
                let mut encoder = GzEncoder::new(writer, flate2::Compression::default());
                io::copy(&mut plain, &mut encoder)?;
                encoder.finish()?.flush()
            }
            Self::Zstd => {
                let mut encoder = zstd::Encoder::new(writer, zstd::DEFAULT_COMPRESSION_LEVEL)?;
                // Adds a checksum, which gzip always has.
                encoder.include_checksum(true)?;
                io::copy(&mut plain, &mut encoder)?;
                encoder.finish()?.flush()
            }
        }
    }
}

/// Reads the uncompressed content of `file`, from `offset` on.
pub(crate) fn reader_at(mut file: &File, offset: u64) -> io::Result<Box<dyn BufRead + '_>> {
    let Some(format) = Format::sniff(file)? else {
        file.seek(SeekFrom::Start(offset))?;
        return Ok(Box::new(BufReader::with_capacity(BUFFER, file)));
    };
    let mut reader = format.reader(file)?;
    io::copy(&mut reader.by_ref().take(offset), &mut io::sink())?;
    Ok(reader)
}

/// Replaces the plain file at `path` with a compressed file of the same age and permissions.
pub(crate) fn compress(path: &Path, format: Format) -> io::Result<()> {
    // Deleted again after any error, because a full disk needs the space.
    let compressed = write_compressed(path, format)?;
    failpoint::reached("compressed");
    compressed.persist_noclobber(format.beside(path))?;
    failpoint::reached("compression_renamed");
    sync_folder(path)?;
    failpoint::reached("compression_synced");
    fs::remove_file(path)?;
    failpoint::reached("compression_over");
    sync_folder(path)
}

/// Writes to a new file with a random name, so that no other user can create it in advance.
fn write_compressed(path: &Path, format: Format) -> io::Result<NamedTempFile> {
    let plain = open_own(path, OFlags::RDONLY)?;
    let metadata = plain.metadata()?;
    let name = format.beside(path).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let unfinished = tempfile::Builder::new()
        .prefix(&format!(".{name}."))
        .suffix(UNFINISHED)
        .tempfile_in(folder_of(path))?;
    let compressed = unfinished.as_file();
    failpoint::reached("compressing");
    format.copy(&plain, compressed)?;
    compressed.set_permissions(Permissions::from_mode(metadata.permissions().mode() & 0o777))?;
    compressed.set_modified(metadata.modified()?)?;
    compressed.sync_all()?;
    Ok(unfinished)
}

/// Repairs the state after a crash during compression: deletes unfinished files, and plain files that also
/// exist in compressed form. After an error, the next call repairs the rest.
pub(crate) fn settle(past: &mut Past) {
    for path in past.unfinished.drain(..) {
        if let Err(error) = fs::remove_file(&path) {
            warn!(code = %log_code::FILE_NOT_DELETED, path = %path.display(), %error, "cannot delete an unfinished compressed file");
        }
    }
    past.ours.retain(|rotated| rotated.format.is_some() || !is_double(&rotated.path));
}

/// Deletes the plain file at `path` if it also exists in compressed form. Returns whether it did.
fn is_double(path: &Path) -> bool {
    let twins = Format::ALL.map(|format| (format, format.beside(path)));
    let Some((format, twin)) = twins.into_iter().find(|(_, twin)| is_own_at(twin)) else { return false };
    let deleted = holds_the_same(path, &twin, format).and_then(|is_same| {
        if is_same {
            // The name of the compressed file may not be on disk yet.
            sync_folder(path)?;
            fs::remove_file(path)?;
            sync_folder(path)?;
        }
        Ok(is_same)
    });
    match deleted {
        Ok(true) => true,
        Ok(false) => {
            warn!(code = %log_code::COPIES_DIFFER, path = %path.display(), compressed = %twin.display(), "a rotated file and its compressed copy differ: both are kept");
            false
        }
        Err(error) => {
            warn!(code = %log_code::FILE_NOT_DELETED, path = %path.display(), %error, "cannot delete a file that has been compressed");
            false
        }
    }
}

fn is_own_at(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| is_own(&metadata))
}

fn holds_the_same(plain: &Path, compressed: &Path, format: Format) -> io::Result<bool> {
    let (plain, compressed) = (open_own(plain, OFlags::RDONLY)?, open_own(compressed, OFlags::RDONLY)?);
    let mut plain = BufReader::with_capacity(BUFFER, plain);
    let mut unpacked = format.reader(&compressed)?;
    loop {
        let (left, right) = (
            plain.fill_buf()?,
            match unpacked.fill_buf() {
                Err(error) if is_damage(&error) => return Ok(false),
                other => other?,
            },
        );
        let shared = left.len().min(right.len());
        if shared == 0 {
            return Ok(left.is_empty() && right.is_empty());
        }
        if left[..shared] != right[..shared] {
            return Ok(false);
        }
        plain.consume(shared);
        unpacked.consume(shared);
    }
}

/// True if the file is not compressed, or is incomplete.
fn is_damage(error: &io::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | Other | UnexpectedEof)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::file::rotated::rotation::Naming;

    fn past_of(place: &Path) -> Past {
        Naming::try_new(place).unwrap().list().unwrap()
    }

    #[test]
    fn a_compressed_file_replaces_the_plain_one_and_reads_the_same() {
        for format in Format::ALL {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("events-20261121T093000Z-000001.jsonl");
            let content = b"{\"id\":\"b24_1\"}\n".repeat(50_000);
            fs::write(&path, &content).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o604)).unwrap();
            let before = fs::metadata(&path).unwrap();
            compress(&path, format).unwrap();

            assert!(!path.exists());
            let file = File::open(format.beside(&path)).unwrap();
            let after = file.metadata().unwrap();
            assert_eq!(after.modified().unwrap(), before.modified().unwrap());
            assert_eq!(after.permissions().mode() & 0o777, 0o604);
            assert_eq!(Format::sniff(&file).unwrap(), Some(format));
            let mut unpacked = Vec::new();
            format.reader(&file).unwrap().read_to_end(&mut unpacked).unwrap();
            assert!(unpacked == content);
            assert!(after.len() < before.len() / 10);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn what_is_there_twice_goes_only_when_it_is_the_same() {
        for format in Format::ALL {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("events-20261121T093000Z-000001.jsonl");
            fs::write(&path, "one\ntwo\n").unwrap();
            compress(&path, format).unwrap();
            let compressed = fs::read(format.beside(&path)).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap();
            let unfinished = folder.path().join(format!(".{name}{}.aB3xYz.part", format.suffix()));
            for (plain, twin, is_left) in [
                ("one\ntwo\n", &compressed[..], false),
                ("one\ntwo\nthree\n", &compressed[..], true),
                ("one\n", &compressed[..], true),
                ("one\ntwo\n", &compressed[..compressed.len() - 3], true),
                ("one\ntwo\n", b"", true),
            ] {
                fs::write(&path, plain).unwrap();
                fs::write(format.beside(&path), twin).unwrap();
                fs::write(&unfinished, "half").unwrap();
                let mut past = past_of(&folder.path().join("events.jsonl"));
                settle(&mut past);
                assert_eq!(path.exists(), is_left, "{plain:?} beside {} bytes", twin.len());
                assert_eq!(past.ours.len(), 1 + usize::from(is_left));
                assert!(format.beside(&path).exists() && !unfinished.exists());
            }
        }
    }
}
