//! The write-ahead log beside the state file: does it still hold every commit that it held?
//!
//! SQLite reads its log up to the first frame that is not whole and takes what follows for torn by a power
//! cut. A log that was damaged, exchanged or taken away would so set offsets back without a word. Two things
//! give that away: the index of the log (`-shm`), which outlives a kill and knows how many frames were
//! committed; and more than one commit behind a broken frame, as each is on the disk before the next begins.
//! The formats are those of <https://www.sqlite.org/walformat.html>.

use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;

use super::in_use::is_in_use;
use super::{StoreError, neighbour, place};

/// The log's header begins with it; its last bit says how checksums read words.
const MAGIC: u32 = 0x377f_0682;

/// The only version of either format so far.
const VERSION: u32 = 3_007_000;

/// The log's header, a frame's header, and one of the two headers of the index.
const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
const INDEX_HEADER: usize = 48;

/// By how many generations an index may be older than its log: nobody writes it to the disk, so that after a
/// power cut it may be a stale one. A log of another file differs by any number.
const STALE_MAX: u32 = 100_000;

/// What was found beside the state file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Log {
    /// Committed frames in it.
    pub frames: u32,
    /// Its size; `None` when there is none.
    pub bytes: Option<u64>,
}

/// Which generation of the log.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Salts {
    generation: u32,
    random: u32,
}

/// What the log holds.
struct Scan {
    salts: Salts,
    /// Up to the last whole commit.
    frames: u32,
    /// Commits of this generation at and behind the first frame that is not whole.
    lost_commits: u32,
}

/// What the index says.
struct Index {
    salts: Salts,
    /// How many frames are committed.
    frames: u32,
    /// How many of them are in the state file as well.
    copied: u32,
}

/// Looks at the log of the state file at `state`, before SQLite does.
///
/// # Errors
/// [`StoreError::Damaged`] when it lacks what was committed.
pub fn inspect(state: &Path) -> Result<Log, StoreError> {
    // It was looked at before it was opened.
    if is_in_use(state) {
        return Ok(Log { frames: 0, bytes: None });
    }
    let fail = |error| StoreError::from_io(state, "read its `-wal` and `-shm`", &error);
    // In this order: while somebody writes, the log is never behind the index.
    let index = read_index(state).map_err(fail)?;
    let scan = read_log(state).map_err(fail)?;
    if let Some(detail) = contradiction(index.as_ref(), scan.as_ref()) {
        return Err(StoreError::Damaged { path: state.to_owned(), detail: detail.to_owned() });
    }
    let bytes = neighbour(state, "-wal").metadata().ok().map(|metadata| metadata.len());
    if bytes.is_some_and(|bytes| bytes > 0) && matches!(state.try_exists(), Ok(false)) {
        let detail = "it is gone, and its `-wal` is still there".to_owned();
        return Err(StoreError::Damaged { path: state.to_owned(), detail });
    }
    Ok(Log { frames: scan.map_or(0, |scan| scan.frames), bytes })
}

fn contradiction(index: Option<&Index>, scan: Option<&Scan>) -> Option<&'static str> {
    const LACKS: &str = "its `-wal` lacks commits that were made";
    if scan.is_some_and(|scan| scan.lost_commits > 1) {
        return Some(LACKS);
    }
    let index = index.filter(|index| index.frames > 0)?;
    let is_copied = index.copied >= index.frames;
    match scan {
        None if is_copied => None,
        None => Some(LACKS),
        Some(scan) if scan.salts == index.salts => {
            (!is_copied && scan.frames < index.frames).then_some(LACKS)
        }
        Some(scan) => {
            let newer = scan.salts.generation.wrapping_sub(index.salts.generation);
            (newer == 0 || newer > STALE_MAX).then_some("its `-wal` belongs to another file")
        }
    }
}

/// `None` when there is no log, or one whose header is not whole.
fn read_log(state: &Path) -> io::Result<Option<Scan>> {
    let file = match place::open_to_read(state, "-wal") {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut file = BufReader::with_capacity(1 << 16, file);
    let Some(header) = read_whole::<HEADER>(&mut file)? else { return Ok(None) };
    let magic = big(&header, 0);
    let sum = Sum { is_big: magic & 1 == 1, words: [0, 0] }.over(&header[..24]);
    if magic & !1 != MAGIC || big(&header, 4) != VERSION || sum.words != [big(&header, 24), big(&header, 28)]
    {
        return Ok(None);
    }
    let Ok(size @ 512..=65_536) = usize::try_from(big(&header, 8)) else { return Ok(None) };
    scan(&mut file, size, salts(&header, 16), sum).map(Some)
}

fn scan(file: &mut impl Read, page_size: usize, salts: Salts, mut sum: Sum) -> io::Result<Scan> {
    let mut scan = Scan { salts, frames: 0, lost_commits: 0 };
    let (mut page, mut number, mut is_whole) = (vec![0; page_size], 0, true);
    while let Some(header) = read_whole::<FRAME_HEADER>(file)? {
        if !is_read(file.read_exact(&mut page))? {
            break;
        }
        number += 1;
        let is_ours = self::salts(&header, 8) == salts;
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

/// `None` when there is no index, or none that says anything.
fn read_index(state: &Path) -> io::Result<Option<Index>> {
    let mut file = match place::open_to_read(state, "-shm") {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let Some(bytes) = read_whole::<{ 2 * INDEX_HEADER + 4 }>(&mut file)? else { return Ok(None) };
    let native = |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let header = &bytes[..INDEX_HEADER];
    let is_big = cfg!(target_endian = "big");
    let sum = Sum { is_big, words: [0, 0] }.over(&header[..40]);
    let is_valid = native(0) == VERSION && bytes[12] == 1 && sum.words == [native(40), native(44)];
    // The second copy is written first: while both differ somebody is at it, or a kill came between.
    if !is_valid || header != &bytes[INDEX_HEADER..2 * INDEX_HEADER] {
        return Ok(None);
    }
    Ok(Some(Index { salts: salts(header, 32), frames: native(16), copied: native(2 * INDEX_HEADER) }))
}

/// The running checksum of both formats.
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

fn salts(bytes: &[u8], at: usize) -> Salts {
    Salts { generation: big(bytes, at), random: big(bytes, at + 4) }
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
