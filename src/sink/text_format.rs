//! Formats an event as one line for standard output, as JSON or as a short text for a terminal. In a short
//! text, control characters become spaces, invisible characters are escaped, long values are cut off, and
//! missing values are left out.

use std::borrow::Cow;
use std::io::Write as _;

use b24_client::foreign_text::{visible, visible_json};
use serde::Deserialize;
use serde_json::Value;

use crate::config::StdoutFormat;
use crate::event::Event;

/// The width of the type column: that of the longest known type, `BOT REACTIONCHANGE`.
const TYPE_WIDTH: usize = 18;

/// The maximum length of a type, in characters; the portal stores no more.
const TYPE_MAX: usize = 50;

/// The maximum length of a chat text, in characters.
const TEXT_MAX: usize = 80;

/// The parts of `data` that are shown. Each may be missing, or of another type.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Data {
    message: Value,
    #[serde(rename = "messageId")]
    message_id: Value,
    chat: Value,
    user: Value,
    reaction: Value,
    action: Value,
}

/// Appends `event` as one line.
pub fn write_as(format: StdoutFormat, event: &Event, line: &mut Vec<u8>) {
    match format {
        StdoutFormat::Json => event.write_line(line),
        StdoutFormat::Text => write_line(event, line),
    }
}

/// Escapes the control characters and invisible characters in `lines`. The meaning of JSON does not change.
pub fn for_terminal(lines: &[u8]) -> Vec<u8> {
    visible_json(&String::from_utf8_lossy(lines)).into_owned().into_bytes()
}

fn write_line(event: &Event, line: &mut Vec<u8>) {
    let data: Data = serde_json::from_str(event.data.get()).unwrap_or_default();
    let when: String = serde_json::from_str(event.date.get()).unwrap_or_default();
    let time = when
        .get(11..19)
        .filter(|time| time.bytes().all(|byte| byte.is_ascii_graphic()))
        .unwrap_or("--:--:--");
    let is_private = data.chat["type"] == "private";
    let unnamed = if is_private { "(private)" } else { filled(&data.chat["dialogId"]).unwrap_or_default() };
    let chat = filled(&data.chat["name"]).unwrap_or(unnamed);
    let user = filled(&data.user["name"]).unwrap_or_default();
    // Writing to a `Vec` cannot fail.
    let _infallible = writeln!(
        line,
        "{time} {:<12} {:>8}  {:<TYPE_WIDTH$} {:<20} {:<16} {}",
        clean(&event.queue.source, 12),
        event.id,
        clean(&kind(event), TYPE_MAX),
        clean(chat, 20),
        clean(user, 16),
        clean(&what(&data), TEXT_MAX),
    );
}

/// The type without the prefix that all types of a queue share.
fn kind(event: &Event) -> Cow<'_, str> {
    let bot = event.kind.strip_prefix("ONIMBOTV2").map(|kind| format!("BOT {kind}").into());
    bot.unwrap_or_else(|| event.kind.strip_prefix("ONIMV2").unwrap_or(&event.kind).into())
}

fn what(data: &Data) -> String {
    let text = filled(&data.message["text"]).unwrap_or_default();
    match (filled(&data.reaction), &data.message_id) {
        (Some(reaction), _) => format!("{} {reaction}: {text}", filled(&data.action).unwrap_or("changed")),
        (None, Value::Null) => text.to_owned(),
        (None, id) => format!("(message {id})"),
    }
}

