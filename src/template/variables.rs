//! The variables of an expression: `event`, and the portal's `data` with its parts `message`, `chat` and `user`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use minijinja::Value;
use minijinja::value::ValueKind;
use strsim::jaro_winkler;

use crate::event::{Event, Queue, line};
use crate::template::engine::Mistake;

/// The parts of `data` that are variables as well.
const PARTS: [&str; 3] = ["message", "chat", "user"];

/// The keys of `event`.
const OF_EVENT: [&str; 6] = ["id", "eventId", "type", "date", "source", "portal"];

/// A name that is at least as similar to a known one is suggested.
const CLOSE: f64 = 0.75;

/// The variables of `event`.
///
/// # Errors
/// Says that `data` cannot be read.
pub(super) fn of(event: &Event) -> Result<Value, minijinja::Error> {
    let unreadable = |error: serde_json::Error| {
        minijinja::Error::new(minijinja::ErrorKind::BadSerialization, "the event's `data` cannot be read")
            .with_source(error)
    };
    let data: Value = serde_json::from_str(event.data.get()).map_err(unreadable)?;
    let happened: String = serde_json::from_str(event.date.get()).unwrap_or_default();
    let portal = event.queue.identity.split('/').next().unwrap_or_default();
    let about = BTreeMap::from([
        ("id", Value::from(event.queue.stable_id(event.id))),
        ("eventId", Value::from(event.id.get())),
        ("type", Value::from(event.kind.as_str())),
        ("date", Value::from(happened)),
        ("source", Value::from(event.queue.source.as_ref())),
        ("portal", Value::from(portal)),
    ]);
    let parts = PARTS.map(|part| (part, data.get_attr(part).unwrap_or_default()));
    let mut variables = BTreeMap::from(parts);
    variables.insert("data", data);
    variables.insert("event", Value::from_pairs(about));
    Ok(Value::from_pairs(variables))
}

/// The keys that the samples have, by the variable. The portal may send more.
static KNOWN: LazyLock<BTreeMap<&'static str, BTreeSet<String>>> = LazyLock::new(|| {
    let queue = Arc::new(Queue::new("sample", "example.bitrix24.com/user/1"));
    let mut known = BTreeMap::<_, BTreeSet<String>>::new();
    for event in line::samples(&queue) {
        let Ok(variables) = of(&event) else { continue };
        for name in PARTS.into_iter().chain(["data"]) {
            let value = variables.get_attr(name).unwrap_or_default();
            let keys = known.entry(name).or_default();
            if value.kind() == ValueKind::Map {
                keys.extend(value.try_iter().into_iter().flatten().map(|key| key.to_string()));
            }
        }
    }
    known.insert("event", OF_EVENT.map(str::to_owned).into());
    known
});

/// Checks the `names` that `source` uses, such as `message.text`. An unknown variable or key of `event` is a mistake.
/// Returns notices about the other keys that no known event has.
pub(super) fn check<'n>(
    names: impl IntoIterator<Item = &'n String>,
    source: &str,
) -> Result<Vec<Mistake>, Mistake> {
    let mut notices = Vec::new();
    let names: BTreeSet<&String> = names.into_iter().collect();
    for name in names {
        let mut parts = name.split('.');
        let (variable, key) = (parts.next().unwrap_or_default(), parts.next());
        let Some(keys) = KNOWN.get(variable) else {
            let known = nearest(variable, KNOWN.keys().copied());
            let hint = known.map_or_else(
                || "known are `event`, `message`, `chat`, `user` and `data`".to_owned(),
                |known| format!("did you mean `{known}`?"),
            );
            let text = format!("there is no variable `{variable}`: {hint}");
            return Err(Mistake::at(source, place(source, variable), text));
        };
        let Some(key) = key.filter(|key| !keys.contains(*key)) else { continue };
        let known = nearest(key, keys.iter().map(String::as_str));
        let hint = known.map_or_else(String::new, |known| format!(": did you mean `{variable}.{known}`?"));
        let path = format!("{variable}.{key}");
        let (at, text) = (place(source, &path), format!("no known event has `{path}`{hint}"));
        let mistake = Mistake::at(source, at, text);
        if variable == "event" {
            return Err(mistake);
        }
        notices.push(mistake);
    }
    Ok(notices)
}

/// Where `source` uses `name`, as a byte offset.
fn place(source: &str, name: &str) -> usize {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let found = source.match_indices(name).find(|(at, _)| {
        let (before, behind) = (source[..*at].chars().next_back(), source[at + name.len()..].chars().next());
        !before.is_some_and(is_part) && !behind.is_some_and(|c| is_part(c) && c != '.')
    });
    found.map_or(0, |(at, _)| at)
}

fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let likeness = |known: &str| jaro_winkler(&name.to_lowercase(), &known.to_lowercase());
    let best = known.max_by(|one, other| likeness(one).total_cmp(&likeness(other)))?;
    (likeness(best) >= CLOSE).then_some(best)
}
