//! The `ONIMBOTV2*` events of a bot that fetches: the shapes of `payload`, and `bot` in full form before
//! them (PORTAL.md 3.1).

use serde::Serialize;
use serde_json::{Value, json};

use super::bots::{Bot, EventMode, Owner};
use super::payload;
use super::php_json;
use super::scene::{Happening, Scene};

/// What a bot hears of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BotHappening {
    /// Something a user hears of as well.
    Chat(Happening),
    /// The bot is deleted.
    Delete,
    /// Somebody opens its dialogue and brings a context along.
    Context,
    /// Somebody calls one of its commands.
    Command,
}

impl BotHappening {
    /// The event's name on the wire.
    pub fn wire_name(self) -> &'static str {
        match self {
            Self::Chat(Happening::Add) => "ONIMBOTV2MESSAGEADD",
            Self::Chat(Happening::Update) => "ONIMBOTV2MESSAGEUPDATE",
            Self::Chat(Happening::Delete) => "ONIMBOTV2MESSAGEDELETE",
            Self::Chat(Happening::Reaction(_)) => "ONIMBOTV2REACTIONCHANGE",
            Self::Chat(Happening::Join) => "ONIMBOTV2JOINCHAT",
            Self::Delete => "ONIMBOTV2DELETE",
            Self::Context => "ONIMBOTV2CONTEXTGET",
            Self::Command => "ONIMBOTV2COMMANDADD",
        }
    }

    /// What `name` stands for, or `None` for a type no documentation knows.
    pub fn from_wire(name: &str) -> Option<Self> {
        let chat = [
            Happening::Add,
            Happening::Update,
            Happening::Delete,
            Happening::Reaction("like"),
            Happening::Join,
        ];
        let chat = chat.into_iter().map(Self::Chat);
        chat.chain([Self::Delete, Self::Context, Self::Command])
            .find(|happening| happening.wire_name() == name)
    }

    /// What happens in the chat meanwhile.
    pub fn in_chat(self) -> Happening {
        match self {
            Self::Chat(happening) => happening,
            Self::Context => Happening::Join,
            Self::Delete | Self::Command => Happening::Add,
        }
    }
}

