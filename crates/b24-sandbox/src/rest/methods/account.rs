//! The methods that a reader calls before it polls: the user and the scopes of its credential (PORTAL.md
//! 1.4).

use serde::Serialize;
use serde_json::{Value, json};

use crate::rest::caller::Caller;
use crate::rest::credential::Auth;
use crate::rest::input::parameter::Parameters;
use crate::rest::method::Method;
use crate::rest::refusal::Refusal;
use crate::traffic::people::Person;
use crate::wire::php_json;

/// The plan that responses report as the portal's licence.
const LICENCE: &str = "demo";

/// The members of `profile`, in the server's order.
#[derive(Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
struct Profile {
    id: String,
    admin: bool,
    name: &'static str,
    last_name: &'static str,
    personal_gender: &'static str,
    personal_photo: &'static str,
    time_zone: &'static str,
    time_zone_offset: i32,
}

/// `profile`: the acting user.
pub(crate) fn profile(caller: &Caller) -> String {
    let person = Person::of(caller.user);
    php_json::render(&Profile {
        id: caller.user.to_string(),
        admin: caller.is_admin,
        name: person.first_name,
        last_name: person.last_name,
        personal_gender: person.gender,
        personal_photo: "",
        time_zone: "",
        time_zone_offset: 0,
    })
}

/// `method.get`: whether a method exists and may be called.
///
/// # Errors
///
/// If no name is given.
pub(crate) fn availability(caller: &Caller, parameters: &Parameters) -> Result<Value, Refusal> {
    let name = parameters.text("name").ok_or_else(|| Refusal::missing_argument("name"))?;
    let method = Method::find(name);
    let available = method.is_some_and(|method| caller.may(method));
    Ok(json!({ "isExisting": method.is_some(), "isAvailable": available }))
}

/// `app.info`: the settings of the application, or a few values for a webhook.
pub(crate) fn app_info(caller: &Caller) -> Value {
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
