//! What the answers of messengers say besides their status.

use std::time::Duration;

use serde_json::Value;

use crate::config::Messenger;

/// The longest wait that a service may ask for, as for `Retry-After`.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// How long the service asks to wait. Telegram and Discord say it in the body, as seconds.
pub(crate) fn retry_after(service: Messenger, body: &[u8]) -> Option<Duration> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let seconds = match service {
        Messenger::Telegram => body.pointer("/parameters/retry_after"),
        Messenger::Discord => body.pointer("/retry_after"),
        Messenger::Slack | Messenger::Mattermost | Messenger::Teams => None,
    }?;
    Duration::try_from_secs_f64(seconds.as_f64()?).ok().map(|wait| wait.min(WAIT_MAX))
}

/// The hint for an answer that blames the configuration, although its status blames the event.
pub(crate) fn mistake(service: Messenger, status: u16, body: &[u8]) -> Option<String> {
    if service != Messenger::Telegram || status != 400 {
        return None;
    }
    let body: Value = serde_json::from_slice(body).ok()?;
    if let Some(chat) = body.pointer("/parameters/migrate_to_chat_id").and_then(Value::as_i64) {
        return Some(format!("the group has become a supergroup: set `chat_id` to \"{chat}\""));
    }
    let description = body.get("description")?.as_str()?.to_ascii_lowercase();
    let is_about_chat = ["chat not found", "chat_id is empty", "not enough rights", "group chat was"];
    is_about_chat
        .iter()
        .any(|words| description.contains(words))
        .then(|| "correct `chat_id`, and let the bot write in that chat".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_read_where_the_service_says_it() {
        let telegram = br#"{"ok":false,"error_code":429,"parameters":{"retry_after":7}}"#;
        assert_eq!(retry_after(Messenger::Telegram, telegram), Some(Duration::from_secs(7)));
        let discord = br#"{"message":"You are being rate limited.","retry_after":0.25,"global":false}"#;
        assert_eq!(retry_after(Messenger::Discord, discord), Some(Duration::from_millis(250)));
        assert_eq!(retry_after(Messenger::Slack, discord), None);
        for odd in ["", "[]", r#"{"retry_after":"7"}"#, r#"{"retry_after":-1}"#, r#"{"retry_after":null}"#] {
            assert_eq!(retry_after(Messenger::Discord, odd.as_bytes()), None, "{odd}");
        }
        assert_eq!(retry_after(Messenger::Discord, br#"{"retry_after":1e9}"#), Some(WAIT_MAX));
    }

    #[test]
    fn a_wrong_chat_is_no_fault_of_the_event() {
        let moved = br#"{"description":"Bad Request: group chat was upgraded","parameters":{"migrate_to_chat_id":-100}}"#;
        assert!(mistake(Messenger::Telegram, 400, moved).unwrap().contains("\"-100\""));
        let unknown = br#"{"ok":false,"description":"Bad Request: chat not found"}"#;
        assert!(mistake(Messenger::Telegram, 400, unknown).is_some());
        assert_eq!(mistake(Messenger::Discord, 400, unknown), None);
        let event = br#"{"ok":false,"description":"Bad Request: message text is empty"}"#;
        assert_eq!(mistake(Messenger::Telegram, 400, event), None);
    }
}
