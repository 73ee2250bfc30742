//! `events`, `event.bind`, `event.get`, `event.unbind`: the event bindings of applications (PORTAL.md 4).

use serde_json::{Value, json};

use crate::rest::caller::Caller;
use crate::rest::input::parameter::Parameters;
use crate::rest::methods::offline::connector;
use crate::rest::refusal::Refusal;
use crate::state::event_names;
use crate::state::handlers::{Delivery, Handler};
use crate::state::portal::Portal;

/// `events`: the names of the events that can be bound.
///
/// # Errors
///
/// If the caller is a webhook.
pub(crate) fn events(caller: &Caller, parameters: &Parameters) -> Result<Value, Refusal> {
    caller.client_id()?;
    let parameters = parameters.folded();
    if parameters.flag("FULL", false) {
        return Ok(json!(event_names::all().collect::<Vec<_>>()));
    }
    let scopes = match parameters.get("SCOPE").and_then(Value::as_str) {
        Some(scope) => vec![scope],
        None => std::iter::once("").chain(caller.scopes.iter().map(String::as_str)).collect(),
    };
    Ok(json!(scopes.into_iter().flat_map(event_names::of).collect::<Vec<_>>()))
}

/// `event.bind`.
///
/// # Errors
///
/// The errors of PORTAL.md 4: arguments, permissions, the URL, the event, an existing binding.
pub(crate) fn bind(portal: &mut Portal, caller: &Caller, parameters: &Parameters) -> Result<Value, Refusal> {
    let client_id = caller.client_id()?.to_owned();
    let parameters = parameters.folded();
    let event = parameters.required("EVENT")?.to_ascii_uppercase();
    let delivery = if is_offline(&parameters)? {
        offline_delivery(portal, caller, &parameters)?
    } else {
        online_delivery(caller, &parameters)?
    };
    if !event_names::is_bindable(&event, &caller.scopes) {
        return Err(Refusal::event_not_found());
    }
    let handler = Handler { client_id, event, delivery };
    if portal.handlers.contains(&handler) {
        return Err(Refusal::already_bound());
    }
    portal.handlers.push(handler);
    Ok(json!(true))
}

fn offline_delivery(portal: &Portal, caller: &Caller, parameters: &Parameters) -> Result<Delivery, Refusal> {
    if !caller.is_admin {
        return Err(Refusal::access_denied());
    }
    Ok(Delivery::Offline { connector: connector(portal, parameters)? })
}

fn online_delivery(caller: &Caller, parameters: &Parameters) -> Result<Delivery, Refusal> {
    let url = parameters.required("HANDLER")?.to_owned();
    check_url(&url)?;
    let user = match parameters.whole("AUTH_TYPE") {
        None if caller.is_admin => 0,
        None => caller.user,
        Some(user) if caller.is_admin || user == caller.user => user,
        Some(_) => return Err(Refusal::access_denied()),
    };
    Ok(Delivery::Online { url, user })
}

fn check_url(url: &str) -> Result<(), Refusal> {
    let (scheme, rest) = url.split_once("://").ok_or_else(Refusal::unsupported_protocol)?;
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err(Refusal::unsupported_protocol());
    }
    let host = rest.split(['/', '?', '#', ':']).next().unwrap_or("");
    if host.contains('.') { Ok(()) } else { Err(Refusal::wrong_handler_url()) }
}

/// `event.get`: all bindings of the application, or only those of one user.
///
/// # Errors
///
/// If the caller is a webhook.
pub(crate) fn get(portal: &Portal, caller: &Caller) -> Result<Value, Refusal> {
    let client_id = caller.client_id()?;
    let own = portal.handlers.iter().filter(|handler| handler.client_id == client_id);
    Ok(own.filter(|handler| is_shown(handler, caller)).map(Handler::describe).collect())
}

/// `event.unbind`: returns the number of removed bindings; 0 is a success. It does not check whether the
/// event exists.
///
/// # Errors
///
/// If an argument is missing, or a user who is not an administrator tries to remove bindings of other users.
pub(crate) fn unbind(
    portal: &mut Portal,
    caller: &Caller,
    parameters: &Parameters,
) -> Result<Value, Refusal> {
    let client_id = caller.client_id()?.to_owned();
    let parameters = parameters.folded();
    let event = parameters.required("EVENT")?.to_ascii_uppercase();
    let meant = if is_offline(&parameters)? {
        Meant::Exactly(offline_delivery(portal, caller, &parameters)?)
    } else {
        let user = unbind_user(caller, &parameters)?;
        Meant::Online { url: parameters.required("HANDLER")?.to_owned(), user }
    };
    let before = portal.handlers.len();
    portal.handlers.retain(|handler| {
        handler.client_id != client_id || handler.event != event || !meant.covers(&handler.delivery)
    });
    Ok(json!({ "count": before - portal.handlers.len() }))
}

/// The bindings of an event to remove.
enum Meant {
    Exactly(Delivery),
    /// Bindings to one URL; `None` stands for every user.
    Online {
        url: String,
        user: Option<u64>,
    },
}

impl Meant {
    fn covers(&self, delivery: &Delivery) -> bool {
        match (self, delivery) {
            (Self::Exactly(meant), bound) => meant == bound,
            (Self::Online { url: meant, user: owner }, Delivery::Online { url, user }) => {
                meant == url && owner.is_none_or(|owner| owner == *user)
            }
            (Self::Online { .. }, Delivery::Offline { .. }) => false,
        }
    }
}

/// The user whose bindings are removed; `None` stands for every user. The portal compares types too: if a
/// user who is not an administrator sends their own id as text, it counts as another user's id.
fn unbind_user(caller: &Caller, parameters: &Parameters) -> Result<Option<u64>, Refusal> {
    match parameters.get("AUTH_TYPE") {
        Some(_) if caller.is_admin => Ok(Some(parameters.whole("AUTH_TYPE").unwrap_or(0))),
        None if caller.is_admin => Ok(None),
        Some(value) if value.as_u64() != Some(caller.user) => Err(Refusal::access_denied()),
        Some(_) | None => Ok(Some(caller.user)),
    }
}

fn is_offline(parameters: &Parameters) -> Result<bool, Refusal> {
    match parameters.text("EVENT_TYPE").unwrap_or("online").to_ascii_lowercase().as_str() {
        "online" => Ok(false),
        "offline" => Ok(true),
        _ => Err(Refusal::wrong_argument("EVENT_TYPE", "Value must be one of {online|offline}")),
    }
}

/// Users who are not administrators see only their own bindings.
fn is_shown(handler: &Handler, caller: &Caller) -> bool {
    let own = match &handler.delivery {
        Delivery::Online { user, .. } => *user == caller.user,
        Delivery::Offline { .. } => false,
    };
    own || caller.is_admin
}
