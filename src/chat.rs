//! Which events belong to one chat. Pure.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::event::Event;

/// The end of a bot. It ends all its chats at once, and names none.
const BOT_DELETED: &str = "ONIMBOTV2DELETE";

/// One of the names of a chat (PORTAL.md 2.8, 3.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Name<'e> {
    /// The chat's id, or the `chat5` of a dialog.
    Id(u64),
    /// Another `dialogId`: in a private chat the id of the other user.
    Dialog(&'e str),
    /// The event names no chat. All such events count as one chat.
    None,
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

#[derive(Default, Deserialize)]
#[serde(default)]
struct ChatData<'e> {
    #[serde(borrow)]
    id: Option<&'e RawValue>,
    #[serde(borrow, rename = "dialogId")]
    dialog: Option<&'e RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct MessageData<'e> {
    #[serde(borrow, rename = "chatId")]
    chat_id: Option<&'e RawValue>,
    #[serde(borrow, rename = "chat_id")]
    old_chat_id: Option<&'e RawValue>,
}

/// The chat of each of `events` as a number of our own; `None` where an event belongs to every chat.
///
/// One event may call a chat by its id and another by the other user, as a bot's commands do. An event that gives both
/// names makes them one chat.
pub fn group(events: &[&Event]) -> Vec<Option<usize>> {
    let mut groups = Groups::default();
    let numbers: Vec<_> = events
        .iter()
        .map(|event| (!event.kind.eq_ignore_ascii_case(BOT_DELETED)).then(|| groups.join(names(event))))
        .collect();
    numbers.into_iter().map(|number| number.map(|number| groups.root(number))).collect()
}

/// Numbers that are joined when an event shows that they are one chat.
#[derive(Default)]
struct Groups<'e> {
    numbers: HashMap<Name<'e>, usize>,
    /// By number: one that it has been joined to, or the number itself.
    parents: Vec<usize>,
}

impl<'e> Groups<'e> {
    /// The number of the chat that has these two names.
    fn join(&mut self, [one, other]: [Name<'e>; 2]) -> usize {
        let (one, other) = (self.number(one), self.number(other));
        self.parents[one] = other;
        other
    }

    fn number(&mut self, name: Name<'e>) -> usize {
        let next = self.parents.len();
        let number = *self.numbers.entry(name).or_insert(next);
        if number == next {
            self.parents.push(next);
        }
        self.root(number)
    }

    fn root(&mut self, mut number: usize) -> usize {
        while self.parents[number] != number {
            self.parents[number] = self.parents[self.parents[number]];
            number = self.parents[number];
        }
        number
    }
}

/// What an event calls its chat. The same name twice where it gives one only.
fn names(event: &Event) -> [Name<'_>; 2] {
    let data: Data<'_> = read(Some(&event.data));
    let (chat, message): (ChatData<'_>, MessageData<'_>) = (read(data.chat), read(data.message));
    let ids = [chat.id, message.chat_id, message.old_chat_id].into_iter().flatten().map(bare);
    let dialogs = [data.dialog, chat.dialog].into_iter().flatten().map(bare);
    let names = ids.map(id_of).chain(dialogs.map(dialog_of)).filter(|name| *name != Name::None);
    let names: Vec<Name<'_>> = names.collect();
    let id = names.iter().copied().find(|name| matches!(name, Name::Id(_)));
    let dialog = names.iter().copied().find(|name| matches!(name, Name::Dialog(_)));
    let id = id.or(dialog).unwrap_or(Name::None);
    [id, dialog.unwrap_or(id)]
}

/// A part of the payload; one of another form says nothing.
fn read<'e, T: Default + Deserialize<'e>>(json: Option<&'e RawValue>) -> T {
    json.and_then(|json| serde_json::from_str(json.get()).ok()).unwrap_or_default()
}

/// The same number may come with or without quotes.
fn bare(json: &RawValue) -> &str {
    json.get().trim_matches('"').trim()
}

fn id_of(id: &str) -> Name<'_> {
    id.parse().ok().filter(|id| *id > 0).map_or(Name::None, Name::Id)
}

