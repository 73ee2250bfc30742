//! [`Chat`]: which chat an event belongs to. Pure.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::event::Event;

/// What an event belongs to (PORTAL.md 2.7). Those that do not say it are taken for one chat.
#[derive(PartialEq, Eq, Hash, Debug)]
pub enum Chat<'e> {
    /// `chat.id`, which is the same for all who take part, or `message.chatId`.
    Id(&'e str),
    /// `dialogId`.
    Dialog(&'e str),
    /// It does not say.
    Unknown,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data<'e> {
    #[serde(borrow)]
    chat: Option<&'e RawValue>,
    #[serde(borrow)]
    message: Option<&'e RawValue>,
    #[serde(borrow, rename = "dialogId")]
    dialog: Option<&'e RawValue>,
}

#[derive(Deserialize)]
struct ChatData<'e> {
    #[serde(borrow)]
    id: &'e RawValue,
}

#[derive(Deserialize)]
struct MessageData<'e> {
    #[serde(borrow, rename = "chatId")]
    chat_id: &'e RawValue,
}

impl<'e> Chat<'e> {
    /// The chat of `event`.
    pub fn of(event: &'e Event) -> Self {
        let data: Data<'e> = serde_json::from_str(event.data.get()).unwrap_or_default();
        let chat = data.chat.and_then(|chat| serde_json::from_str(chat.get()).ok());
        let chat = chat.map(|ChatData { id }| id);
        let message = || data.message.and_then(|message| serde_json::from_str(message.get()).ok());
        let chat = chat.or_else(|| message().map(|MessageData { chat_id }| chat_id));
        // The same number may come with or without quotes.
        let bare = |value: &'e RawValue| value.get().trim_matches('"');
        match (chat, data.dialog) {
            (Some(id), _) => Self::Id(bare(id)),
            (None, Some(dialog)) => Self::Dialog(bare(dialog)),
            (None, None) => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::{EventId, Queue};

    fn chat_of(data: &str) -> String {
        let event = Event {
            queue: Arc::new(Queue::new("support", "example.bitrix24.com/user/12")),
            id: EventId::try_new(1).unwrap(),
            kind: "ONIMV2MESSAGEADD".into(),
            date: RawValue::NULL.to_owned(),
            data: RawValue::from_string(data.to_owned()).unwrap(),
        };
        format!("{:?}", Chat::of(&event))
    }

    #[test]
    fn the_chat_is_found_wherever_it_stands() {
        for data in [
            r#"{"chat":{"id":318,"dialogId":"chat318"},"message":{"id":7,"chatId":55}}"#,
            r#"{"chat":{"id":"318"}}"#,
            r#"{"message":{"chatId":318,"text":"\"chatId\":5"},"dialogId":"4"}"#,
            r#"{"chat":[],"message":{"chatId":"318"}}"#,
        ] {
            assert_eq!(chat_of(data), r#"Id("318")"#, "{data}");
        }
        assert_eq!(chat_of(r#"{"dialogId":"chat318","user":{}}"#), r#"Dialog("chat318")"#);
        for data in ["{}", "[]", "null", "17", r#"{"chat":null,"message":[]}"#] {
            assert_eq!(chat_of(data), "Unknown", "{data}");
        }
    }
}
