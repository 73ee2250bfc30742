//! An event as a message for people: the bodies of Slack, Mattermost, Discord, Telegram and Teams.

use serde_json::{Value, json};

use crate::config::{Messenger, MessengerConfig};
use crate::event::Event;
use crate::markup::{self, Dialect, Part, Style};

/// The most links of a block that are shown.
const LINKS_MAX: usize = 10;

/// The longest text of each service. Slack cuts at 40,000 characters, Mattermost takes 16,383, Discord 2,000, Telegram
/// 4,096 in UTF-16 after its entities are read, and a card of Teams may have 28 KB in all.
const SLACK_MAX: usize = 40_000;
const MATTERMOST_MAX: usize = 16_383;
const DISCORD_MAX: usize = 2_000;
const TELEGRAM_MAX: usize = 4_096;
const TEAMS_MAX: usize = 24 * 1024;

/// Discord: no previews of links.
const SUPPRESS_EMBEDS: u32 = 1 << 2;

/// The body of `event` for the service of `config`.
pub(crate) fn write(config: &MessengerConfig, event: &Event) -> Vec<u8> {
    let parts = describe(event);
    let body = match config.service {
        Messenger::Slack => {
            json!({ "text": characters(&parts, Dialect::Slack, SLACK_MAX), "unfurl_links": false, "unfurl_media": false })
        }
        Messenger::Mattermost => json!({ "text": characters(&parts, Dialect::Mattermost, MATTERMOST_MAX) }),
        Messenger::Discord => json!({
            "content": characters(&parts, Dialect::Discord, DISCORD_MAX),
            "allowed_mentions": { "parse": [] },
            "flags": SUPPRESS_EMBEDS,
        }),
        Messenger::Telegram => json!({
            "chat_id": config.chat_id,
            "text": markup::render(&parts, Dialect::Telegram, TELEGRAM_MAX, |_, shown| shown.encode_utf16().count()),
            "parse_mode": "HTML",
            "link_preview_options": { "is_disabled": true },
        }),
        Messenger::Teams => card(&parts),
    };
    body.to_string().into_bytes()
}

fn characters(parts: &[Part], dialect: Dialect, max: usize) -> String {
    // In UTF-16, which no service counts more than.
    markup::render(parts, dialect, max, |markup, _| markup.encode_utf16().count())
}

fn card(parts: &[Part]) -> Value {
    let in_json = |markup: &str, _: &str| Value::from(markup).to_string().len();
    let text = markup::render(parts, Dialect::Teams, TEAMS_MAX, in_json);
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": [{ "type": "TextBlock", "text": text, "wrap": true }],
            },
        }],
    })
}

/// What has happened, in a few lines.
fn describe(event: &Event) -> Vec<Part> {
    let data: Value = serde_json::from_str(event.data.get()).unwrap_or_default();
    let text = |path: &str| data.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let kind = event.kind.to_ascii_uppercase();
    if kind == "B24RELAY_GAP" {
        let told = format!("b24relay: events from {} to {} may be missing", text("/from"), text("/to"));
        return vec![Part::text(told)];
    }
    let kind = kind.strip_prefix("ONIMBOTV2").or_else(|| kind.strip_prefix("ONIMV2")).unwrap_or(&kind);
    let mut parts = heading(&data);
    let message = || markup::parse(text("/message/text"));
    match kind {
        "MESSAGEADD" | "COMMANDADD" => {
            parts.push(Part::text("\n"));
            parts.extend(message());
            parts.extend(attachments(event, &data));
        }
        "MESSAGEUPDATE" => {
            parts.push(Part::text(" (edited)\n"));
            parts.extend(message());
            parts.extend(attachments(event, &data));
        }
        "MESSAGEDELETE" => parts.push(Part::text(": a message was deleted")),
        "REACTIONCHANGE" => {
            let verb = if text("/action") == "delete" { "took back the reaction" } else { "reacted with" };
            parts.push(Part::text(format!(" {verb} {}\n", text("/reaction"))));
            parts.push(Part::Quote(message()));
        }
        "JOINCHAT" => parts.push(Part::text(": new in the chat")),
        other => parts.push(Part::text(format!(": {other}"))),
    }
    parts
}

/// Who, and in which chat.
fn heading(data: &Value) -> Vec<Part> {
    let text = |path: &str| data.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty());
    let name = text("/user/name").or_else(|| text("/bot/code")).unwrap_or("Bitrix24");
    let mut parts = vec![Part::Styled(Style::Bold, vec![Part::text(one_line(name))])];
    if let Some(chat) = text("/chat/name") {
        parts.push(Part::text(format!(" in {}", one_line(chat))));
    }
    parts
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The files of a message, which only the portal can show, and the links of its blocks.
fn attachments(event: &Event, data: &Value) -> Vec<Part> {
    let mut parts = Vec::new();
    let params = data.pointer("/message/params").cloned().unwrap_or_default();
    let blocks = params["ATTACH"].as_array().into_iter().flatten();
    let blocks = blocks.flat_map(|attach| attach["BLOCKS"].as_array().cloned().unwrap_or_default());
    let links = blocks.flat_map(|block| block["LINK"].as_array().cloned().unwrap_or_default());
    for link in links.take(LINKS_MAX) {
        let name = link["NAME"].as_str().or(link["LINK"].as_str()).unwrap_or_default();
        let address = link["LINK"].as_str().and_then(markup::safe_address);
        parts.push(Part::text("\n"));
        parts.push(match address {
            Some(address) => Part::Link(address, vec![Part::text(one_line(name))]),
            None => Part::text(one_line(name)),
        });
    }
    let files = match &params["FILE_ID"] {
        Value::Array(files) => files.len(),
        Value::Null => 0,
        _ => 1,
    };
    if files > 0 {
        let label = if files == 1 { "1 file".to_owned() } else { format!("{files} files") };
        parts.push(Part::text("\n"));
        parts.push(match in_portal(event, data) {
            Some(address) => Part::Link(address, vec![Part::text(label)]),
            None => Part::text(label),
        });
    }
    parts
}

/// The address at which the portal shows the message.
fn in_portal(event: &Event, data: &Value) -> Option<String> {
    let portal = event.queue.identity.split('/').next().filter(|portal| !portal.is_empty())?;
    let dialog = data.pointer("/chat/dialogId").or(data.pointer("/dialogId"))?.as_str()?;
    if !dialog.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let message = data.pointer("/message/id").and_then(Value::as_u64);
    let message = message.map_or_else(String::new, |id| format!("&IM_MESSAGE={id}"));
    markup::safe_address(&format!("https://{portal}/online/?IM_DIALOG={dialog}{message}"))
}
