//! What an event says about its chat, its author and whom it addresses, as far as filters ask (PORTAL.md 2.8, 3.1).
//! The portal may leave out any of it, and then it is unknown.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::chat;
use crate::event::{Event, Queue};

/// Who caused an event: wrote the message, reacted, or joined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Author {
    /// A user or a bot, which is a user as well.
    User(u64),
    /// The portal itself.
    System,
    Unknown,
}

/// What an event is, as far as filters ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// A message was written or edited.
    Message,
    /// A user was added to a chat: nobody has written that.
    Join,
    /// A bot's command, or its chat was opened: it is meant for the bot.
    Command,
    /// A message or a bot was deleted, or somebody reacted.
    Reaction,
    /// A type of a newer portal.
    Unknown,
}

impl Kind {
    fn of(name: &str) -> Self {
        let name = name.to_ascii_uppercase();
        match name.strip_prefix("ONIMBOTV2").or_else(|| name.strip_prefix("ONIMV2")) {
            Some("MESSAGEADD" | "MESSAGEUPDATE") => Self::Message,
            Some("JOINCHAT") => Self::Join,
            Some("COMMANDADD" | "CONTEXTGET") => Self::Command,
            Some("MESSAGEDELETE" | "REACTIONCHANGE" | "DELETE") => Self::Reaction,
            _ => Self::Unknown,
        }
    }
}

