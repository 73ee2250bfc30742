//! The `fields` of `imbot.v2.Bot.register`, checked in the portal's order (PORTAL.md 3.2).

use serde_json::{Map, Value};

use crate::rest::input::parameter::is_truthy;
use crate::rest::refusal::Refusal;
use crate::state::bots::{EventMode, Owner, Profile};

/// The maximum length of a token, enforced since 06.08.2026.
const TOKEN_MAX: usize = 40;

const KINDS: [&str; 4] = ["bot", "supervisor", "personal", "openline"];

const BACKGROUNDS: [&str; 9] =
    ["azure", "mint", "steel", "slate", "teal", "cornflower", "sky", "peach", "frost"];

type Fields = Map<String, Value>;

/// The code of the new bot, after the first checks. The code decides whether the bot already exists.
///
/// # Errors
///
/// If the token is too long, or the code or the name is missing.
pub(crate) fn code<'a>(owner: &Owner, fields: &'a Fields) -> Result<&'a str, Refusal> {
    if matches!(owner, Owner::Token(token) if token.chars().count() > TOKEN_MAX) {
        return Err(Refusal::bad_request("BOT_TOKEN_INVALID_LENGTH", "Bot token is too long"));
    }
    let code = text(fields, "code")
        .ok_or_else(|| Refusal::bad_request("BOT_CODE_REQUIRED", "Bot code is required"))?;
    if property(fields, "name").is_none() {
        return Err(Refusal::bad_request("BOT_PROPERTIES_REQUIRED", "Bot properties are required"));
    }
    Ok(code)
}

/// The profile of the new bot.
///
/// # Errors
///
/// If its type, its event mode or its handler is invalid.
pub(crate) fn profile(code: &str, fields: &Fields) -> Result<Profile, Refusal> {
    let kind = text(fields, "type").unwrap_or("bot");
    if !KINDS.contains(&kind) {
        return Err(Refusal::bad_request("BOT_INVALID_TYPE", "Invalid bot type"));
    }
    let flag = |name: &str, missing| fields.get(name).map_or(missing, is_yes);
    let background_id = text(fields, "backgroundId").filter(|id| BACKGROUNDS.contains(id));
    Ok(Profile {
        last_name: property(fields, "lastName").unwrap_or("").into(),
        work_position: property(fields, "workPosition").unwrap_or("").into(),
        kind: kind.into(),
        event_mode: event_mode(fields)?,
        is_hidden: flag("isHidden", false),
        is_reactions_enabled: flag("isReactionsEnabled", true),
        is_support_openline: flag("isSupportOpenline", false),
        background_id: background_id.map(Into::into),
        ..Profile::new(code, property(fields, "name").unwrap_or(""))
    })
}

fn event_mode(fields: &Fields) -> Result<EventMode, Refusal> {
    match text(fields, "eventMode") {
        None | Some("fetch") => Ok(EventMode::Fetch),
        Some("webhook") => {
            let url = text(fields, "webhookUrl");
            let url = url
                .ok_or_else(|| Refusal::bad_request("BOT_WEBHOOK_URL_REQUIRED", "Webhook URL is required"))?;
            let is_url = url.starts_with("https://") || url.starts_with("http://");
            if is_url {
                Ok(EventMode::Webhook)
            } else {
                Err(Refusal::bad_request("BOT_INVALID_CALLBACK", "Invalid callback URL"))
            }
        }
        Some(_) => Err(Refusal::bad_request("BOT_INVALID_EVENT_MODE", "Invalid event mode")),
    }
}

/// Checks that the avatar may be an image. The sandbox does not decode it: the base64 must start like the
/// signature of PNG, JPEG, GIF or WebP.
///
/// # Errors
///
/// If the avatar is not an image.
pub(crate) fn check_avatar(fields: &Fields) -> Result<(), Refusal> {
    const SIGNATURES: [&str; 4] = ["iVBORw0KGgo", "/9j/", "R0lGOD", "UklGR"];
    let avatar = property(fields, "avatar").unwrap_or("");
    if avatar.is_empty() || SIGNATURES.iter().any(|signature| avatar.starts_with(signature)) {
        return Ok(());
    }
    Err(Refusal::bad_request("BOT_AVATAR_INCORRECT_TYPE", "Avatar must be an image"))
}

fn text<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn property<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    text(fields.get("properties")?.as_object()?, name)
}

/// True for a field that means yes. Unlike a parameter, a field treats the portal's `N` as false.
fn is_yes(value: &Value) -> bool {
    is_truthy(value) && !matches!(value.as_str(), Some("N" | "false"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(fields: &Value, token: &str) -> String {
        let fields = fields.as_object().unwrap();
        let checked = code(&Owner::Token(token.into()), fields).and_then(|code| profile(code, fields));
        let checked = checked.and_then(|_| check_avatar(fields));
        checked.unwrap_err().body["error"].as_str().unwrap().into()
    }

    /// Each step fixes the error of the previous one, so the order of the checks is tested too.
    #[test]
    fn fields_are_refused_in_the_portals_order() {
        let mut fields = json!({"type": "x", "eventMode": "x", "properties": {"avatar": "hello"}});
        assert_eq!(refused(&fields, &"x".repeat(41)), "BOT_TOKEN_INVALID_LENGTH");
        assert_eq!(refused(&fields, "x"), "BOT_CODE_REQUIRED");
        fields["code"] = "code".into();
        assert_eq!(refused(&fields, "x"), "BOT_PROPERTIES_REQUIRED");
        fields["properties"]["name"] = "Name".into();
        assert_eq!(refused(&fields, "x"), "BOT_INVALID_TYPE");
        fields["type"] = "personal".into();
        assert_eq!(refused(&fields, "x"), "BOT_INVALID_EVENT_MODE");
        fields["eventMode"] = "webhook".into();
        assert_eq!(refused(&fields, "x"), "BOT_WEBHOOK_URL_REQUIRED");
        fields["webhookUrl"] = "handler.php".into();
        assert_eq!(refused(&fields, "x"), "BOT_INVALID_CALLBACK");
        fields["webhookUrl"] = "https://example.com/handler.php".into();
        assert_eq!(refused(&fields, "x"), "BOT_AVATAR_INCORRECT_TYPE");
    }

    #[test]
    fn fields_become_a_profile() {
        let fields = json!({"code": "c", "properties": {"name": "N", "lastName": "L"}, "isHidden": "Y",
            "isReactionsEnabled": "N", "backgroundId": "nowhere"});
        let profile = profile("c", fields.as_object().unwrap()).unwrap();
        assert_eq!((profile.name.as_str(), profile.last_name.as_str()), ("N", "L"));
        assert!(profile.is_hidden && !profile.is_reactions_enabled);
        assert_eq!((profile.event_mode, profile.background_id), (EventMode::Fetch, None));
    }
}
