//! The structure of `data` as the server really sends it (PORTAL.md 2.8, the right-hand column).

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

use crate::state::clock::iso;
use crate::traffic::chat::Chat;
use crate::traffic::event_data::{EventData, EventKind, Extra, Forward, Message};
use crate::traffic::people::{Kind, Person};
use crate::wire::php_json;

/// An empty PHP array: `[]`, also where an object is documented.
type EmptyArray = [(); 0];

/// How much of message, chat and user the server could load when it wrote an event. The rest is replaced by
/// the values that it knows (PORTAL.md 2.8).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Loaded {
    /// Everything.
    Whole,
    /// Only ids: `"chat":{"id":318}`, and likewise for the message and the user.
    Ids,
    /// Not even the chat's id: `"chat":[]`.
    Nothing,
}

/// The JSON of `data` of `event_data` for `recipient`. `reaction_action` distinguishes added and removed
/// reactions, as documented; the real code sends `""` for both (PORTAL.md 2.7).
pub(crate) fn render(
    event_data: &EventData,
    recipient: u64,
    reaction_action: Option<&str>,
    loaded: Loaded,
) -> String {
    let chat = match loaded {
        Loaded::Whole => Entity::Whole(Box::new(ChatShape::of(&event_data.chat, recipient))),
        Loaded::Ids => Entity::Id { id: event_data.chat.id },
        Loaded::Nothing => Entity::Nothing([]),
    };
    let user = match &event_data.actor {
        None => Entity::Nothing([]),
        Some(actor) if loaded == Loaded::Ids => Entity::Id { id: actor.id },
        Some(actor) => Entity::Whole(actor.into()),
    };
    let message = match loaded {
        Loaded::Ids => Entity::Id { id: event_data.message.id },
        Loaded::Whole | Loaded::Nothing => Entity::Whole(Box::new(MessageShape::from(&event_data.message))),
    };
    let language = "ru";
    match event_data.event_kind {
        EventKind::Add | EventKind::Update => {
            php_json::render(&MessageData { message, chat, user, language })
        }
        EventKind::Delete => {
            php_json::render(&DeleteData { message_id: event_data.message.id, chat, user, language })
        }
        EventKind::Reaction(reaction) => {
            let action = reaction_action.unwrap_or("");
            php_json::render(&ReactionData { reaction, action, message, chat, user, language })
        }
        EventKind::Join => {
            let dialog_id = event_data.chat.dialog_id(recipient);
            php_json::render(&JoinData { dialog_id, chat, user, language })
        }
    }
}

#[derive(Serialize)]
struct MessageData<'a> {
    message: Entity<MessageShape<'a>>,
    chat: Entity<ChatShape<'a>>,
    user: Entity<PersonShape>,
    language: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeleteData<'a> {
    message_id: u64,
    chat: Entity<ChatShape<'a>>,
    user: Entity<PersonShape>,
    language: &'static str,
}

#[derive(Serialize)]
struct ReactionData<'a> {
    reaction: &'a str,
    action: &'a str,
    message: Entity<MessageShape<'a>>,
    chat: Entity<ChatShape<'a>>,
    user: Entity<PersonShape>,
    language: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JoinData<'a> {
    dialog_id: String,
    chat: Entity<ChatShape<'a>>,
    user: Entity<PersonShape>,
    language: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MessageShape<'a> {
    id: u64,
    chat_id: u64,
    author_id: u64,
    date: String,
    text: &'a str,
    is_system: bool,
    uuid: Option<&'a str>,
    forward: Option<&'a Forward>,
    params: Params,
    viewed_by_others: bool,
    #[serde(rename = "chat_id")]
    chat_id_again: u64,
    #[serde(rename = "author_id")]
    author_id_again: u64,
}

