//! What a reader asks before it polls: whose credential it is and what it may do (PORTAL.md 1.4).

use serde_json::{Value, json};

use super::caller::{Auth, Caller};
use super::method::Method;
use super::parameter::Parameters;
use super::people::Person;
use super::refusal::Refusal;

/// The plan that answers give as the portal's licence.
const LICENCE: &str = "demo";

/// `profile`: the acting user.
pub fn profile(caller: &Caller) -> Value {
    let person = Person::of(caller.user);
    json!({
        "ID": caller.user.to_string(),
        "ADMIN": caller.is_admin,
        "NAME": person.first_name,
        "LAST_NAME": person.last_name,
        "PERSONAL_GENDER": person.gender,
        "PERSONAL_PHOTO": "",
        "TIME_ZONE": "",
        "TIME_ZONE_OFFSET": 0,
    })
}

/// `method.get`: whether a method exists and may be called.
///
/// # Errors
///
/// When no name is given.
pub fn availability(caller: &Caller, parameters: &Parameters) -> Result<Value, Refusal> {
    let name = parameters.text("name").ok_or_else(|| Refusal::missing_argument("name"))?;
    let method = Method::find(name);
    let available = method.is_some_and(|method| caller.may(method));
    Ok(json!({ "isExisting": method.is_some(), "isAvailable": available }))
}

/// `app.info`: the application's card, or the little there is to say about a webhook.
pub fn app_info(caller: &Caller) -> Value {
    match &caller.auth {
        Auth::Webhook { .. } => json!({ "SCOPE": caller.scopes, "LICENSE": LICENCE }),
        Auth::App { client_id } => json!({
            "ID": 1,
            "CODE": client_id,
            "VERSION": 1,
            "STATUS": "L",
            "INSTALLED": true,
            "PAYMENT_EXPIRED": "N",
            "DAYS": null,
            "LANGUAGE_ID": "en",
            "LICENSE": LICENCE,
            "LICENSE_TYPE": LICENCE,
            "LICENSE_FAMILY": LICENCE,
        }),
    }
}
