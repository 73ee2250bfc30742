//! Tables for people: columns two spaces apart, without lines and without trailing spaces.

use std::io::stdout;

use b24_client::foreign_text::plain;
use comfy_table::{Table, presets};
use terminal_size::{Width, terminal_size_of};

use crate::cli::output::palette::{Hue, Palette, visible_in_colour, width};

/// Rows under a header. Control characters in a cell are replaced, so a cell cannot break a line or move the cursor.
pub(in crate::cli) struct Rows(Table);

impl Rows {
    pub(in crate::cli) fn add_row(&mut self, cells: impl IntoIterator<Item = impl AsRef<str>>) {
        let cells =
            cells.into_iter().map(|cell| visible_in_colour(&cell.as_ref().replace(['\n', '\t'], " ")));
        self.0.add_row(cells);
    }
}

/// An empty table under `header`.
pub(in crate::cli) fn table(header: &[&str]) -> Rows {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    Rows(table)
}

/// The table's lines.
pub(in crate::cli) fn aligned(Rows(mut table): Rows) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// `text`, or a dash where there is none.
pub(in crate::cli) fn filled(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { plain(text) }
}

/// How important a column is when there is no room for all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) enum Importance {
    /// Dropped first.
    Low,
    Middle,
    High,
    /// Always shown.
    Needed,
}

/// A table that drops the less important columns where the terminal is too narrow, so that no line wraps.
#[derive(Default)]
pub(in crate::cli) struct Columns(Vec<Column>);

struct Column {
    header: &'static str,
    importance: Importance,
    cells: Vec<String>,
}

impl Column {
    /// The header, as wide as the cells are taken to be: the table counts the escape sequences of a coloured cell.
    fn shown_header(&self) -> String {
        let is_coloured = self.cells.iter().any(|cell| cell.contains('\u{1b}'));
        let colour = if is_coloured { Palette::Coloured.paint(Hue::Green, "") } else { String::new() };
        colour + self.header
    }

    /// Its width in columns, with the space after it.
    fn width(&self) -> usize {
        let cells = self.cells.iter().map(|cell| width(cell));
        2 + cells.chain([self.header.len()]).max().unwrap_or(0)
    }
}

impl Columns {
    pub(in crate::cli) fn add(&mut self, header: &'static str, importance: Importance, cells: Vec<String>) {
        self.0.push(Column { header, importance, cells });
    }

    /// The lines of the table that fit the width of standard output.
    pub(in crate::cli) fn aligned(self) -> String {
        let room = terminal_size_of(stdout()).map(|(Width(columns), _)| usize::from(columns));
        self.aligned_within(room)
    }

    fn aligned_within(mut self, room: Option<usize>) -> String {
        let is_wide = |columns: &[Column]| {
            let width: usize = columns.iter().map(Column::width).sum();
            room.is_some_and(|room| width > room + 2)
        };
        while is_wide(&self.0) {
            let least = self.0.iter().map(|column| column.importance).min();
            let Some(least) = least.filter(|least| *least < Importance::Needed) else { break };
            let at = self.0.iter().rposition(|column| column.importance == least);
            at.map(|at| self.0.remove(at));
        }
        let headers: Vec<String> = self.0.iter().map(Column::shown_header).collect();
        let mut rows = table(&headers.iter().map(String::as_str).collect::<Vec<_>>());
        for row in 0..self.0.first().map_or(0, |column| column.cells.len()) {
            rows.add_row(self.0.iter().map(|column| &column.cells[row]));
        }
        aligned(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_move_no_column() {
        let shown = |palette: Palette| {
            let mut columns = Columns::default();
            columns.add("STATE", Importance::Needed, vec![palette.paint(Hue::Red, "held")]);
            columns.add("COUNT", Importance::Needed, vec!["1".to_owned()]);
            columns.aligned_within(None)
        };
        let coloured = shown(Palette::Coloured).replace("\u{1b}[31m", "").replace("\u{1b}[32m", "");
        assert_eq!(coloured.replace("\u{1b}[0m", ""), shown(Palette::Plain));
    }

    #[test]
    fn what_there_is_no_room_for_is_left_out_by_its_importance() {
        let shown = |room| {
            let mut columns = Columns::default();
            for (header, importance) in [
                ("NAME", Importance::Needed),
                ("QUEUE", Importance::Low),
                ("COUNT", Importance::High),
                ("COMMIT", Importance::Low),
            ] {
                columns.add(header, importance, vec!["1234567".to_owned()]);
            }
            columns.aligned_within(room).lines().next().unwrap().to_owned()
        };
        assert_eq!(shown(None), "NAME     QUEUE    COUNT    COMMIT");
        assert_eq!(shown(Some(34)), shown(None));
        assert_eq!(shown(Some(33)), "NAME     QUEUE    COUNT");
        assert_eq!(shown(Some(24)), "NAME     COUNT");
        assert_eq!(shown(Some(3)), "NAME");
    }
}
