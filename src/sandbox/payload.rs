//! The shapes of `data` as the server really sends them (PORTAL.md 2.8, the right-hand column).

use serde::Serialize;

use super::clock::iso;
use super::people::Person;
use super::php_json;
use super::room::Room;
use super::scene::{Forward, Happening, Message, Scene};

/// An empty PHP array: `[]`, also where an object is documented.
type EmptyArray = [(); 0];

/// The JSON of `data` of `scene`, as `recipient` gets it. `reaction_action` tells reactions being set
/// from those being taken back, as the docs promise; the code sends `""` for both (PORTAL.md 2.7).
pub fn render(scene: &Scene, recipient: u64, reaction_action: Option<&str>) -> String {
    let chat = ChatShape::of(&scene.room, recipient);
    let user = scene.actor.as_ref().map_or(UserShape::Nobody([]), |actor| UserShape::Person(actor.into()));
    let message = MessageShape::from(&scene.message);
    let language = "ru";
    match scene.happening {
        Happening::Add | Happening::Update => {
            php_json::render(&MessageData { message, chat, user, language })
        }
        Happening::Delete => {
            php_json::render(&DeleteData { message_id: scene.message.id, chat, user, language })
        }
        Happening::Reaction(reaction) => {
            let action = reaction_action.unwrap_or("");
            php_json::render(&ReactionData { reaction, action, message, chat, user, language })
        }
        Happening::Join => {
            let dialog_id = scene.room.dialog_id(recipient);
            php_json::render(&JoinData { dialog_id, chat, user, language })
        }
    }
}

#[derive(Serialize)]
struct MessageData<'a> {
    message: MessageShape<'a>,
    chat: ChatShape<'a>,
    user: UserShape,
    language: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeleteData<'a> {
    message_id: u64,
    chat: ChatShape<'a>,
    user: UserShape,
    language: &'static str,
}

#[derive(Serialize)]
struct ReactionData<'a> {
    reaction: &'a str,
    action: &'a str,
    message: MessageShape<'a>,
    chat: ChatShape<'a>,
    user: UserShape,
    language: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JoinData<'a> {
    dialog_id: String,
    chat: ChatShape<'a>,
    user: UserShape,
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

#[derive(Serialize)]
#[serde(untagged)]
enum Params {
    Empty(EmptyArray),
    Edited {
        #[serde(rename = "IS_EDITED")]
        is_edited: &'static str,
    },
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
            params: if message.edited { Params::Edited { is_edited: "Y" } } else { Params::Empty([]) },
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
    color: &'static str,
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
    disk_folder_id: u64,
    permissions: Permissions,
    parent_chat_id: u64,
    parent_message_id: u64,
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
    fn of(room: &'a Room, recipient: u64) -> Self {
        Self {
            id: room.id,
            dialog_id: room.dialog_id(recipient),
            name: if room.private { "" } else { &room.name },
            kind: if room.private { "private" } else { "chat" },
            message_type: if room.private { "P" } else { "C" },
            owner: room.owner(),
            color: room.color,
            avatar: "",
            description: "",
            extranet: false,
            contains_collaber: false,
            entity_type: "",
            entity_id: "",
            entity_data1: "",
            entity_data2: "",
            entity_data3: "",
            entity_link: EntityLink { kind: "", url: "", id: "" },
            disk_folder_id: if room.private { 0 } else { room.id + 59 },
            permissions: Permissions {
                manage_users_add: "member",
                manage_users_delete: "manager",
                manage_ui: "member",
                manage_settings: "owner",
                manage_messages: "member",
                can_post: "member",
            },
            parent_chat_id: 0,
            parent_message_id: 0,
            is_new: false,
            text_field_enabled: "Y",
            background_id: None,
        }
    }
}

/// `user`, or `[]` where nobody acted.
#[derive(Serialize)]
#[serde(untagged)]
enum UserShape {
    Nobody(EmptyArray),
    Person(Box<PersonShape>),
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
    departments: [u64; 1],
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
            extranet: false,
            bot: false,
            connector: false,
            external_auth_id: "default",
            status: "online",
            idle: false,
            last_activity_date: false,
            mobile_last_date: false,
            desktop_last_date: false,
            absent: false,
            departments: [person.department],
            phones: false,
            website: "",
            email: format!("user{}@example.com", person.id),
            kind: "user",
        })
    }
}