/// The JSON of `data` of `scene`, as `bot` gets it. Its reactions always say which way they went.
pub fn render(happening: BotHappening, scene: &Scene, bot: &Bot) -> String {
    let shape = php_json::render(&BotShape::of(bot));
    let action = if scene.withdrawn { "delete" } else { "add" };
    let chat = || payload::render(scene, bot.id, Some(action));
    match happening {
        BotHappening::Delete => farewell(bot),
        BotHappening::Chat(_) => before(&format!(r#""bot":{shape}"#), &chat()),
        BotHappening::Context => {
            let context = r#"{"entityId":164,"entityType":"task","source":"link"}"#;
            before(&format!(r#""bot":{shape},"context":{context}"#), &chat())
        }
        BotHappening::Command => {
            let command = php_json::render(&Command::of(&scene.message.text));
            before(&format!(r#""bot":{shape},"command":{command}"#), &chat())
        }
    }
}

/// The JSON of `data` of the event that tells a bot of its end.
pub fn farewell(bot: &Bot) -> String {
    format!(r#"{{"bot":{}}}"#, php_json::render(&BotShape::of(bot)))
}

/// `object` with `members` in front of its own.
fn before(members: &str, object: &str) -> String {
    format!("{{{members},{}", object.strip_prefix('{').unwrap_or(object))
}

/// A bot as its owner sees it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BotShape<'a> {
    id: u64,
    code: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    is_hidden: bool,
    is_support_openline: bool,
    is_reactions_enabled: bool,
    background_id: Option<&'a str>,
    language: &'static str,
    module_id: &'static str,
    /// Still sent at revision 33. What stands there for a bot that a webhook registered is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    app_id: Option<&'a str>,
    event_mode: EventMode,
    count_message: u32,
    count_command: u32,
    count_chat: u32,
    count_user: u32,
}

impl<'a> BotShape<'a> {
    /// What there is to say of `bot`.
    pub fn of(bot: &'a Bot) -> Self {
        let profile = &bot.profile;
        Self {
            id: bot.id,
            code: &profile.code,
            kind: &profile.kind,
            is_hidden: profile.is_hidden,
            is_support_openline: profile.is_support_openline,
            is_reactions_enabled: profile.is_reactions_enabled,
            background_id: profile.background_id.as_deref(),
            language: "ru",
            module_id: "rest",
            app_id: match &bot.owner {
                Owner::App(client_id) => Some(client_id),
                Owner::Token(_) => None,
            },
            event_mode: profile.event_mode,
            count_message: 0,
            count_command: 0,
            count_chat: 0,
            count_user: 0,
        }
    }
}

/// A bot as strangers see it.
pub fn short_form(bot: &Bot) -> Value {
    let profile = &bot.profile;
    json!({
        "id": bot.id,
        "code": profile.code,
        "type": profile.kind,
        "isHidden": profile.is_hidden,
        "isSupportOpenline": profile.is_support_openline,
        "isReactionsEnabled": profile.is_reactions_enabled,
        "backgroundId": profile.background_id,
    })
}

/// The account behind a bot, as methods return it beside the bot.
pub fn user(bot: &Bot) -> Value {
    let profile = &bot.profile;
    let name = format!("{} {}", profile.name, profile.last_name);
    json!({
        "id": bot.id,
        "active": true,
        "name": name.trim(),
        "firstName": profile.name,
        "lastName": profile.last_name,
        "workPosition": profile.work_position,
        "color": "#df532d",
        "avatar": "",
        "gender": "M",
        "birthday": "",
        "extranet": false,
        "bot": true,
        "connector": false,
        "externalAuthId": "bot",
        "status": "online",
        "idle": false,
        "lastActivityDate": false,
        "absent": false,
        "departments": [1],
        "phones": false,
        "type": "bot",
    })
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
    /// The command at the start of `text`; one that has none counts as `/help` with all of it.
    fn of(text: &'a str) -> Self {
        let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
        let (name, params) = if first.starts_with('/') { (first, rest) } else { ("/help", text) };
        Self { id: 78, name, params, context: "textarea" }
    }
}

#[cfg(test)]
mod tests {
    use super::super::bots::{Bots, Profile};
    use super::super::chatter::Chatter;
    use super::super::dice::Dice;
    use super::*;

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

    fn rendered(name: &str, text: Option<&str>) -> Value {
        let mut bots = Bots::new(1);
        bots.add(456, Owner::App("local.1".into()), Profile::new("support", "Support"));
        let mut chatter = Chatter::new(1, 1, Dice::new(1, 1));
        let room = chatter.room_of_bot(456, None);
        let happening = BotHappening::from_wire(name).unwrap();
        assert_eq!(happening.wire_name(), name);
        let mut scene = chatter.stage(room, happening.in_chat(), 0);
        if let Some(text) = text {
            scene.message.text = text.into();
        }
        let data = render(happening, &scene, bots.get(456).unwrap());
        assert!(data.starts_with(r#"{"bot":{"id":456,"code":"support","type":"bot","#), "{data}");
        serde_json::from_str(&data).unwrap()
    }

    #[test]
    fn every_type_has_its_members_and_the_bot() {
        for (name, members) in TYPES {
            let data = rendered(name, None);
            let mut names: Vec<_> = data.as_object().unwrap().keys().map(String::as_str).collect();
            let mut expected: Vec<_> = members.iter().copied().chain(["bot"]).collect();
            names.sort_unstable();
            expected.sort_unstable();
            assert_eq!(names, expected, "{name}");
            assert_eq!(data["bot"]["eventMode"], "fetch");
            assert_eq!(data["bot"]["appId"], "local.1");
        }
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
