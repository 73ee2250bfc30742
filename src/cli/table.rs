//! Tables for people: columns two spaces apart, no lines, nothing behind the last column.

use comfy_table::{Table, presets};

use super::palette::visible_in_colour;
use crate::foreign_text::plain;

/// Rows under a header. What is foreign in a cell breaks no line and moves no cursor.
pub struct Rows(Table);

impl Rows {
    pub fn add_row(&mut self, cells: impl IntoIterator<Item = impl AsRef<str>>) {
        let cells =
            cells.into_iter().map(|cell| visible_in_colour(&cell.as_ref().replace(['\n', '\t'], " ")));
        self.0.add_row(cells);
    }
}

/// An empty table under `header`.
pub fn table(header: &[&str]) -> Rows {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    Rows(table)
}

/// The table's lines.
pub fn aligned(Rows(mut table): Rows) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// `text`, or a dash where there is none.
pub fn filled(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { plain(text) }
}
