//! Which events a sink takes.

pub(crate) mod contents; // chats, authors, mentions, expressions
pub(crate) mod trial; // `b24relay test`

use serde_json::{Value, json};

use crate::support::portal::sandbox::Portal;

/// A message in a group chat. `user` is its author, also in the message.
pub(crate) fn message(chat: u64, user: &Value, text: &str) -> Value {
    let author = user["id"].as_u64().unwrap_or(0);
    json!({
        "message": {"id": 7, "chatId": chat, "authorId": author, "text": text, "isSystem": author == 0, "params": []},
        "chat": {"id": chat, "dialogId": format!("chat{chat}"), "type": "chat"},
        "user": user,
        "language": "en",
    })
}

/// Records one event with this payload for user 1.
pub(crate) async fn record(portal: &Portal, kind: &str, data: &Value) {
    portal.record_as(json!({"user": 1, "count": 1, "type": kind, "data": data})).await;
}

/// Records: 1 own message, 2 messages of a colleague (one mentions the user), 1 of a bot, 1 of the portal, and the
/// deletion of a message of the colleague. All but the bot's are in chat 318.
pub(crate) async fn record_six(portal: &Portal) {
    let (own, colleague) = (json!({"id": 1, "bot": false}), json!({"id": 4, "bot": false}));
    let bot = json!({"id": 39, "bot": true, "type": "bot"});
    record(portal, "ONIMV2MESSAGEADD", &message(318, &own, "an invoice")).await;
    record(portal, "ONIMV2MESSAGEADD", &message(318, &colleague, "Invoice 7")).await;
    record(portal, "ONIMV2MESSAGEADD", &message(318, &colleague, "[USER=1]Ada[/USER], hello")).await;
    record(portal, "ONIMV2MESSAGEADD", &message(55, &bot, "beep")).await;
    record(portal, "ONIMV2MESSAGEADD", &message(318, &json!([]), "Ada has renamed the chat")).await;
    let deleted = json!({"messageId": 7, "chat": {"id": 318, "type": "chat"}, "user": colleague});
    record(portal, "ONIMV2MESSAGEDELETE", &deleted).await;
}

/// A file sink called `name` with these keys.
pub(crate) fn sink(name: &str, keys: &str) -> String {
    format!("[sinks.{name}]\ntype = \"file\"\npath = \"{name}.jsonl\"\n{keys}")
}
