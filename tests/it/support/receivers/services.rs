//! Slack, Mattermost, Discord, Telegram and Teams as receivers: each refuses what the service refuses.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The token of the bot, and the only chat that it may write to.
pub(crate) const TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";
pub(crate) const CHAT: &str = "-1001234567890";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Slack,
    Mattermost,
    Discord,
    Telegram,
    Teams,
}

#[derive(Clone)]
struct Shared {
    kind: Kind,
    accepted: Arc<Mutex<Vec<Value>>>,
    refused: Arc<Mutex<Vec<String>>>,
    /// The next answer, whatever comes.
    next: Arc<Mutex<Option<(u16, String)>>>,
}

/// A service on a free port.
pub(crate) struct Service {
    pub address: SocketAddr,
    shared: Shared,
}

impl Service {
    pub(crate) async fn start(kind: Kind) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Shared { kind, accepted: Arc::default(), refused: Arc::default(), next: Arc::default() };
        let router = Router::new().fallback(take).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        let path = match self.shared.kind {
            Kind::Slack => "services/T000/B000/s3cr3t".to_owned(),
            Kind::Mattermost => "hooks/xxx-generatedkey-xxx".to_owned(),
            Kind::Discord => "api/webhooks/1234/abcdefghijkl".to_owned(),
            Kind::Telegram => format!("bot{TOKEN}/sendMessage"),
            Kind::Teams => "workflows/abcdef/triggers/manual/paths/invoke".to_owned(),
        };
        format!("http://{}/{path}", self.address)
    }

    /// Gives this answer to the next request.
    pub(crate) fn answer_next(&self, status: u16, body: &str) {
        *self.shared.next.lock().unwrap() = Some((status, body.to_owned()));
    }

    /// The bodies that were accepted.
    pub(crate) fn accepted(&self) -> Vec<Value> {
        self.shared.accepted.lock().unwrap().clone()
    }

    /// Why requests were refused.
    pub(crate) fn refused(&self) -> Vec<String> {
        self.shared.refused.lock().unwrap().clone()
    }

    /// The text of the accepted messages.
    pub(crate) fn texts(&self) -> Vec<String> {
        let pointer = match self.shared.kind {
            Kind::Slack | Kind::Mattermost | Kind::Telegram => "/text",
            Kind::Discord => "/content",
            Kind::Teams => "/attachments/0/content/body/0/text",
        };
        self.accepted()
            .iter()
            .map(|body| body.pointer(pointer).unwrap().as_str().unwrap().to_owned())
            .collect()
    }
}

async fn take(State(shared): State<Shared>, uri: Uri, headers: HeaderMap, bytes: Bytes) -> Response {
    if let Some((status, body)) = shared.next.lock().unwrap().take() {
        return (StatusCode::from_u16(status).unwrap(), body).into_response();
    }
    let is_json = headers
        .get("content-type")
        .is_some_and(|kind| kind.to_str().unwrap().starts_with("application/json"));
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let judged = if is_json && body.is_object() {
        judge(shared.kind, uri.path(), &body, bytes.len())
    } else {
        Err((400, "not JSON".to_owned()))
    };
    match judged {
        Ok((status, answer)) => {
            shared.accepted.lock().unwrap().push(body);
            (StatusCode::from_u16(status).unwrap(), answer).into_response()
        }
        Err((status, answer)) => {
            shared.refused.lock().unwrap().push(answer.clone());
            (StatusCode::from_u16(status).unwrap(), answer).into_response()
        }
    }
}

type Judgement = Result<(u16, String), (u16, String)>;

fn judge(kind: Kind, path: &str, body: &Value, size: usize) -> Judgement {
    match kind {
        Kind::Slack => slack(body),
        Kind::Mattermost => mattermost(body),
        Kind::Discord => discord(body),
        Kind::Telegram => telegram(path, body),
        Kind::Teams => teams(body, size),
    }
}

/// The keys of `body` that are not `known`.
fn only(body: &Value, known: &[&str]) -> Result<(), (u16, String)> {
    let odd = body.as_object().unwrap().keys().find(|key| !known.contains(&key.as_str()));
    odd.map_or(Ok(()), |key| Err((400, format!("unknown key {key}"))))
}

