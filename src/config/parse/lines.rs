//! The lines of a file: where each starts, and which one a value stands in.

use std::ops::Range;

use config::{Map, Value, ValueKind};
use toml::de::{DeInteger, DeTable, DeValue};

/// The offset at which each line starts.
pub(crate) struct Lines(Vec<usize>);

impl Lines {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        Self(std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect())
    }

    /// The bytes of a line. Lines count from 1.
    pub(crate) fn text<'b>(&self, bytes: &'b [u8], line: usize) -> &'b [u8] {
        let end = self.0.get(line).copied().unwrap_or(bytes.len());
        &bytes[self.0[line - 1]..end]
    }

    /// Line and column of `offset`. Both count from 1, and the column counts characters.
    pub(crate) fn position(&self, bytes: &[u8], offset: usize) -> (usize, usize) {
        let line = self.0.partition_point(|start| *start <= offset);
        let start = self.0[line - 1];
        let before = &bytes[start..offset.min(bytes.len())];
        (line, String::from_utf8_lossy(before).chars().count() + 1)
    }

    pub(crate) fn origin(&self, span: &Range<usize>) -> String {
        format!("line {}", self.0.partition_point(|start| *start <= span.start))
    }

    pub(crate) fn table(&self, table: &DeTable<'_>) -> Map<String, Value> {
        table
            .iter()
            .map(|(key, value)| (key.get_ref().to_string(), self.value(value.get_ref(), &value.span())))
            .collect()
    }

    pub(crate) fn value(&self, value: &DeValue<'_>, span: &Range<usize>) -> Value {
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