fn dialog_of(dialog: &str) -> Name<'_> {
    match dialog.strip_prefix("chat").map(id_of) {
        Some(Name::Id(id)) => Name::Id(id),
        _ if dialog.starts_with(['{', '[']) || ["", "0", "null", "false", "true"].contains(&dialog) => {
            Name::None
        }
        _ => Name::Dialog(dialog),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::{EventId, Queue};

    fn event(kind: &str, data: &str) -> Event {
        Event {
            queue: Arc::new(Queue::new("support", "example.bitrix24.com/user/12")),
            id: EventId::try_new(1).unwrap(),
            kind: kind.into(),
            date: RawValue::NULL.to_owned(),
            data: RawValue::from_string(data.to_owned()).unwrap(),
        }
    }

    /// Whether events with this data belong to one chat.
    fn are_one_chat(data: &[&str]) -> bool {
        let events: Vec<Event> = data.iter().map(|data| event("ONIMV2MESSAGEADD", data)).collect();
        let groups = group(&events.iter().collect::<Vec<_>>());
        groups.iter().all(|group| group.is_some() && *group == groups[0])
    }

    #[test]
    fn the_chat_is_found_wherever_it_stands() {
        for data in [
            r#"{"chat":{"id":318,"dialogId":"chat318"},"message":{"id":7,"chatId":55}}"#,
            r#"{"chat":{"id":"318"}}"#,
            r#"{"message":{"chatId":318,"text":"\"chatId\":5"}}"#,
            r#"{"chat":[],"message":{"chatId":"318"}}"#,
            r#"{"chat":{"id":null},"message":{"chat_id":318,"chatId":null}}"#,
            r#"{"chat":{"id":0},"message":{"chatId":318,"chat_id":"318"}}"#,
            r#"{"chat":{"id":""},"message":[],"dialogId":"chat318"}"#,
            r#"{"chat":{"dialogId":"chat318"}}"#,
            r#"{"dialogId":"chat318","user":{}}"#,
        ] {
            assert!(are_one_chat(&[r#"{"chat":{"id":318}}"#, data]), "{data}");
            assert!(!are_one_chat(&[r#"{"chat":{"id":55}}"#, data]), "{data}");
        }
    }

    #[test]
    fn a_private_chat_is_one_by_its_id_and_by_the_other_user() {
        let (message, command) = (r#"{"chat":{"id":55,"dialogId":"4"}}"#, r#"{"chat":[],"dialogId":"4"}"#);
        assert!(are_one_chat(&[message, command]) && are_one_chat(&[command, message]));
        assert!(are_one_chat(&[r#"{"message":{"chatId":55}}"#, command, message]), "joined by a later event");
        assert!(!are_one_chat(&[message, r#"{"chat":[],"dialogId":"55"}"#]), "a user is no chat");
        assert!(!are_one_chat(&[message, r#"{"chat":[],"dialogId":"chat4"}"#]));
    }

    #[test]
    fn events_that_name_no_chat_are_one() {
        let nameless =
            ["{}", "[]", "null", "17", r#"{"chat":null,"message":[]}"#, r#"{"dialogId":0,"chat":{"id":-1}}"#];
        assert!(are_one_chat(&nameless));
        assert!(!are_one_chat(&[nameless[0], r#"{"chat":{"id":5}}"#]));
    }

    #[test]
    fn the_end_of_a_bot_belongs_to_every_chat() {
        let events =
            [event("ONIMBOTV2DELETE", r#"{"bot":{"id":39}}"#), event("ONIMBOTV2MESSAGEDELETE", "{}")];
        let groups = group(&events.iter().collect::<Vec<_>>());
        assert!(groups[0].is_none() && groups[1].is_some(), "{groups:?}");
    }
}
