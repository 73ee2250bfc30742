//! Tables for people: columns two spaces apart, no lines, nothing behind the last column.

use comfy_table::{Table, presets};

use crate::foreign_text::plain;

/// An empty table under `header`.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

/// The table's lines.
pub fn aligned(mut table: Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// `text`, or a dash where there is none.
pub fn filled(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { plain(text) }
}
