//! Writes parts in a dialect, up to a length that the messenger takes.

use std::collections::BTreeSet;

use super::bbcode::plain;
use super::dialect::unmentioned;
use super::{Dialect, Part, Style};

/// The mark at the end of a cut text.
const CUT: &str = "…";

/// How often a shorter text is tried before the rest is left out at once.
const TRIES_MAX: usize = 40;

/// `parts` in `dialect`. If `measure`, which sees the markup and the visible text, says more than `max`, the end is left
/// out, and a `…` shows that.
pub(crate) fn render(
    parts: &[Part],
    dialect: Dialect,
    max: usize,
    measure: impl Fn(&str, &str) -> usize,
) -> String {
    let mut room = usize::MAX;
    for _ in 0..TRIES_MAX {
        let mut writer = Writer::new(dialect, room);
        writer.parts(parts);
        let (markup, shown) = writer.finish();
        let length = measure(&markup, &shown);
        if length <= max {
            return markup;
        }
        // Escapes and marks may shrink less than the text does, so this takes several steps.
        let count = shown.chars().count().min(room);
        let fitting = count.saturating_mul(max) / length;
        room = fitting.min(count.saturating_sub(1));
    }
    String::new()
}

struct Writer {
    dialect: Dialect,
    markup: String,
    /// The text that a reader sees.
    shown: String,
    /// How many characters may still be shown.
    room: usize,
    styles: BTreeSet<Style>,
    is_in_quote: bool,
    is_cut: bool,
}

impl Writer {
    fn new(dialect: Dialect, room: usize) -> Self {
        Self {
            dialect,
            markup: String::new(),
            shown: String::new(),
            room,
            styles: BTreeSet::new(),
            is_in_quote: false,
            is_cut: false,
        }
    }

    fn finish(self) -> (String, String) {
        (self.markup, self.shown)
    }

    fn parts(&mut self, parts: &[Part]) {
        for part in parts {
            if self.is_cut {
                return;
            }
            match part {
                Part::Text(text) => self.text(text),
                Part::Styled(style, parts) => self.styled(*style, parts),
                Part::Link(address, parts) => self.link(address, parts),
                Part::Quote(parts) => self.quote(parts),
                Part::Code(text) => {
                    let text = self.take(text);
                    self.start_line();
                    self.markup.push_str(&self.dialect.code(&text));
                    self.mark_cut();
                }
            }
        }
    }

    fn text(&mut self, text: &str) {
        let text = self.take(&unmentioned(text));
        for (at, line) in text.split('\n').enumerate() {
            if at > 0 {
                self.markup.push_str(self.dialect.line_break());
                self.begin_line();
            }
            let is_start = self.is_line_start();
            let line = line.replace('\r', "");
            self.markup.push_str(&self.dialect.escape(&line, is_start));
        }
        self.mark_cut();
    }

    /// Emphasis does not work around white space and line breaks: each line has its own marks, inside the white space.
    fn styled(&mut self, style: Style, parts: &[Part]) {
        let (begin, end) = self.dialect.marks(style);
        let is_simple = parts.iter().all(|part| matches!(part, Part::Text(_)));
        let text = plain(parts);
        if text.trim().is_empty() || begin.is_empty() || self.styles.contains(&style) {
            return self.parts(parts);
        }
        if !is_simple {
            // Marks around other marks are left to those inside if the text begins or ends with white space.
            if text.trim() != text || text.contains('\n') {
                return self.parts(parts);
            }
            self.styles.insert(style);
            self.markup.push_str(begin);
            self.parts(parts);
            self.markup.push_str(end);
            self.styles.remove(&style);
            return;
        }
        for (at, line) in text.split('\n').enumerate() {
            if self.is_cut {
                return;
            }
            if at > 0 {
                self.text("\n");
            }
            let inner = line.trim();
            if inner.is_empty() {
                self.text(line);
                continue;
            }
            let (before, behind) = line.split_once(inner).unwrap_or_default();
            self.text(before);
            self.markup.push_str(begin);
            self.text(inner);
            self.markup.push_str(end);
            if !self.is_cut {
                self.text(behind);
            }
        }
    }

    fn link(&mut self, address: &str, parts: &[Part]) {
        let label = plain(parts);
        if label.trim().is_empty() {
            return self.link(address, &[Part::text(address)]);
        }
        let is_bare = label == address || label.trim_end_matches('/') == address.trim_end_matches('/');
        let (begin, end) = self.dialect.link(address, is_bare);
        if is_bare && self.dialect.has_bare_links() {
            let count = address.chars().count();
            if count > self.room {
                self.take(address);
                return self.mark_cut();
            }
            self.take(address);
            self.markup.push_str(&begin);
            return;
        }
        self.markup.push_str(&begin);
        let label = label.replace('\n', " ");
        if parts.iter().all(|part| matches!(part, Part::Text(_))) {
            // The `|` would end nothing here, and a `>` is escaped.
            self.text(&label);
        } else {
            self.parts(parts);
        }
        self.markup.push_str(&end);
    }

    fn quote(&mut self, parts: &[Part]) {
        if self.is_in_quote {
            return self.parts(parts);
        }
        let (begin, end, prefix) = self.dialect.quotation();
        if !prefix.is_empty() {
            self.start_line();
        }
        self.is_in_quote = true;
        self.markup.push_str(begin);
        self.markup.push_str(prefix);
        self.parts(parts);
        self.is_in_quote = false;
        self.markup.push_str(end);
        if !prefix.is_empty() {
            self.start_line();
        }
    }

    /// As much of `text` as there is room for.
    fn take(&mut self, text: &str) -> String {
        let taken: String = text.chars().take(self.room).collect();
        self.is_cut |= taken.len() < text.len();
        self.room -= taken.chars().count();
        self.shown.push_str(&taken);
        taken
    }

    fn mark_cut(&mut self) {
        if self.is_cut && !self.shown.ends_with(CUT) {
            self.markup.push_str(CUT);
            self.shown.push_str(CUT);
        }
    }

    fn is_line_start(&self) -> bool {
        let (_, _, prefix) = self.dialect.quotation();
        let is_quoted = self.is_in_quote && self.markup.ends_with(prefix);
        self.markup.is_empty() || self.markup.ends_with('\n') || is_quoted && !prefix.is_empty()
    }

    /// Begins a line, unless one has just begun.
    fn start_line(&mut self) {
        if !self.is_line_start() {
            self.markup.push_str(self.dialect.line_break());
            self.begin_line();
        }
    }

    fn begin_line(&mut self) {
        if self.is_in_quote {
            let (_, _, prefix) = self.dialect.quotation();
            self.markup.push_str(prefix);
        }
    }
}
