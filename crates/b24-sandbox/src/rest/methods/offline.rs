//! `event.offline.*`: how an application fetches events from its offline queue (PORTAL.md 4).

use serde_json::{Value, json};

use crate::queue::selection::{Selection, is_same};
use crate::rest::caller::Caller;
use crate::rest::input::parameter::Parameters;
use crate::rest::outcome::Listing;
use crate::rest::refusal::Refusal;
use crate::state::offline::OfflineRow;
use crate::state::portal::Portal;

/// The number of rows on a page of `event.offline.list`.
const PAGE: usize = 50;

/// The number of rows that `event.offline.get` returns by default.
const LIMIT: i64 = 50;

/// The application, if its user may read the queue.
fn admitted(caller: &Caller) -> Result<&str, Refusal> {
    let client_id = caller.client_id()?;
    if caller.is_admin { Ok(client_id) } else { Err(Refusal::access_denied()) }
}

/// The connector in `AUTH_CONNECTOR`; an empty text stands for none.
///
/// # Errors
///
/// If the plan does not include connectors.
pub(crate) fn connector(portal: &Portal, parameters: &Parameters) -> Result<String, Refusal> {
    match parameters.text("AUTH_CONNECTOR") {
        Some(_) if !portal.switches.extended_offline => Err(Refusal::wrong_license()),
        connector => Ok(connector.unwrap_or("").into()),
    }
}

/// `event.offline.get`: deletes the returned rows, or reserves them under a process id.
///
/// # Errors
///
/// The errors of PORTAL.md 4.
pub(crate) fn get(
    portal: &mut Portal,
    caller: &Caller,
    parameters: &Parameters,
    now_s: i64,
) -> Result<Value, Refusal> {
    let client_id = admitted(caller)?;
    let parameters = parameters.folded();
    let clear = parameters.flag("CLEAR", true);
    if !clear && !portal.switches.extended_offline {
        return Err(Refusal::wrong_license());
    }
    let limit = usize::try_from(parameters.integer("LIMIT", LIMIT)?).ok().filter(|limit| *limit > 0);
    let limit = limit.ok_or_else(|| Refusal::wrong_argument("LIMIT", "Value must be positive integer"))?;
    let source = connector(portal, &parameters)?;
    let (process_id, failed) = (parameters.text("PROCESS_ID"), parameters.flag("ERROR", false));
    let mut selection = Selection::read(&parameters, "TIMESTAMP_X")?;
    selection.require("PROCESS_ID", json!(process_id.unwrap_or("")));
    if process_id.is_none() {
        selection.require("ERROR", json!(u8::from(failed)));
    }
    let waiting = portal.offline.of(client_id, now_s).filter(|row| row.connector == source);
    let mut rows = selection.choose(waiting)?;
    // A reservation is returned completely.
    rows.truncate(if process_id.is_some() { usize::MAX } else { limit });
    let ids: Vec<u64> = rows.iter().map(|row| row.id).collect();
    let process_id = match process_id {
        _ if clear => {
            portal.offline.delete(&ids);
            Value::Null
        }
        Some(process_id) => json!(process_id),
        None => json!(portal.offline.reserve(&ids)),
    };
    Ok(json!({
        "process_id": process_id,
        "events": rows.iter().map(OfflineRow::describe).collect::<Vec<_>>(),
    }))
}

/// `event.offline.list`: returns rows without a change.
///
/// # Errors
///
/// The errors of PORTAL.md 4.
pub(crate) fn list(
    portal: &mut Portal,
    caller: &Caller,
    parameters: &Parameters,
    now_s: i64,
) -> Result<Listing, Refusal> {
    let client_id = admitted(caller)?;
    let parameters = parameters.folded();
    let start = usize::try_from(parameters.integer("START", 0)?).unwrap_or(0);
    let source = connector(portal, &parameters)?;
    let selection = Selection::read(&parameters, "ID")?;
    let waiting = portal.offline.of(client_id, now_s).filter(|row| row.connector == source);
    let rows = selection.choose(waiting)?;
    let next = Some(start.saturating_add(PAGE)).filter(|next| *next < rows.len());
    let part = rows.iter().skip(start).take(PAGE).map(OfflineRow::describe_fully).collect();
    Ok(Listing { rows: part, total: rows.len(), next })
}

/// `event.offline.clear`: deletes all or some rows of a reservation.
///
/// # Errors
///
/// The errors of PORTAL.md 4.
pub(crate) fn clear(
    portal: &mut Portal,
    caller: &Caller,
    parameters: &Parameters,
    now_s: i64,
) -> Result<Value, Refusal> {
    let ids = reserved(portal, caller, parameters, now_s)?;
    portal.offline.delete(&ids);
    Ok(json!(true))
}

/// `event.offline.error`: marks all or some rows of a reservation as failed.
///
/// # Errors
///
/// The errors of PORTAL.md 4.
pub(crate) fn error(
    portal: &mut Portal,
    caller: &Caller,
    parameters: &Parameters,
    now_s: i64,
) -> Result<Value, Refusal> {
    let ids = reserved(portal, caller, parameters, now_s)?;
    portal.offline.fail(&ids);
    Ok(json!(true))
}

/// The rows of a reservation that `ID` and `MESSAGE_ID` select; all rows if neither is given.
fn reserved(
    portal: &mut Portal,
    caller: &Caller,
    parameters: &Parameters,
    now_s: i64,
) -> Result<Vec<u64>, Refusal> {
    let client_id = admitted(caller)?;
    let parameters = parameters.folded();
    let process_id = parameters.required("PROCESS_ID")?;
    let ids = array(&parameters, "ID")?;
    let messages = array(&parameters, "MESSAGE_ID")?;
    if messages.iter().flatten().any(|id| id.as_str().is_none_or(|id| id.len() != 32)) {
        return Err(Refusal::wrong_argument("MESSAGE_ID", "Value must be an md5 hash"));
    }
    let is_named = |row: &&OfflineRow| match (&ids, &messages) {
        (Some(ids), _) => ids.iter().any(|id| is_same(id, &json!(row.id))),
        (None, Some(messages)) => messages.contains(&json!(row.message_id)),
        (None, None) => true,
    };
    let reserved = portal.offline.of(client_id, now_s).filter(|row| row.process_id == process_id);
    Ok(reserved.filter(is_named).map(|row| row.id).collect())
}

fn array(parameters: &Parameters, name: &str) -> Result<Option<Vec<Value>>, Refusal> {
    match parameters.get(name) {
        None => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items.clone())),
        Some(_) => Err(Refusal::wrong_argument(name, "Value must be array")),
    }
}