/// `params`: PHP's empty array, or an object.
struct Params(Vec<(&'static str, Value)>);

impl Params {
    fn of(message: &Message) -> Self {
        let extra = match message.extra {
            Extra::None => None,
            Extra::File(id) => Some(("FILE_ID", json!([id]))),
            Extra::Attach => Some((
                "ATTACH",
                json!([{
                    "ID": message.id,
                    "BLOCKS": [{ "LINK": [{ "NAME": "Build 114", "LINK": "https://ci.example.com/114" }] }],
                    "DESCRIPTION": "",
                    "COLOR": "#2fc6f6",
                }]),
            )),
            Extra::Keyboard => Some((
                "KEYBOARD",
                json!([{
                    "BOT_ID": 20_001,
                    "COMMAND": "deploy",
                    "COMMAND_PARAMS": "114",
                    "TEXT": "Deploy",
                    "DISPLAY": "LINE",
                    "BLOCK": "Y",
                    "DISABLED": "N",
                }]),
            )),
            Extra::Reply(id) => Some(("REPLY_ID", json!(id))),
        };
        Self(message.edited.then(|| ("IS_EDITED", json!("Y"))).into_iter().chain(extra).collect())
    }
}

impl Serialize for Params {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_empty() {
            return EmptyArray::default().serialize(serializer);
        }
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'a> From<&'a Message> for MessageShape<'a> {
    fn from(message: &'a Message) -> Self {
        let author_id = message.author.unwrap_or(0);
        Self {
            id: message.id,
            chat_id: message.chat,
            author_id,
            date: iso(message.created_s),
            text: &message.text,
            is_system: message.author.is_none(),
            uuid: message.uuid.as_deref(),
            forward: message.forward.as_ref(),
            params: Params::of(message),
            viewed_by_others: message.edited,
            chat_id_again: message.chat,
            author_id_again: author_id,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChatShape<'a> {
    id: u64,
    dialog_id: String,
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    message_type: &'static str,
    owner: u64,
    color: Option<&'static str>,
    avatar: &'static str,
    description: &'static str,
    extranet: bool,
    contains_collaber: bool,
    entity_type: &'static str,
    entity_id: &'static str,
    entity_data1: &'static str,
    entity_data2: &'static str,
    entity_data3: &'static str,
    entity_link: EntityLink,
    disk_folder_id: Option<u64>,
    permissions: Permissions,
    parent_chat_id: Option<u64>,
    parent_message_id: Option<u64>,
    is_new: bool,
    text_field_enabled: &'static str,
    background_id: Option<u64>,
}

#[derive(Serialize)]
struct EntityLink {
    #[serde(rename = "type")]
    kind: &'static str,
    url: &'static str,
    id: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Permissions {
    manage_users_add: &'static str,
    manage_users_delete: &'static str,
    manage_ui: &'static str,
    manage_settings: &'static str,
    manage_messages: &'static str,
    can_post: &'static str,
}

impl<'a> ChatShape<'a> {
    fn of(chat: &'a Chat, recipient: u64) -> Self {
        let is_line = chat.kind == "lines";
        // A thread belongs to a message of another chat; for other chats, the server writes 0 or null.
        let parent = match chat.kind {
            "thread" => (Some(chat.id.saturating_sub(1)), Some(70_001)),
            "open" | "channel" => (None, None),
            _ => (Some(0), Some(0)),
        };
        Self {
            id: chat.id,
            dialog_id: chat.dialog_id(recipient),
            name: if chat.private { "" } else { &chat.name },
            kind: chat.kind,
            message_type: chat.message_type,
            owner: chat.owner(),
            color: (!is_line && chat.kind != "copilot").then_some(chat.color),
            avatar: "",
            description: "",
            extranet: chat.kind == "collab",
            contains_collaber: chat.kind == "collab",
            entity_type: if is_line { "LINES" } else { "" },
            entity_id: if is_line { "livechat|1|64|12" } else { "" },
            entity_data1: "",
            entity_data2: "",
            entity_data3: "",
            entity_link: EntityLink { kind: "", url: "", id: "" },
            disk_folder_id: match chat.kind {
                "private" => Some(0),
                "lines" | "copilot" => None,
                _ => Some(chat.id + 59),
            },
            permissions: Permissions {
                manage_users_add: "member",
                manage_users_delete: "manager",
                manage_ui: "member",
                manage_settings: "owner",
                manage_messages: "member",
                can_post: "member",
            },
            parent_chat_id: parent.0,
            parent_message_id: parent.1,
            is_new: false,
            text_field_enabled: "Y",
            background_id: None,
        }
    }
}

/// A message, chat or user, or the server's replacement for it.
#[derive(Serialize)]
#[serde(untagged)]
enum Entity<T> {
    Nothing(EmptyArray),
    Id { id: u64 },
    Whole(Box<T>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "the wire's shape")]
struct PersonShape {
    id: u64,
    active: bool,
    name: String,
    first_name: &'static str,
    last_name: &'static str,
    work_position: &'static str,
    color: &'static str,
    avatar: &'static str,
    gender: &'static str,
    birthday: &'static str,
    extranet: bool,
    bot: bool,
    connector: bool,
    external_auth_id: &'static str,
    status: &'static str,
    idle: bool,
    last_activity_date: bool,
    mobile_last_date: bool,
    desktop_last_date: bool,
    absent: bool,
    departments: Vec<u64>,
    phones: bool,
    website: &'static str,
    email: String,
    #[serde(rename = "type")]
    kind: &'static str,
}

impl From<&Person> for Box<PersonShape> {
    fn from(person: &Person) -> Self {
        Box::new(PersonShape {
            id: person.id,
            active: true,
            name: person.name(),
            first_name: person.first_name,
            last_name: person.last_name,
            work_position: person.position,
            color: person.color,
            avatar: "",
            gender: person.gender,
            birthday: "",
            extranet: person.kind == Kind::Extranet,
            bot: person.kind == Kind::Bot,
            connector: false,
            external_auth_id: if person.kind == Kind::Bot { "bot" } else { "default" },
            status: "online",
            idle: false,
            last_activity_date: false,
            mobile_last_date: false,
            desktop_last_date: false,
            absent: false,
            departments: if person.kind == Kind::Extranet { Vec::new() } else { vec![person.department] },
            phones: false,
            website: "",
            email: match person.kind {
                Kind::Bot => String::new(),
                Kind::User | Kind::Extranet => format!("user{}@example.com", person.id),
            },
            kind: match person.kind {
                Kind::User => "user",
                Kind::Extranet => "extranet",
                Kind::Bot => "bot",
            },
        })
    }
}
