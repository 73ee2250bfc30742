//! Reads the configuration file with a size limit and parses it into a layer whose values know their line.
//!
//! The text may hold secrets, so errors repeat a part of it only if `syntax` finds that part harmless.

use std::io::Read as _;
use std::ops::Range;
use std::path::Path;

use config::{Map, Source, Value, ValueKind};
use toml::de::{DeInteger, DeTable, DeValue};

use super::error::ConfigError;
use super::table::Findings;
use super::{shown, syntax};

/// Larger than any real configuration, but small enough to hold in memory.
const LARGEST: u64 = 1024 * 1024;

/// A set of values to merge, from a file or from the command line.
#[derive(Clone, Default, Debug)]
pub(super) struct Layer(pub(super) Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.0.clone())
    }
}

/// Reads a file of at most 1 MiB.
pub(super) fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(std::io::Error::other("is larger than 1 MiB"));
    }
    Ok(bytes)
}

/// Parses the bytes of `file`. Top-level keys with an invalid name are reported and skipped.
pub(super) fn parse(file: &Path, bytes: &[u8], findings: &Findings) -> Result<Layer, ConfigError> {
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
    let is_bare = shown::is_bare(key);
    if !is_bare {
        findings.report(shown::key(key), "unknown key, write keys without quotes");
    }
    is_bare
}

/// The offset at which each line starts.
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        Self(std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect())
    }

    /// The bytes of a line. Lines count from 1.
    pub(super) fn text<'b>(&self, bytes: &'b [u8], line: usize) -> &'b [u8] {
        let end = self.0.get(line).copied().unwrap_or(bytes.len());
        &bytes[self.0[line - 1]..end]
    }

    /// Line and column of `offset`. Both count from 1, and the column counts characters.
    pub(super) fn position(&self, bytes: &[u8], offset: usize) -> (usize, usize) {
        let line = self.0.partition_point(|start| *start <= offset);
        let start = self.0[line - 1];
        let before = &bytes[start..offset.min(bytes.len())];
        (line, String::from_utf8_lossy(before).chars().count() + 1)
    }

    fn origin(&self, span: &Range<usize>) -> String {
        format!("line {}", self.0.partition_point(|start| *start <= span.start))
    }

    fn table(&self, table: &DeTable<'_>) -> Map<String, Value> {
        table
            .iter()
            .map(|(key, value)| (key.get_ref().to_string(), self.value(value.get_ref(), &value.span())))
            .collect()
    }

    fn value(&self, value: &DeValue<'_>, span: &Range<usize>) -> Value {
        let kind = match value {
            DeValue::String(text) => ValueKind::String(text.to_string()),
            DeValue::Integer(integer) => number(integer),
            DeValue::Float(float) => ValueKind::Float(float.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(boolean) => ValueKind::Boolean(*boolean),
            DeValue::Datetime(_) => ValueKind::Nil,
            DeValue::Array(items) => {
                ValueKind::Array(items.iter().map(|item| self.value(item.get_ref(), &item.span())).collect())
            }
            DeValue::Table(table) => ValueKind::Table(self.table(table)),
        };
        Value::new(Some(&self.origin(span)), kind)
    }
}

/// An integer that does not fit into 64 bits. No key accepts it.
fn number(integer: &DeInteger<'_>) -> ValueKind {
    i64::from_str_radix(integer.as_str(), integer.radix()).map_or(ValueKind::I128(i128::MAX), ValueKind::I64)
}
