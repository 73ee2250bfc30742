//! Secrets from files and from standard input.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::Context as _;

/// Longer than any URL, in bytes: a longer file is the wrong file.
pub(super) const URL_MAX: usize = 4096;

/// Reads `file`, or standard input for `-`; at most one byte more than [`URL_MAX`].
pub(super) fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let opened: io::Result<Box<dyn Read>> = if file == Path::new("-") {
        Ok(Box::new(io::stdin()))
    } else {
        File::open(file).map(|file| Box::new(file) as _)
    };
    opened
        .and_then(|reader| reader.take(URL_MAX as u64 + 1).read_to_end(&mut bytes))
        .with_context(|| format!("read the URL from `{}`", file.display()))?;
    Ok(bytes)
}
