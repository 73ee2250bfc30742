//! Fuzzed bytes as HTTP answers, and short runs over the seeds of a fuzz target.

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// The secret in every fuzzed setting. No output may contain it.
pub const MARK: &str = "s3cr3tm4rk";

/// An HTTP answer from another party.
#[derive(Debug)]
pub struct Answer<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: &'a [u8],
}

impl<'a> Answer<'a> {
    /// Parses the status, a line for each header, an empty line and the body; `None` if the bytes are no answer.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let end = bytes.windows(2).position(|pair| pair == b"\n\n")?;
        let (head, body) = (&bytes[..end], &bytes[end + 2..]);
        let mut lines = head.split(|byte| *byte == b'\n');
        let status = StatusCode::from_bytes(lines.next()?).ok()?;
        let mut headers = HeaderMap::new();
        for line in lines {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = HeaderName::from_bytes(&line[..colon]).ok()?;
            headers.append(name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?);
        }
        Some(Self { status, headers, body })
    }
}

/// Asserts that `text` does not contain the secret in any letter case.
///
/// # Panics
/// If it does.
pub fn assert_hides_the_mark(text: &str) {
    assert!(!text.to_ascii_lowercase().contains(MARK), "shows the secret: {text}");
}

/// How many mutations of each seed a short run tries.
const GARBLED: u64 = 300;

/// Tests `property` on every seed of `target`, every prefix of each seed, and mutations that are the same in every run.
pub fn hold_against_seeds(target: &str, property: impl Fn(&[u8])) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|seed| seed.unwrap().path()).collect();
    paths.sort();
    let seeds: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(!seeds.is_empty(), "{target} has no seeds");
    for seed in &seeds {
        (0..=seed.len()).for_each(|length| property(&seed[..length]));
        for number in 0..GARBLED {
            property(&garbled(seed, &seeds, &mut fastrand::Rng::with_seed(number)));
        }
    }
}

/// `seed` with a few of its bytes changed, removed, repeated, or replaced by bytes of another seed.
fn garbled(seed: &[u8], seeds: &[Vec<u8>], dice: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..dice.usize(1..=4) {
        let from = dice.usize(0..=bytes.len());
        let to = dice.usize(from..=bytes.len().min(from + 16));
        let piece = match dice.u8(0..4) {
            0 => Vec::new(),
            1 => bytes[from..to].repeat(2),
            2 => bytes[from..to].iter().map(|byte| byte ^ (1 << dice.u8(0..8))).collect(),
            _ => {
                let other = &seeds[dice.usize(0..seeds.len())];
                other[dice.usize(0..=other.len())..].iter().take(16).copied().collect()
            }
        };
        bytes.splice(from..to, piece);
    }
    bytes
}
