//! The `ONIMBOTV2*` events of a bot that fetches: the structure of `payload`, followed by `bot` in full form
//! (PORTAL.md 3.1, N9). Also renders bots for the responses of methods, with their keys in the server's
//! order.

use serde::Serialize;

use crate::state::bots::{Bot, EventMode};
use crate::traffic::event_data::{EventData, EventKind};
use crate::wire::payload::{self, Loaded};
use crate::wire::php_json;

/// The events that a bot receives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BotEventKind {
    /// An event that users receive too.
    Chat(EventKind),
    /// The bot is deleted.
    Delete,
    /// A user opens the dialog with the bot, with a context.
    Context,
    /// A user calls one of the bot's commands.
    Command,
}

impl BotEventKind {
    /// The event's name on the wire.
    pub(crate) fn wire_name(self) -> &'static str {
        match self {
            Self::Chat(EventKind::Add) => "ONIMBOTV2MESSAGEADD",
            Self::Chat(EventKind::Update) => "ONIMBOTV2MESSAGEUPDATE",
            Self::Chat(EventKind::Delete) => "ONIMBOTV2MESSAGEDELETE",
            Self::Chat(EventKind::Reaction(_)) => "ONIMBOTV2REACTIONCHANGE",
            Self::Chat(EventKind::Join) => "ONIMBOTV2JOINCHAT",
            Self::Delete => "ONIMBOTV2DELETE",
            Self::Context => "ONIMBOTV2CONTEXTGET",
            Self::Command => "ONIMBOTV2COMMANDADD",
        }
    }

    /// The event for `name`; `None` for an undocumented type.
    pub(crate) fn from_wire(name: &str) -> Option<Self> {
        let chat = [
            EventKind::Add,
            EventKind::Update,
            EventKind::Delete,
            EventKind::Reaction("like"),
            EventKind::Join,
        ];
        let chat = chat.into_iter().map(Self::Chat);
        chat.chain([Self::Delete, Self::Context, Self::Command])
            .find(|event_kind| event_kind.wire_name() == name)
    }

    /// The event in the chat that comes with it.
    pub(crate) fn in_chat(self) -> EventKind {
        match self {
            Self::Chat(event_kind) => event_kind,
            Self::Context => EventKind::Join,
            Self::Delete | Self::Command => EventKind::Add,
        }
    }
}