fn filled(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

/// At most `max` characters of `text`.
fn clean(text: &str, max: usize) -> String {
    let beginning = text.chars().take(max + 1).map(|c| if c.is_control() { ' ' } else { c });
    let shown = visible(&beginning.collect::<String>());
    if shown.chars().nth(max).is_none() {
        return shown;
    }
    shown.chars().take(max - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::value::RawValue;

    use super::*;
    use crate::event::{EventId, Queue};

    fn event(kind: &str, data: &str) -> Event {
        Event {
            queue: Arc::new(Queue::new("support", "a.example/user/1")),
            id: EventId::try_new(2001).unwrap(),
            kind: kind.into(),
            date: RawValue::from_string(r#""2026-08-20T09:15:02+03:00""#.into()).unwrap(),
            data: RawValue::from_string(data.into()).unwrap(),
        }
    }

    fn written(event: &Event) -> String {
        let mut line = Vec::new();
        write_as(StdoutFormat::Text, event, &mut line);
        String::from_utf8(line).unwrap()
    }

    fn line(kind: &str, data: &str) -> String {
        written(&event(kind, data))
    }

    #[test]
    fn a_message_shows_who_wrote_what_where() {
        let data = r#"{"message":{"text":"Build is green"},"chat":{"name":"Release"},"user":{"name":"Ada"}}"#;
        let line = line("ONIMV2MESSAGEADD", data);
        for part in ["09:15:02", "support", "2001", "MESSAGEADD", "Release", "Ada", "Build is green"] {
            assert!(line.contains(part), "{line}");
        }
    }

    #[test]
    fn hostile_text_cannot_move_the_cursor_or_flood_the_screen() {
        let hostile = "\\u001b[2J\\u202e\\u200b\\u0085\u{2066}\u{feff}";
        let long = "я".repeat(20_000);
        let text = format!(
            r#"{{"message":{{"text":"{hostile}{long}"}},"chat":{{"name":"{hostile}"}},"user":{{"name":"{hostile}"}}}}"#
        );
        let date = RawValue::from_string(format!("\"2026-08-20T{hostile}\"")).unwrap();
        for date in [date, RawValue::from_string(r#""2026-08-20T\u001b]0;x\u0007""#.into()).unwrap()] {
            let line = written(&Event {
                date,
                ..event(&format!("ONIMV2{}", hostile.replace("\\u001b", "\u{1b}")), &text)
            });
            let is_hostile =
                |c: char| c.is_control() || matches!(c, '\u{200b}' | '\u{202e}' | '\u{2066}' | '\u{feff}');
            assert!(!line.trim_end().contains(is_hostile) && line.chars().count() < 200, "{line:?}");
            assert!(line.starts_with("--:--:-- "), "{line:?}");
        }
    }

    #[test]
    fn the_types_of_a_bot_s_events_are_told_apart() {
        for (kind, shown) in [
            ("ONIMBOTV2MESSAGEADD", " BOT MESSAGEADD "),
            ("ONIMBOTV2MESSAGEUPDATE", " BOT MESSAGEUPDATE "),
            ("ONIMBOTV2MESSAGEDELETE", " BOT MESSAGEDELETE "),
            ("ONIMBOTV2DELETE", " BOT DELETE "),
            ("ONIMV2MESSAGEDELETE", " MESSAGEDELETE "),
            ("ONIMV3SOMETHINGVERYLONGANDNEWADD", " ONIMV3SOMETHINGVERYLONGANDNEWADD "),
        ] {
            let line = line(kind, "{}");
            assert!(line.contains(shown), "no `{shown}` in: {line}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_spelled() {
        let data =
            r#"{"message":{"text":"a\u202eb\u200bc"},"chat":{"name":"d\u2066e"},"user":{"name":"f\ufeffg"}}"#;
        let line = line("ONIMV2MESSAGEADD", data);
        for shown in [r"a\u202eb\u200bc", r"d\u2066e", r"f\ufeffg"] {
            assert!(line.contains(shown), "no `{shown}` in: {line}");
        }
        assert!(line.chars().count() < 200, "{line}");
    }

    #[test]
    fn odd_payloads_still_make_a_line() {
        for data in ["null", "[]", "7", r#"{"message":[],"chat":"x","user":{"id":1},"messageId":5}"#] {
            assert_eq!(line("", data).lines().count(), 1, "{data}");
        }
    }
}
