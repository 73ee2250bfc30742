//! How fuzzed bytes are read, for the doors that rooms open to `fuzz/`; in no program that is built to be used.

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// The secret that every fuzzed world hides, and that nothing may show.
pub const MARK: &str = "s3cr3tm4rk";

/// An answer as somebody else sends it.
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
    /// Reads the status, a line for each header, an empty line and the body; `None` where that is no answer.
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

/// Nothing of the secret is in `text`, in whatever letters.
///
/// # Panics
/// When it is.
pub fn assert_hides_the_mark(text: &str) {
    assert!(!text.to_ascii_lowercase().contains(MARK), "shows the secret: {text}");
}

/// Holds `property` against every seed of `target`, and against every beginning of each.
#[cfg(test)]
pub fn hold_against_seeds(target: &str, property: impl Fn(&[u8])) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut count = 0;
    for seed in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(seed.unwrap().path()).unwrap();
        (0..=bytes.len()).for_each(|length| property(&bytes[..length]));
        count += 1;
    }
    assert!(count > 0, "{target} has no seeds");
}
