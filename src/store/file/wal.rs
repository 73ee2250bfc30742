//! The write-ahead log beside the state file: is it whole up to its end?
//!
//! SQLite reads its log up to the first frame that is not whole, and takes the rest for torn by a power cut. A log that
//! was damaged further up would so set offsets back without a word. Such a log has more than one commit behind the broken
//! frame: each commit is on the disk before the next begins, so a power cut tears the last one only. A log that lost its
//! last commits, or that is missing, cannot be told from an older state. `-shm` is never read here: SQLite makes it
//! anew from the log whenever nobody has the file open. The format is that of <https://www.sqlite.org/walformat.html>.

use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;

use crate::store::error::StoreError;
use crate::store::file::lock::Lock;
use crate::store::file::open_files::is_in_use;
use crate::store::file::place;
use crate::store::paths::neighbour;

/// The log's header begins with it; its last bit says how checksums read words.
const MAGIC: u32 = 0x377f_0682;

/// The only version of the format so far.
const VERSION: u32 = 3_007_000;

/// The log's header, and a frame's.
const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// What was found beside the state file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Log {
    /// Committed frames in it.
    pub frames: u32,
    /// Its size; `None` when there is none.
    pub bytes: Option<u64>,
}

/// What the log holds.
#[derive(Default)]
struct Scan {
    /// Up to the last whole commit.
    frames: u32,
    /// Commits at and behind the first frame that is not whole.
    lost_commits: u32,
}

/// Looks at the log of the state file at `state`, before SQLite does.
///
/// # Errors
/// [`StoreError::Damaged`] when commits follow a broken frame, or the state file is gone and its log is not.
pub fn inspect(state: &Path) -> Result<Log, StoreError> {
    // It was looked at before it was opened.
    if is_in_use(state) {
        return Ok(Log { frames: 0, bytes: None });
    }
    let damaged = |detail: &str| StoreError::Damaged { path: state.to_owned(), detail: detail.to_owned() };
    let scan = read_log(state).map_err(|error| StoreError::from_io(state, "read its `-wal`", &error))?;
    if scan.lost_commits > 1 {
        return Err(damaged("its `-wal` lacks commits that were made"));
    }
    let bytes = neighbour(state, "-wal").metadata().ok().map(|metadata| metadata.len());
    if bytes.is_some_and(|bytes| bytes > 0) && matches!(state.try_exists(), Ok(false)) {
        return Err(damaged("it is gone, and its `-wal` is still there"));
    }
    Ok(Log { frames: scan.frames, bytes })
}

/// As [`inspect`], for whoever only looks at the file. A daemon that holds it has looked at the log before, and writes to
/// it meanwhile: one that it is beginning anew looks as if it lacked commits.
///
/// # Errors
/// As [`inspect`].
pub fn inspect_beside(state: &Path) -> Result<Log, StoreError> {
    match inspect(state) {
        Err(StoreError::Damaged { .. }) if state.exists() && Lock::holder(state).is_some() => {
            let bytes = neighbour(state, "-wal").metadata().ok().map(|metadata| metadata.len());
            Ok(Log { frames: 0, bytes })
        }
        outcome => outcome,
    }
}

/// Nothing when there is no log, or one whose header is not whole.
fn read_log(state: &Path) -> io::Result<Scan> {
    let file = match place::open_to_read(state, "-wal") {
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

/// Frames with other `salts` than the header's are left from before the log began anew.
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
