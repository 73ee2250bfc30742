//! One event in one chat, created once and rendered for each recipient.

use std::sync::Arc;

use serde::Serialize;

use crate::traffic::chat::Chat;
use crate::traffic::people::Person;

/// The kind of an event (PORTAL.md 2.7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum EventKind {
    /// A message is written.
    Add,
    /// A message is edited.
    Update,
    /// A message is deleted.
    Delete,
    /// A reaction, by its camelCase code, is added or removed.
    Reaction(&'static str),
    /// A user is added to a group chat.
    Join,
}

impl EventKind {
    /// The event's name on the wire.
    pub(crate) fn wire_name(self) -> &'static str {
        match self {
            Self::Add => "ONIMV2MESSAGEADD",
            Self::Update => "ONIMV2MESSAGEUPDATE",
            Self::Delete => "ONIMV2MESSAGEDELETE",
            Self::Reaction(_) => "ONIMV2REACTIONCHANGE",
            Self::Join => "ONIMV2JOINCHAT",
        }
    }

    /// The kind for `name`; `None` for an undocumented type.
    pub(crate) fn from_wire(name: &str) -> Option<Self> {
        [Self::Add, Self::Update, Self::Delete, Self::Reaction("like"), Self::Join]
            .into_iter()
            .find(|event_kind| event_kind.wire_name() == name)
    }
}

/// One message of a chat.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// Its id, counted across the portal, separately from event ids.
    pub id: u64,
    /// Its chat's id.
    pub chat: u64,
    /// The author; `None` for a system message.
    pub author: Option<u64>,
    /// Unix time of its creation, in seconds.
    pub created_s: i64,
    /// The text, before any escaping.
    pub text: String,
    /// The id from the sending client, if it sent one.
    pub uuid: Option<String>,
    /// The origin of a forwarded message.
    pub forward: Option<Forward>,
    /// The content in addition to its text.
    pub extra: Extra,
    /// True if its text was changed.
    pub edited: bool,
}

/// The content of a message in addition to its text, in `params`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Extra {
    /// Nothing.
    None,
    /// A file, by its id on the disk.
    File(u64),
    /// A block with a link.
    Attach,
    /// Buttons of a bot.
    Keyboard,
    /// A reply to the message with this id.
    Reply(u64),
}

/// The origin of a forwarded message.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Forward {
    /// Chat and message.
    pub id: String,
    /// The author of the original message.
    pub user_id: u64,
    /// The name of that chat.
    pub chat_title: String,
    /// Its type.
    pub chat_type: &'static str,
}

/// All data of one event.
#[derive(Clone, Debug)]
pub(crate) struct EventData {
    /// The kind of event.
    pub event_kind: EventKind,
    /// The chat.
    pub chat: Arc<Chat>,
    /// The user who caused it; for a join, the user who was added. `None` for a system message.
    pub actor: Option<Person>,
    /// The message that it refers to; for a join, an empty one.
    pub message: Message,
    /// True if a reaction was removed and not added.
    pub withdrawn: bool,
}
