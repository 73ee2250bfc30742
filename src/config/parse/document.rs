//! Reads the configuration file with a size limit and parses it into a layer whose values know their line.
//!
//! The text may hold secrets, so errors repeat a part of it only if `syntax` finds that part harmless.

use std::io::Read as _;
use std::path::Path;

use config::{Map, Source, Value};
use toml::de::DeTable;

use crate::config::error::ConfigError;
use crate::config::parse::findings::Findings;
use crate::config::parse::lines::Lines;
use crate::config::parse::quote;
use crate::config::parse::syntax;

/// More than any real configuration, little enough to hold in memory.
const LARGEST: u64 = 1024 * 1024;

/// Values to be merged: of a file, or of the command line.
#[derive(Clone, Default, Debug)]
pub(crate) struct Layer(pub(crate) Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.0.clone())
    }
}

/// Reads a file of at most 1 MiB.
pub(crate) fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(std::io::Error::other("is larger than 1 MiB"));
    }
    Ok(bytes)
}

/// Parses the bytes of `file`. Top-level keys with an invalid name are reported and skipped.
pub(crate) fn parse(file: &Path, bytes: &[u8], findings: &Findings) -> Result<Layer, ConfigError> {
    let lines = Lines::of(bytes);
    let syntax = |offset: usize, message: &str| syntax::error(file, bytes, offset, message);
    let text = str::from_utf8(bytes).map_err(|error| syntax(error.valid_up_to(), "is not UTF-8"))?;
    let document = DeTable::parse(text)
        .map_err(|error| syntax(error.span().map_or(0, |span| span.start), error.message()))?;
    let mut table = lines.table(document.get_ref());
    table.retain(|key, _| is_bare(key, findings));
    Ok(Layer(table))
}

/// Accepts only bare top-level keys, because `config` parses such a key as a path (`a.b[7]`).
fn is_bare(key: &str, findings: &Findings) -> bool {
    let is_bare = quote::is_bare(key);
    if !is_bare {
        findings.report(quote::key(key), "unknown key, write keys without quotes");
    }
    is_bare
}
