//! Groups events by chat. Pure.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::event::Event;

/// The removal of a bot. It ends all chats of the bot at once, and names none of them.
const BOT_DELETED: &str = "ONIMBOTV2DELETE";

/// One of the names of a chat (PORTAL.md 2.8, 3.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Name<T> {
    /// The chat's id, or the `chat5` of a dialog.
    Id(u64),
    /// Another `dialogId`: in a private chat, the id of the other user.
    Dialog(T),
    /// The event names no chat. All such events count as one chat.
    None,
}

impl Name<&str> {
    fn into_owned(self) -> Name<String> {
        match self {
            Self::Id(id) => Name::Id(id),
            Self::Dialog(dialog) => Name::Dialog(dialog.to_owned()),
            Self::None => Name::None,
        }
    }
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

/// Groups events by chat. Chats have numbers of our own, which are joined when an event shows that two numbers are the
/// same chat.
///
/// One event may name a chat by its id and another event by the other user, as a bot's commands do. An event with both
/// names shows that they are one chat.
#[derive(Default, Debug)]
pub struct Chats {
    numbers: HashMap<Name<String>, usize>,
    /// For each number, a number that it was joined to, or the number itself.
    parents: Vec<usize>,
}

/// The chat of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chat {
    /// The event belongs to every chat.
    Every,
    /// The event belongs to the first chat. The second one was a separate chat until now.
    Of(usize, Option<usize>),
}

impl Chats {
    /// The chat of `event`.
    pub fn of(&mut self, event: &Event) -> Chat {
        if event.kind.eq_ignore_ascii_case(BOT_DELETED) {
            return Chat::Every;
        }
        let [one, other] = names(event).map(|name| self.number(name));
        self.parents[one] = other;
        Chat::Of(other, (one != other).then_some(one))
    }

    /// How many names are known.
    pub fn count(&self) -> usize {
        self.numbers.len()
    }

    /// The number that represents this chat after all joins.
    pub fn root(&mut self, mut number: usize) -> usize {
        while self.parents[number] != number {
            self.parents[number] = self.parents[self.parents[number]];
            number = self.parents[number];
        }
        number
    }

    fn number(&mut self, name: Name<&str>) -> usize {
        let next = self.parents.len();
        let number = *self.numbers.entry(name.into_owned()).or_insert(next);
        if number == next {
            self.parents.push(next);
        }
        self.root(number)
    }
}

/// The id of the chat of `event`, if the event says it.
pub fn id_of(event: &Event) -> Option<u64> {
    match names(event)[0] {
        Name::Id(id) => Some(id),
        Name::Dialog(_) | Name::None => None,
    }
}

/// The names that an event gives its chat. If it gives only one, that name twice.
fn names(event: &Event) -> [Name<&str>; 2] {
    let data: Data<'_> = read(Some(&event.data));
    let (chat, message): (ChatData<'_>, MessageData<'_>) = (read(data.chat), read(data.message));
    let ids = [chat.id, message.chat_id, message.old_chat_id].into_iter().flatten().map(bare);
    let dialogs = [data.dialog, chat.dialog].into_iter().flatten().map(bare);
    let names = ids.map(name_of).chain(dialogs.map(dialog_of)).filter(|name| *name != Name::None);
    let names: Vec<Name<&str>> = names.collect();
    let id = names.iter().copied().find(|name| matches!(name, Name::Id(_)));
    let dialog = names.iter().copied().find(|name| matches!(name, Name::Dialog(_)));
    let id = id.or(dialog).unwrap_or(Name::None);
    [id, dialog.unwrap_or(id)]
}

/// Parses a part of the payload; a part of another form gives the default.
fn read<'e, T: Default + Deserialize<'e>>(json: Option<&'e RawValue>) -> T {
    json.and_then(|json| serde_json::from_str(json.get()).ok()).unwrap_or_default()
}

/// The number without quotes: the portal sends it with or without them.
fn bare(json: &RawValue) -> &str {
    json.get().trim_matches('"').trim()
}

fn name_of(id: &str) -> Name<&str> {
    id.parse().ok().filter(|id| *id > 0).map_or(Name::None, Name::Id)
}

fn dialog_of(dialog: &str) -> Name<&str> {
    match dialog.strip_prefix("chat").map(name_of) {
        Some(Name::Id(id)) => Name::Id(id),
        _ if dialog.starts_with(['{', '[']) || ["", "0", "null", "false", "true"].contains(&dialog) => {
            Name::None
        }
        _ => Name::Dialog(dialog),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tests::event;

    /// Whether events with this data belong to one chat.
    fn are_one_chat(data: &[&str]) -> bool {
        let events: Vec<Event> = data.iter().map(|data| event("ONIMV2MESSAGEADD", data)).collect();
        let mut chats = Chats::default();
        let numbers: Vec<usize> = events
            .iter()
            .map(|event| match chats.of(event) {
                Chat::Of(number, _) => number,
                Chat::Every => panic!("it belongs to every chat"),
            })
            .collect();
        let roots: Vec<usize> = numbers.into_iter().map(|number| chats.root(number)).collect();
        roots.iter().all(|root| *root == roots[0])
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
        let mut chats = Chats::default();
        assert_eq!(chats.of(&events[0]), Chat::Every);
        assert!(matches!(chats.of(&events[1]), Chat::Of(..)));
    }
}