fn slack(body: &Value) -> Judgement {
    only(body, &["text", "blocks", "unfurl_links", "unfurl_media", "mrkdwn"])?;
    let text = body["text"].as_str().unwrap_or_default();
    if text.is_empty() {
        return Err((400, "no_text".to_owned()));
    }
    if text.chars().count() > 40_000 {
        return Err((400, "msg_too_long".to_owned()));
    }
    // Special mentions, users, channels and groups.
    if ["<!", "<@", "<#"].iter().any(|call| text.contains(call)) {
        return Err((400, format!("it calls somebody: {text}")));
    }
    Ok((200, "ok".to_owned()))
}

fn mattermost(body: &Value) -> Judgement {
    only(body, &["text", "username", "icon_url", "channel", "attachments", "type", "props"])?;
    let text = body["text"].as_str().unwrap_or_default();
    if text.is_empty() || text.chars().count() > 16_383 {
        return Err((
            400,
            r#"{"id":"web.incoming_webhook.text.length.app_error","status_code":400}"#.to_owned(),
        ));
    }
    if ["@all", "@channel", "@here"].iter().any(|call| text.to_lowercase().contains(call)) {
        return Err((400, format!("it calls somebody: {text}")));
    }
    Ok((200, "ok".to_owned()))
}

fn discord(body: &Value) -> Judgement {
    only(body, &["content", "username", "avatar_url", "tts", "embeds", "allowed_mentions", "flags"])?;
    let content = body["content"].as_str().unwrap_or_default();
    if content.is_empty() || content.chars().count() > 2_000 {
        return Err((400, r#"{"message":"Invalid Form Body","code":50035}"#.to_owned()));
    }
    if body["allowed_mentions"] != json!({ "parse": [] }) {
        return Err((400, "it may call somebody".to_owned()));
    }
    Ok((204, String::new()))
}

fn telegram(path: &str, body: &Value) -> Judgement {
    let refuse = |status: u16, description: &str| {
        Err((status, json!({"ok": false, "error_code": status, "description": description}).to_string()))
    };
    if path != format!("/bot{TOKEN}/sendMessage") {
        return refuse(404, "Not Found");
    }
    only(body, &["chat_id", "text", "parse_mode", "link_preview_options", "disable_notification"])?;
    if body["chat_id"] != CHAT {
        return refuse(400, "Bad Request: chat not found");
    }
    if body["parse_mode"] != "HTML" {
        return refuse(400, "Bad Request: unsupported parse_mode");
    }
    let Some(shown) = without_entities(body["text"].as_str().unwrap_or_default()) else {
        return refuse(400, "Bad Request: can't parse entities");
    };
    if shown.trim().is_empty() {
        return refuse(400, "Bad Request: message text is empty");
    }
    if shown.encode_utf16().count() > 4_096 {
        return refuse(400, "Bad Request: message is too long");
    }
    Ok((200, json!({"ok": true, "result": {"message_id": 1}}).to_string()))
}

/// The text that a reader sees; `None` for HTML that Telegram does not parse.
fn without_entities(html: &str) -> Option<String> {
    let (mut shown, mut open, mut rest) = (String::new(), Vec::new(), html);
    while let Some(at) = rest.find(['<', '&']) {
        shown.push_str(&rest[..at]);
        let from = &rest[at..];
        if from.starts_with('&') {
            let entities = [("&lt;", '<'), ("&gt;", '>'), ("&amp;", '&'), ("&quot;", '"')];
            let (entity, c) = entities.into_iter().find(|(entity, _)| from.starts_with(entity))?;
            shown.push(c);
            rest = &from[entity.len()..];
            continue;
        }
        let (tag, behind) = from[1..].split_once('>')?;
        rest = behind;
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop() != Some(name) {
                return None;
            }
            continue;
        }
        let name = tag.split(' ').next()?;
        if !["b", "i", "u", "s", "a", "code", "pre", "blockquote"].contains(&name)
            || (name == "a") != tag.contains("href=\"")
        {
            return None;
        }
        open.push(name);
    }
    shown.push_str(rest);
    open.is_empty().then_some(shown)
}

fn teams(body: &Value, size: usize) -> Judgement {
    if size > 28 * 1024 {
        return Err((413, "RequestEntityTooLarge".to_owned()));
    }
    let card = &body["attachments"][0];
    let is_card = body["type"] == "message"
        && card["contentType"] == "application/vnd.microsoft.card.adaptive"
        && card["content"]["type"] == "AdaptiveCard"
        && card["content"]["body"][0]["type"] == "TextBlock"
        && card["content"]["body"][0]["text"].as_str().is_some_and(|text| !text.is_empty());
    if !is_card {
        return Err((400, "TriggerInputSchemaMismatch".to_owned()));
    }
    Ok((202, String::new()))
}
