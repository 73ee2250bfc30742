//! One thing that happens in one chat, told once and rendered for each recipient.

use std::sync::Arc;

use serde::Serialize;

use crate::traffic::chat::Room;
use crate::traffic::people::Person;

/// What happens (PORTAL.md 2.7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Happening {
    /// A message is written.
    Add,
    /// A message is edited.
    Update,
    /// A message is deleted.
    Delete,
    /// A reaction, by its camelCase code, is set or taken back.
    Reaction(&'static str),
    /// Somebody is added to a group chat.
    Join,
}

impl Happening {
    /// The event's name on the wire.
    pub fn wire_name(self) -> &'static str {
        match self {
            Self::Add => "ONIMV2MESSAGEADD",
            Self::Update => "ONIMV2MESSAGEUPDATE",
            Self::Delete => "ONIMV2MESSAGEDELETE",
            Self::Reaction(_) => "ONIMV2REACTIONCHANGE",
            Self::Join => "ONIMV2JOINCHAT",
        }
    }

    /// What `name` stands for, or `None` for a type no documentation knows.
    pub fn from_wire(name: &str) -> Option<Self> {
        [Self::Add, Self::Update, Self::Delete, Self::Reaction("like"), Self::Join]
            .into_iter()
            .find(|happening| happening.wire_name() == name)
    }
}

/// One message of a chat.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its id, counted over the portal, apart from event ids.
    pub id: u64,
    /// Its chat's id.
    pub chat: u64,
    /// Who wrote it; nobody wrote a system message.
    pub author: Option<u64>,
    /// Unix second of its writing.
    pub created_s: i64,
    /// The text, before any escaping.
    pub text: String,
    /// What the sending client made up, if it did.
    pub uuid: Option<String>,
    /// Where it was taken from.
    pub forward: Option<Forward>,
    /// What it has besides its text.
    pub extra: Extra,
    /// Its text was changed.
    pub edited: bool,
}

/// What a message has besides its text, in `params`.
#[derive(Clone, Copy, Debug)]
pub enum Extra {
    /// Nothing.
    None,
    /// A file, by its id on the disk.
    File(u64),
    /// A block with a link.
    Attach,
    /// Buttons of a bot.
    Keyboard,
    /// It answers the message with this id.
    Reply(u64),
}

/// Where a forwarded message comes from.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Forward {
    /// Chat and message.
    pub id: String,
    /// Who wrote it there.
    pub user_id: u64,
    /// The name of that chat.
    pub chat_title: String,
    /// Its type.
    pub chat_type: &'static str,
}

/// Everything that is known about one thing that happened.
#[derive(Clone, Debug)]
pub struct Scene {
    /// What it was.
    pub happening: Happening,
    /// Where.
    pub room: Arc<Room>,
    /// Who did it; for a join, who was added. Nobody for a system message.
    pub actor: Option<Person>,
    /// The message it is about; for a join, an empty one.
    pub message: Message,
    /// A reaction was taken back, not set.
    pub withdrawn: bool,
}
