//! The event types that a queue may hold, as listed in `events` of a sink. The portal writes them in upper
//! case.

use config::Value;

use crate::config::parse::quote;
use crate::config::parse::value;

/// The event types of user queues and bot queues (PORTAL.md 2.1 and 3).
const KNOWN: [&str; 13] = [
    "ONIMV2MESSAGEADD",
    "ONIMV2MESSAGEUPDATE",
    "ONIMV2MESSAGEDELETE",
    "ONIMV2REACTIONCHANGE",
    "ONIMV2JOINCHAT",
    "ONIMBOTV2MESSAGEADD",
    "ONIMBOTV2MESSAGEUPDATE",
    "ONIMBOTV2MESSAGEDELETE",
    "ONIMBOTV2REACTIONCHANGE",
    "ONIMBOTV2JOINCHAT",
    "ONIMBOTV2CONTEXTGET",
    "ONIMBOTV2COMMANDADD",
    "ONIMBOTV2DELETE",
];

/// A name with at most this many wrong letters counts as a misspelling of a known type. A new type at the
/// portal differs by at least a word.
const TYPOS_MAX: usize = 2;

/// Reads a list of types and converts them to upper case, because they are compared without regard to case.
///
/// # Errors
/// If a name looks like a misspelling of a known one.
pub(crate) fn read(value: &Value) -> Result<Vec<String>, String> {
    let events: Vec<String> = value::list(value)?.iter().map(|event| event.to_uppercase()).collect();
    for event in events.iter().filter(|event| !is_known(event)) {
        if let Some(known) = nearest(event) {
            let event = quote::key(event);
            return Err(format!("there is no event type `{event}`: did you mean `{known}`?"));
        }
    }
    Ok(events)
}

/// True if a sink whose `events` are these takes events of the type `kind`.
pub(crate) fn are_taken(events: Option<&[String]>, kind: &str) -> bool {
    events.is_none_or(|events| events.iter().any(|event| event.eq_ignore_ascii_case(kind)))
}

/// True if `event`, in upper case, is a known type.
pub(crate) fn is_known(event: &str) -> bool {
    KNOWN.contains(&event)
}

/// All known types, for an error message.
pub(crate) fn listed() -> String {
    KNOWN.map(|event| format!("`{event}`")).join(", ")
}

fn nearest(event: &str) -> Option<&'static str> {
    let typos = |known: &str| strsim::damerau_levenshtein(event, known);
    KNOWN.into_iter().min_by_key(|known| typos(known)).filter(|known| typos(known) <= TYPOS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_refused_and_a_type_that_may_be_new_is_not() {
        let read = |event: &str| read(&Value::from(vec![event.to_owned()]));
        assert_eq!(read("onimv2messageadd"), Ok(vec!["ONIMV2MESSAGEADD".to_owned()]));
        for slip in ["ONIMV2MESAGEADD", "ONIMV2MESSAGESADD", "ONIMV2MESSAEGADD", "ONIM2MESSAGEADD"] {
            let refused = read(slip).unwrap_err();
            assert!(refused.ends_with("did you mean `ONIMV2MESSAGEADD`?"), "{refused}");
        }
        for new in ["ONIMV2MESSAGEREAD", "ONIMV2CHATADD", "ONTASKADD"] {
            assert_eq!(read(new), Ok(vec![new.to_owned()]));
            assert!(!is_known(new));
        }
    }
}