/// The JSON of `data` of `event_data` for `bot`. Its reactions always show whether they were added or removed.
pub(crate) fn render(event_kind: BotEventKind, event_data: &EventData, bot: &Bot, loaded: Loaded) -> String {
    let action = if event_data.withdrawn { "delete" } else { "add" };
    let chat = |loaded| payload::render(event_data, bot.id, Some(action), loaded);
    let data = match event_kind {
        BotEventKind::Delete => return deletion(bot),
        BotEventKind::Chat(_) => chat(loaded),
        BotEventKind::Context => {
            let context = r#""context":{"entityId":164,"entityType":"task","source":"link"}"#;
            // After `dialogId`, which cannot contain this text.
            chat(loaded).replacen(r#","chat":"#, &format!(r#",{context},"chat":"#), 1)
        }
        BotEventKind::Command => {
            // The server does not load the chat of a command from a private chat.
            let loaded = if event_data.chat.private { Loaded::Nothing } else { loaded };
            let command = php_json::render(&Command::of(&event_data.message.text));
            format!(r#"{{"command":{command},{}"#, &chat(loaded)[1..])
        }
    };
    let shape = php_json::render(&BotShape::of(bot));
    format!(r#"{},"bot":{shape}}}"#, data.strip_suffix('}').unwrap_or(&data))
}

/// The JSON of `data` of the event for the bot's deletion.
pub(crate) fn deletion(bot: &Bot) -> String {
    format!(r#"{{"bot":{}}}"#, php_json::render(&BotShape::of(bot)))
}

/// `shape` of `bot`, with the account behind it.
pub(crate) fn described(shape: &impl Serialize, bot: &Bot) -> String {
    format!(r#"{{"bot":{},"users":[{}]}}"#, php_json::render(shape), php_json::render(&BotUser::of(bot)))
}

/// A page of bots.
pub(crate) fn list(bots: &[&Bot], has_next_page: bool) -> String {
    let shapes: Vec<BotShape> = bots.iter().map(|bot| BotShape::of(bot)).collect();
    let users: Vec<BotUser> = bots.iter().map(|bot| BotUser::of(bot)).collect();
    let (shapes, users) = (php_json::render(&shapes), php_json::render(&users));
    format!(r#"{{"bots":{shapes},"users":{users},"hasNextPage":{has_next_page}}}"#)
}

/// A bot in the form for its owner.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BotShape<'a> {
    #[serde(flatten)]
    short: ShortShape<'a>,
    language: &'static str,
    module_id: &'static str,
    event_mode: EventMode,
    count_message: u32,
    count_command: u32,
    count_chat: u32,
    count_user: u32,
}

impl<'a> BotShape<'a> {
    /// The data of `bot`.
    pub(crate) fn of(bot: &'a Bot) -> Self {
        Self {
            short: ShortShape::of(bot),
            language: "ru",
            module_id: "rest",
            event_mode: bot.profile.event_mode,
            count_message: 0,
            count_command: 0,
            count_chat: 0,
            count_user: 0,
        }
    }
}

/// A bot in the form for other callers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShortShape<'a> {
    id: u64,
    code: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    is_hidden: bool,
    is_support_openline: bool,
    is_reactions_enabled: bool,
    background_id: Option<&'a str>,
}

impl<'a> ShortShape<'a> {
    /// The data of `bot`.
    pub(crate) fn of(bot: &'a Bot) -> Self {
        let profile = &bot.profile;
        Self {
            id: bot.id,
            code: &profile.code,
            kind: &profile.kind,
            is_hidden: profile.is_hidden,
            is_support_openline: profile.is_support_openline,
            is_reactions_enabled: profile.is_reactions_enabled,
            background_id: profile.background_id.as_deref(),
        }
    }
}

/// The account of a bot, which methods return together with the bot.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "the wire's shape")]
struct BotUser<'a> {
    id: u64,
    active: bool,
    name: String,
    first_name: &'a str,
    last_name: &'a str,
    work_position: &'a str,
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
    absent: bool,
    departments: [u64; 1],
    phones: bool,
    #[serde(rename = "type")]
    kind: &'static str,
}

impl<'a> BotUser<'a> {
    fn of(bot: &'a Bot) -> Self {
        let profile = &bot.profile;
        Self {
            id: bot.id,
            active: true,
            name: format!("{} {}", profile.name, profile.last_name).trim().to_owned(),
            first_name: &profile.name,
            last_name: &profile.last_name,
            work_position: &profile.work_position,
            color: "#df532d",
            avatar: "",
            gender: "M",
            birthday: "",
            extranet: false,
            bot: true,
            connector: false,
            external_auth_id: "bot",
            status: "online",
            idle: false,
            last_activity_date: false,
            absent: false,
            departments: [1],
            phones: false,
            kind: "bot",
        }
    }
}

/// A command as it was typed.
#[derive(Serialize)]
struct Command<'a> {
    id: u64,
    #[serde(rename = "command")]
    name: &'a str,
    params: &'a str,
    context: &'static str,
}

impl<'a> Command<'a> {
    /// The command at the start of `text`. A text without a command counts as `/help` with the whole text as
    /// its parameters.
    fn of(text: &'a str) -> Self {
        let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
        let (name, params) = if first.starts_with('/') { (first, rest) } else { ("/help", text) };
        Self { id: 78, name, params, context: "textarea" }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::state::bots::{Bots, Owner, Profile};
    use crate::state::rng::Rng;
    use crate::traffic::generator::TrafficGenerator;
    use crate::wire::members::Members;

    const TYPES: [(&str, &[&str]); 8] = [
        ("ONIMBOTV2MESSAGEADD", &["message", "chat", "user", "language"]),
        ("ONIMBOTV2MESSAGEUPDATE", &["message", "chat", "user", "language"]),
        ("ONIMBOTV2MESSAGEDELETE", &["messageId", "chat", "user", "language"]),
        ("ONIMBOTV2JOINCHAT", &["dialogId", "chat", "user", "language"]),
        ("ONIMBOTV2DELETE", &[]),
        ("ONIMBOTV2CONTEXTGET", &["dialogId", "context", "chat", "user", "language"]),
        ("ONIMBOTV2COMMANDADD", &["command", "message", "chat", "user", "language"]),
        ("ONIMBOTV2REACTIONCHANGE", &["reaction", "action", "message", "chat", "user", "language"]),
    ];

    fn written(name: &str, text: Option<&str>, chat: Option<u64>) -> String {
        let mut bots = Bots::new(1);
        bots.add(456, Owner::App("local.1".into()), Profile::new("support", "Support"));
        let mut generator = TrafficGenerator::new(1, 3, Rng::new(1, 1));
        let chat = generator.chat_of_bot(456, chat);
        let event_kind = BotEventKind::from_wire(name).unwrap();
        assert_eq!(event_kind.wire_name(), name);
        let mut event_data = generator.stage(chat, event_kind.in_chat(), 0);
        if let Some(text) = text {
            event_data.message.text = text.into();
        }
        render(event_kind, &event_data, bots.get(456).unwrap(), Loaded::Whole)
    }

    fn rendered(name: &str, text: Option<&str>) -> Value {
        serde_json::from_str(&written(name, text, None)).unwrap()
    }

    #[test]
    fn every_type_has_its_members_in_the_servers_order_and_the_bot_last() {
        for (name, members) in TYPES {
            let data = written(name, None, None);
            let Members(written) = serde_json::from_str(&data).unwrap();
            let names: Vec<_> = written.iter().map(|(name, _)| name.as_str()).collect();
            let expected: Vec<_> = members.iter().copied().chain(["bot"]).collect();
            assert_eq!(names, expected, "{name}");
            let bot = written.last().unwrap().1.get();
            assert!(bot.starts_with(r#"{"id":456,"code":"support","type":"bot","#), "{bot}");
            assert!(bot.contains(r#""eventMode":"fetch""#) && !bot.contains("appId"), "{bot}");
        }
    }

    #[test]
    fn a_command_in_a_private_chat_comes_without_the_chat() {
        // The third chat is private.
        let data = written("ONIMBOTV2COMMANDADD", None, Some(320));
        assert!(data.contains(r#","chat":[],"#), "{data}");
        assert!(!written("ONIMBOTV2COMMANDADD", None, Some(318)).contains(r#","chat":[],"#));
    }

    #[test]
    fn a_reaction_says_which_way_it_went() {
        let action = rendered("ONIMBOTV2REACTIONCHANGE", None)["action"].clone();
        assert!(["add", "delete"].contains(&action.as_str().unwrap()));
    }

    #[test]
    fn a_command_is_taken_from_the_text() {
        let command = |text| rendered("ONIMBOTV2COMMANDADD", Some(text))["command"].clone();
        assert_eq!(
            (&command("/ping")["command"], &command("/ping")["params"]),
            (&json!("/ping"), &json!(""))
        );
        assert_eq!(command("/sum 1 2")["params"], "1 2");
        assert_eq!(command("sum 1 2")["command"], "/help");
    }
}
