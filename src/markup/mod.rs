//! A chat's message, written in BB code, in the markup of another messenger.

mod bbcode; // from BB code to parts
mod dialect; // how each messenger writes a part
mod render; // from parts to its markup, up to a length

#[cfg(test)]
mod tests;

pub(crate) use bbcode::parse;
pub(crate) use dialect::Dialect;
pub(crate) use render::render;

/// The nesting of tags that is kept; the tags further inside are left out and their text is kept.
const DEPTH_MAX: usize = 16;

/// A part of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    /// Text, which may have line breaks. Nothing in it is markup.
    Text(String),
    /// Emphasised parts.
    Styled(Style, Vec<Part>),
    /// A link with its text. The address is one of a web page, of mail or of a phone.
    Link(String, Vec<Part>),
    /// A quotation.
    Quote(Vec<Part>),
    /// Preformatted text.
    Code(String),
}

impl Part {
    /// A part with this text.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}

/// An emphasis.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Style {
    Bold,
    Italic,
    Underline,
    Strike,
}

/// The address of a link that a message may lead to; `None` for any other, such as `javascript:`.
pub(crate) fn safe_address(text: &str) -> Option<String> {
    const SCHEMES: [&str; 4] = ["http", "https", "mailto", "tel"];
    let url = reqwest::Url::parse(text.trim()).ok()?;
    if !SCHEMES.contains(&url.scheme()) || !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    let is_hidden = |c: char| c.is_control() || c.is_whitespace();
    if url.as_str().contains(is_hidden) {
        return None;
    }
    // URL parsing leaves these characters alone, and each of them ends a link in some dialect.
    let encoded = |c: char| match c {
        '(' | ')' | '|' | '<' | '>' | '"' | '\'' | '`' | '\\' | '*' | '~' | '[' | ']' | '{' | '}' => {
            format!("%{:02X}", u32::from(c))
        }
        c => c.to_string(),
    };
    Some(url.as_str().chars().map(encoded).collect())
}