/// The content of one event.
pub(crate) struct Content<'e> {
    pub(crate) chat: Option<u64>,
    pub(crate) author: Author,
    pub(crate) is_bot: bool,
    is_private: bool,
    kind: Kind,
    text: Option<Cow<'e, str>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data<'e> {
    #[serde(borrow)]
    message: Option<&'e RawValue>,
    #[serde(borrow)]
    chat: Option<&'e RawValue>,
    #[serde(borrow)]
    user: Option<&'e RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct MessageData<'e> {
    #[serde(rename = "authorId")]
    author: Value,
    #[serde(rename = "isSystem")]
    is_system: Value,
    #[serde(borrow)]
    text: Option<Cow<'e, str>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct UserData {
    id: Value,
    bot: Value,
    #[serde(rename = "type")]
    kind: Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ChatData {
    #[serde(rename = "type")]
    kind: Value,
    #[serde(rename = "messageType")]
    message_type: Value,
}

impl<'e> Content<'e> {
    /// The content of `event`.
    pub(crate) fn of(event: &'e Event) -> Self {
        let data: Data<'e> = read(Some(&event.data));
        let (message, user): (MessageData<'e>, UserData) = (read(data.message), read(data.user));
        let chat: ChatData = read(data.chat);
        let kind = Kind::of(&event.kind);
        let is_message = kind == Kind::Message;
        let author = match (id_of(&user.id), id_of(&message.author)) {
            (Some(user), _) if user > 0 => Author::User(user),
            (_, Some(author)) if author > 0 => Author::User(author),
            // System messages have the author 0.
            (_, Some(_)) if is_message => Author::System,
            _ => Author::Unknown,
        };
        Self {
            chat: chat::id_of(event),
            author: if message.is_system == true && is_message { Author::System } else { author },
            is_bot: user.bot == true || user.bot == "Y" || user.kind == "bot",
            is_private: chat.kind == "private" || chat.message_type == "P",
            kind,
            text: message.text,
        }
    }

    /// Whether the user or bot of `queue` has written it.
    pub(crate) fn is_of(&self, queue: &Queue) -> bool {
        let Author::User(author) = self.author else { return false };
        self.kind != Kind::Join && owners(queue).any(|owner| owner == author)
    }

    /// Whether it is a message to the user or bot of `queue`: in a private chat, with a mention of it or of all, or as
    /// a command. `None` if the portal did not send the text.
    pub(crate) fn addresses(&self, queue: &Queue) -> Option<bool> {
        match (self.kind, &self.text) {
            (Kind::Command, _) => Some(true),
            (Kind::Join | Kind::Reaction, _) => Some(false),
            (Kind::Message | Kind::Unknown, _) if self.is_private => Some(true),
            (Kind::Message | Kind::Unknown, None) => None,
            (Kind::Message | Kind::Unknown, Some(text)) => {
                Some(mentions(text).any(|mention| match mention {
                    Mention::All => true,
                    Mention::User(user) => owners(queue).any(|owner| owner == user),
                }))
            }
        }
    }
}

/// The users that own `queue`: a bot, a user, or both. Its identity is `PORTAL/user/ID`, `PORTAL/bot/ID` or
/// `PORTAL/bot/ID/user/ID`.
fn owners(queue: &Queue) -> impl Iterator<Item = u64> {
    let parts = queue.identity.split('/').skip(1).collect::<Vec<_>>();
    let owners: Vec<u64> = parts
        .chunks(2)
        .filter(|pair| matches!(pair[0], "user" | "bot"))
        .filter_map(|pair| pair.get(1)?.parse().ok())
        .collect();
    owners.into_iter()
}

enum Mention {
    User(u64),
    All,
}

/// The mentions in a message: `[USER=12]`, `[USER=12 REPLACE]` and `[USER=all]`.
fn mentions(text: &str) -> impl Iterator<Item = Mention> {
    const TAG: &str = "[user=";
    let starts = text.match_indices('[').map(|(at, _)| &text[at..]);
    let tags = starts.filter(|rest| rest.get(..TAG.len()).is_some_and(|tag| tag.eq_ignore_ascii_case(TAG)));
    tags.filter_map(|rest| {
        let value = rest[TAG.len()..].split([']', ' ']).next()?;
        if value.eq_ignore_ascii_case("all") {
            return Some(Mention::All);
        }
        value.parse().ok().map(Mention::User)
    })
}

/// An id, which the portal sends as a number or a text.
fn id_of(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// Parses a part of the payload; a part of another form gives the default.
fn read<'e, T: Default + Deserialize<'e>>(json: Option<&'e RawValue>) -> T {
    json.and_then(|json| serde_json::from_str(json.get()).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tests::event;

    fn author(kind: &str, data: &str) -> Author {
        Content::of(&event(kind, data)).author
    }

    fn addresses(identity: &str, data: &str) -> Option<bool> {
        Content::of(&event("ONIMV2MESSAGEADD", data)).addresses(&Queue::new("support", identity))
    }

    #[test]
    fn the_author_of_a_reaction_is_who_reacted_and_that_of_a_message_who_wrote_it() {
        let reaction = r#"{"message":{"authorId":4},"user":{"id":9}}"#;
        assert_eq!(author("ONIMV2REACTIONCHANGE", reaction), Author::User(9));
        for data in [
            r#"{"message":{"authorId":4},"user":{"id":4}}"#,
            r#"{"message":{"authorId":"4"},"user":[]}"#,
            r#"{"message":[],"user":{"id":"4"}}"#,
        ] {
            assert_eq!(author("ONIMV2MESSAGEADD", data), Author::User(4), "{data}");
        }
        for data in [
            r#"{"message":{"authorId":0,"isSystem":true},"user":[]}"#,
            r#"{"message":{"authorId":0},"user":[]}"#,
            r#"{"message":{"authorId":4,"isSystem":true},"user":{"id":4}}"#,
        ] {
            assert_eq!(author("ONIMV2MESSAGEADD", data), Author::System, "{data}");
        }
        for data in ["{}", "[]", "null", r#"{"message":{"id":7},"user":[]}"#, r#"{"message":7,"user":"x"}"#] {
            assert_eq!(author("ONIMV2MESSAGEADD", data), Author::Unknown, "{data}");
        }
    }

    #[test]
    fn own_is_what_the_user_or_bot_of_the_queue_wrote_and_not_that_it_joined() {
        let data = r#"{"message":{"authorId":39},"user":{"id":39}}"#;
        let is_own = |kind: &str, identity: &str| {
            Content::of(&event(kind, data)).is_of(&Queue::new("support", identity))
        };
        for identity in
            ["a.example/user/39", "a.example/bot/39", "a.example/bot/39/user/4", "a.example/bot/4/user/39"]
        {
            assert!(is_own("ONIMV2MESSAGEADD", identity), "{identity}");
            assert!(!is_own("ONIMV2JOINCHAT", identity), "{identity}");
        }
        let generation = Queue::of_generation("support", "a.example/user/39", 3);
        assert!(Content::of(&event("ONIMV2MESSAGEADD", data)).is_of(&generation), "{}", generation.identity);
        for identity in ["a.example/user/3", "a.example/user/390", "39/user/1", "", "user/39"] {
            assert!(!is_own("ONIMV2MESSAGEADD", identity), "{identity}");
        }
    }

    #[test]
    fn a_message_addresses_the_user_by_a_mention_or_in_a_private_chat() {
        let user = "a.example/user/12";
        for (text, expected) in [
            ("[USER=12]Ada[/USER], look", true),
            ("look, [user=12 replace][/user]", true),
            ("[USER=all]All[/USER] look", true),
            ("[USER=1]Ada[/USER] [USER=123]Bo[/USER]", false),
            ("USER=12 [USER=] [USER=x] [ [USER", false),
            ("я[USER=12", true),
        ] {
            let data = serde_json::json!({"message": {"text": text}, "chat": {"type": "chat"}}).to_string();
            assert_eq!(addresses(user, &data), Some(expected), "{text}");
        }
        let private = r#"{"message":{"text":"hello"},"chat":{"type":"private"}}"#;
        assert_eq!(addresses(user, private), Some(true));
        assert_eq!(addresses("a.example/bot/39/user/12", r#"{"message":{"text":"[USER=39]x"}}"#), Some(true));
        assert_eq!(addresses(user, r#"{"message":{"id":7},"chat":[]}"#), None, "its text is unknown");
    }

    #[test]
    fn what_is_no_message_addresses_nobody_except_a_command() {
        let queue = Queue::new("support", "a.example/bot/39");
        let data = r#"{"message":{"text":"[USER=39]x"},"chat":{"type":"private"},"user":{"id":4}}"#;
        for (kind, expected) in [
            ("ONIMV2REACTIONCHANGE", Some(false)),
            ("ONIMBOTV2MESSAGEDELETE", Some(false)),
            ("ONIMBOTV2JOINCHAT", Some(false)),
            ("ONIMBOTV2DELETE", Some(false)),
            ("ONIMBOTV2COMMANDADD", Some(true)),
            ("ONIMBOTV2CONTEXTGET", Some(true)),
            ("onimbotv2messageadd", Some(true)),
        ] {
            assert_eq!(Content::of(&event(kind, data)).addresses(&queue), expected, "{kind}");
        }
        assert_eq!(Content::of(&event("ONIMV3NEW", "{}")).addresses(&queue), None);
    }
}
