//! Reads the BB code of chat messages. Whatever is not a known tag is text.

use super::{DEPTH_MAX, Part, Style, safe_address};

/// A tag that is open, with the parts inside it.
struct Open {
    tag: Tag,
    parts: Vec<Part>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Tag {
    Styled(Style),
    /// With the address, unless that is the text inside.
    Link(Option<String>),
    Quote,
    /// A name, a button, a colour: only its text is kept.
    Plain(String),
}

impl Tag {
    /// The tag `name`, with the text behind `=`; `None` for text in brackets that is no tag.
    fn of(name: &str, value: Option<&str>) -> Option<Self> {
        const PLAIN: [&str; 11] = [
            "user",
            "chat",
            "send",
            "put",
            "call",
            "size",
            "color",
            "font",
            "timestamp",
            "context",
            "history",
        ];
        let name = name.to_ascii_lowercase();
        Some(match (name.as_str(), value) {
            ("b", None) => Self::Styled(Style::Bold),
            ("i", None) => Self::Styled(Style::Italic),
            ("u", None) => Self::Styled(Style::Underline),
            ("s", None) => Self::Styled(Style::Strike),
            ("quote", _) => Self::Quote,
            ("url", value) => Self::Link(value.map(str::to_owned)),
            ("img", None) => Self::Link(None),
            (name, _) if PLAIN.contains(&name) => Self::Plain(name.to_owned()),
            _ => return None,
        })
    }

    /// Whether `[/name]` closes it.
    fn is_closed_by(&self, name: &str) -> bool {
        let own = match self {
            Self::Styled(Style::Bold) => "b",
            Self::Styled(Style::Italic) => "i",
            Self::Styled(Style::Underline) => "u",
            Self::Styled(Style::Strike) => "s",
            Self::Link(_) => return name.eq_ignore_ascii_case("url") || name.eq_ignore_ascii_case("img"),
            Self::Quote => "quote",
            Self::Plain(own) => own,
        };
        own.eq_ignore_ascii_case(name)
    }

    fn close(self, parts: Vec<Part>) -> Vec<Part> {
        match self {
            Self::Styled(style) => vec![Part::Styled(style, parts)],
            Self::Quote => vec![Part::Quote(parts)],
            Self::Plain(_) => parts,
            Self::Link(address) => {
                let address = address.unwrap_or_else(|| plain(&parts));
                match safe_address(&address) {
                    Some(address) if parts.is_empty() => {
                        vec![Part::Link(address.clone(), vec![Part::Text(address)])]
                    }
                    Some(address) => vec![Part::Link(address, without_links(parts))],
                    None => parts,
                }
            }
        }
    }
}

/// Parses `text`. An unclosed tag is closed together with the tag around it. A closing tag without an opening one is
/// text.
pub(crate) fn parse(text: &str) -> Vec<Part> {
    let mut open = vec![Open { tag: Tag::Plain(String::new()), parts: Vec::new() }];
    let mut rest = text;
    while let Some(at) = rest.find('[') {
        let (before, from) = rest.split_at(at);
        push_text(&mut open, before);
        let Some((inside, behind)) = from[1..].split_once(']') else {
            rest = from;
            break;
        };
        rest = step(&mut open, inside, behind).unwrap_or_else(|| {
            push_text(&mut open, "[");
            &from[1..]
        });
    }
    push_text(&mut open, rest);
    while open.len() > 1 {
        close_last(&mut open);
    }
    open.pop().map(|open| open.parts).unwrap_or_default()
}

/// Follows the tag `[inside]`, and returns the text to go on with; `None` if it is no tag.
fn step<'t>(open: &mut Vec<Open>, inside: &str, behind: &'t str) -> Option<&'t str> {
    if let Some(name) = inside.strip_prefix('/') {
        let at = open.iter().rposition(|open| open.tag.is_closed_by(name)).filter(|at| *at > 0)?;
        while open.len() > at {
            close_last(open);
        }
        return Some(behind);
    }
    let (name, value) = inside.split_once('=').map_or((inside, None), |(name, value)| (name, Some(value)));
    match name.to_ascii_lowercase().as_str() {
        "br" => {
            push_text(open, "\n");
            return Some(behind);
        }
        "code" => {
            let end = behind.to_ascii_lowercase().find("[/code]")?;
            push(open, Part::Code(behind[..end].to_owned()));
            return Some(&behind[end + "[/code]".len()..]);
        }
        // Files and blocks that only the portal can show.
        "attach" | "disk" | "icon" | "rating" | "like" | "dislike" => return value.map(|_| behind),
        _ => {}
    }
    let tag = Tag::of(name, value)?;
    if open.len() > DEPTH_MAX {
        return Some(behind);
    }
    open.push(Open { tag, parts: Vec::new() });
    Some(behind)
}

fn close_last(open: &mut Vec<Open>) {
    let Some(Open { tag, parts }) = open.pop() else { return };
    for part in tag.close(parts) {
        push(open, part);
    }
}

fn push(open: &mut [Open], part: Part) {
    if let Some(last) = open.last_mut() {
        last.parts.push(part);
    }
}

/// Adds text; the addresses in it become links.
fn push_text(open: &mut [Open], text: &str) {
    let mut rest = text;
    while let Some(at) = ["https://", "http://"].iter().filter_map(|scheme| rest.find(scheme)).min() {
        let (before, from) = rest.split_at(at);
        push_plain(open, before);
        let end = from.find(|c: char| c.is_whitespace() || "<>\"[]".contains(c)).unwrap_or(from.len());
        let shown =
            from[..end].trim_end_matches(['.', ',', ';', ':', '!', '?', ')', '\'', '*', '_', '~', '`']);
        match safe_address(shown) {
            Some(address) => push(open, Part::Link(address, vec![Part::text(shown)])),
            None => push_plain(open, shown),
        }
        rest = &from[shown.len().max(1)..];
        if shown.is_empty() {
            push_plain(open, &from[..1]);
        }
    }
    push_plain(open, rest);
}

fn push_plain(open: &mut [Open], text: &str) {
    if text.is_empty() {
        return;
    }
    let Some(Open { parts, .. }) = open.last_mut() else { return };
    match parts.last_mut() {
        Some(Part::Text(last)) => last.push_str(text),
        _ => parts.push(Part::text(text)),
    }
}

/// The text of `parts` without markup.
pub(super) fn plain(parts: &[Part]) -> String {
    parts
        .iter()
        .map(|part| match part {
            Part::Text(text) | Part::Code(text) => text.clone(),
            Part::Styled(_, parts) | Part::Link(_, parts) | Part::Quote(parts) => plain(parts),
        })
        .collect()
}

/// A link has no links inside.
fn without_links(parts: Vec<Part>) -> Vec<Part> {
    parts
        .into_iter()
        .flat_map(|part| match part {
            Part::Styled(style, parts) => vec![Part::Styled(style, without_links(parts))],
            Part::Link(_, parts) | Part::Quote(parts) => without_links(parts),
            Part::Code(text) => vec![Part::Text(text)],
            part @ Part::Text(_) => vec![part],
        })
        .collect()
}
