//! Checks whether the write-ahead log beside the state file is whole up to its end.
//!
//! SQLite reads its log up to the first frame that is not whole, and assumes that a power cut has torn the rest. So
//! damage further up would set offsets back silently. Such a log has more than one commit after the broken frame: each
//! commit is on disk before the next begins, so a power cut tears only the last one. A log that has lost its last
//! commits, or that is missing, cannot be distinguished from an older state. `-shm` is never read here: SQLite rebuilds
//! it from the log when no process has the file open. The format is that of <https://www.sqlite.org/walformat.html>.

use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;

use crate::store::error::StoreError;
use crate::store::file::lock::Lock;
use crate::store::file::open_files::is_in_use;
use crate::store::file::place::location;
use crate::store::paths::sibling_path;

/// The log's header begins with this number, whose last bit gives the byte order of the checksums.
const MAGIC: u32 = 0x377f_0682;

/// The only version of the format so far.
const VERSION: u32 = 3_007_000;

/// The size of the log's header, and of a frame's, in bytes.
const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// The log beside the state file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Log {
    /// How many committed frames it has.
    pub frames: u32,
    /// Its size in bytes; `None` when there is no log.
    pub bytes: Option<u64>,
}

/// The contents of the log.
#[derive(Default)]
struct Scan {
    /// The number of frames up to the last whole commit.
    frames: u32,
    /// The number of commits at and after the first frame that is not whole.
    lost_commits: u32,
}

/// Checks the log of the state file at `state`, before SQLite reads it.
///
/// # Errors
/// [`StoreError::Damaged`] when commits follow a broken frame, or when the state file is gone and its log is not.
pub(crate) fn inspect(state: &Path) -> Result<Log, StoreError> {
    // It was checked before it was opened.
    if is_in_use(state) {
        return Ok(Log { frames: 0, bytes: None });
    }
    let damaged = |detail: &str| StoreError::Damaged { path: state.to_owned(), detail: detail.to_owned() };
    let scan = read_log(state).map_err(|error| StoreError::from_io(state, "read its `-wal`", &error))?;
    if scan.lost_commits > 1 {
        return Err(damaged("its `-wal` lacks commits that were made"));
    }
    let bytes = sibling_path(state, "-wal").metadata().ok().map(|metadata| metadata.len());
    if bytes.is_some_and(|bytes| bytes > 0) && matches!(state.try_exists(), Ok(false)) {
        return Err(damaged("it is gone, and its `-wal` is still there"));
    }
    Ok(Log { frames: scan.frames, bytes })
}

/// Like [`inspect`], for a caller that only reads the file. A daemon that holds the file has checked the log before,
/// and writes to it meanwhile: a log that it restarts looks as if commits were missing.
pub(crate) fn inspect_beside(state: &Path) -> Result<Log, StoreError> {
    match inspect(state) {
        Err(StoreError::Damaged { .. }) if state.exists() && Lock::holder(state).is_some() => {
            let bytes = sibling_path(state, "-wal").metadata().ok().map(|metadata| metadata.len());
            Ok(Log { frames: 0, bytes })
        }
        outcome => outcome,
    }
}

/// Returns an empty scan when there is no log, or when its header is not whole.
fn read_log(state: &Path) -> io::Result<Scan> {
    let file = match location::open_to_read(state, "-wal") {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Scan::default()),
        file => file?,
    };
    let mut file = BufReader::with_capacity(1 << 16, file);
    let Some(header) = read_whole::<HEADER>(&mut file)? else { return Ok(Scan::default()) };
    let magic = big(&header, 0);
    let sum = Sum { is_big: magic & 1 == 1, words: [0, 0] }.over(&header[..24]);
    if magic & !1 != MAGIC || big(&header, 4) != VERSION || sum.words != [big(&header, 24), big(&header, 28)]
    {
        return Ok(Scan::default());
    }
    let Ok(size @ 512..=65_536) = usize::try_from(big(&header, 8)) else { return Ok(Scan::default()) };
    scan(&mut file, size, &header[16..24], sum)
}

/// Frames with other `salts` than those of the header are left from before the log was restarted.
fn scan(file: &mut impl Read, page_size: usize, salts: &[u8], mut sum: Sum) -> io::Result<Scan> {
    let mut scan = Scan::default();
    let (mut page, mut number, mut is_whole) = (vec![0; page_size], 0, true);
    while let Some(header) = read_whole::<FRAME_HEADER>(file)? {
        if !is_read(file.read_exact(&mut page))? {
            break;
        }
        number += 1;
        let is_ours = header[8..16] == *salts;
        let is_commit = big(&header, 4) != 0;
        sum = sum.over(&header[..8]).over(&page);
        is_whole &= is_ours && big(&header, 0) != 0 && sum.words == [big(&header, 16), big(&header, 20)];
        match (is_whole, is_commit) {
            (true, true) => scan.frames = number,
            (false, true) if is_ours => scan.lost_commits += 1,
            _ => {}
        }
    }
    Ok(scan)
}

/// The running checksum of the log.
#[derive(Clone, Copy)]
struct Sum {
    is_big: bool,
    words: [u32; 2],
}

impl Sum {
    fn over(mut self, bytes: &[u8]) -> Self {
        for pair in bytes.chunks_exact(8) {
            let (first, second) = if self.is_big {
                (big(pair, 0), big(pair, 4))
            } else {
                (big(pair, 0).swap_bytes(), big(pair, 4).swap_bytes())
            };
            self.words[0] = self.words[0].wrapping_add(first).wrapping_add(self.words[1]);
            self.words[1] = self.words[1].wrapping_add(second).wrapping_add(self.words[0]);
        }
        self
    }
}

fn big(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The next `N` bytes; `None` when there are fewer.
fn read_whole<const N: usize>(file: &mut impl Read) -> io::Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    Ok(is_read(file.read_exact(&mut bytes))?.then_some(bytes))
}

fn is_read(outcome: io::Result<()>) -> io::Result<bool> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
