//! How each messenger writes emphasis, links and quotations, and how text is kept from being either.

use super::Style;

/// A character without width. It keeps the two around it from being read together.
const GAP: char = '\u{200b}';

/// The markup of a messenger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dialect {
    /// Slack's mrkdwn.
    Slack,
    /// Markdown as Mattermost reads it.
    Mattermost,
    /// Markdown as Discord reads it.
    Discord,
    /// The HTML of Telegram's bot API.
    Telegram,
    /// Markdown in a card of Teams.
    Teams,
}

impl Dialect {
    /// The marks around an emphasis; empty ones where there is none.
    pub(super) fn marks(self, style: Style) -> (&'static str, &'static str) {
        match (self, style) {
            (Self::Slack, Style::Bold) => ("*", "*"),
            (Self::Slack | Self::Mattermost | Self::Discord | Self::Teams, Style::Italic) => ("_", "_"),
            (Self::Slack, Style::Strike) => ("~", "~"),
            (Self::Mattermost | Self::Discord | Self::Teams, Style::Bold) => ("**", "**"),
            (Self::Mattermost | Self::Discord, Style::Strike) => ("~~", "~~"),
            (Self::Discord, Style::Underline) => ("__", "__"),
            (Self::Telegram, Style::Bold) => ("<b>", "</b>"),
            (Self::Telegram, Style::Italic) => ("<i>", "</i>"),
            (Self::Telegram, Style::Underline) => ("<u>", "</u>"),
            (Self::Telegram, Style::Strike) => ("<s>", "</s>"),
            (Self::Slack | Self::Mattermost | Self::Teams, Style::Underline)
            | (Self::Teams, Style::Strike) => ("", ""),
        }
    }

    /// The marks around a quotation, and what each of its lines begins with.
    pub(super) fn quotation(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Telegram => ("<blockquote>", "</blockquote>", ""),
            Self::Slack | Self::Mattermost | Self::Discord | Self::Teams => ("", "", "> "),
        }
    }

    /// A line break.
    pub(super) fn line_break(self) -> &'static str {
        match self {
            // A card reads a single one as a space.
            Self::Teams => "\n\n",
            Self::Slack | Self::Mattermost | Self::Discord | Self::Telegram => "\n",
        }
    }

    /// The marks around the text of a link. `is_bare` is true if the text is the address.
    pub(super) fn link(self, address: &str, is_bare: bool) -> (String, String) {
        match self {
            Self::Slack => (format!("<{}|", address.replace('&', "&amp;")), ">".to_owned()),
            Self::Telegram => (format!("<a href=\"{}\">", address.replace('&', "&amp;")), "</a>".to_owned()),
            Self::Mattermost | Self::Discord if is_bare => (format!("<{address}>"), String::new()),
            Self::Mattermost | Self::Discord | Self::Teams => ("[".to_owned(), format!("]({address})")),
        }
    }

    /// Whether a bare link consists of its marks alone.
    pub(super) fn has_bare_links(self) -> bool {
        matches!(self, Self::Mattermost | Self::Discord)
    }

    /// Preformatted text.
    pub(super) fn code(self, text: &str) -> String {
        let fenced = |text: &str| format!("```\n{}\n```", text.replace('`', &format!("`{GAP}")));
        match self {
            Self::Telegram => format!("<pre>{}</pre>", entities(text)),
            Self::Slack => fenced(&entities(text)),
            Self::Mattermost | Self::Discord => fenced(text),
            Self::Teams => self.escape(text, true),
        }
    }

    /// Escapes the markup in `text`. `is_line_start` is true at the beginning of a line.
    pub(super) fn escape(self, text: &str, is_line_start: bool) -> String {
        match self {
            Self::Telegram => entities(text),
            Self::Slack => slack(&entities(text)),
            Self::Mattermost | Self::Discord => markdown(text, is_line_start, self == Self::Discord),
            Self::Teams => markdown(&text.replace('<', "‹").replace('>', "›"), is_line_start, false),
        }
    }
}

/// Breaks `@everyone`, `@channel`, `@name` and the like. Addresses of mail stay as they are.
pub(super) fn unmentioned(text: &str) -> String {
    const GROUPS: [&str; 4] = ["all", "channel", "everyone", "here"];
    let mut safe = String::with_capacity(text.len());
    let mut is_in_word = false;
    for (at, c) in text.char_indices() {
        safe.push(c);
        let rest = &text[at + c.len_utf8()..];
        let calls_group = || {
            GROUPS
                .iter()
                .any(|group| rest.get(..group.len()).is_some_and(|rest| rest.eq_ignore_ascii_case(group)))
        };
        if c == '@' && !rest.is_empty() && (!is_in_word || calls_group()) {
            safe.push(GAP);
        }
        is_in_word = c.is_alphanumeric();
    }
    safe
}

/// Text for HTML, and for Slack, which reads these three as HTML does.
fn entities(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Slack has no escape for the marks of emphasis. They count only at the edge of a word.
fn slack(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let is_inside = before.is_alphanumeric() && chars.peek().is_some_and(|next| next.is_alphanumeric());
        if "*_~`".contains(c) && !is_inside {
            safe.extend([GAP, c, GAP]);
        } else {
            safe.push(c);
        }
        before = c;
    }
    safe
}

fn markdown(text: &str, is_line_start: bool, escapes_angle: bool) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut is_start = is_line_start;
    let mut is_number = false;
    for c in text.chars() {
        let is_mark = "\\`*_~[]()|".contains(c)
            || (escapes_angle && "<>".contains(c))
            || (is_start && "#-+>=".contains(c))
            || (is_number && ".)".contains(c));
        if is_mark {
            safe.push('\\');
        }
        safe.push(c);
        is_number = (is_start || is_number) && c.is_ascii_digit();
        is_start = c == '\n' || (is_start && c.is_whitespace());
    }
    safe
}
