//! `sinks.NAME.outcomes`: HTTP statuses of a receiver with a meaning other than the usual one.

use std::collections::BTreeMap;
use std::str::FromStr;

use config::Value;

use crate::config::parse::enums::words;
use crate::config::parse::table::Table;
use crate::config::parse::value;

/// The meaning of a response for the posted event and for its sink.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// The receiver has stored the event.
    Delivered,
    /// A retry will probably succeed.
    Transient,
    /// The receiver will never accept the event as it is. It becomes a dead letter after a few attempts.
    Rejected,
    /// Something is wrong with us or the receiver, not with the event: it waits, and a person is told.
    Held,
    /// The receiver wants no more events. The sink waits until the operator resumes it.
    Paused,
}

words!(Outcome: "delivered" => Delivered, "transient" => Transient, "rejected" => Rejected,
    "held" => Held, or "paused" => Paused);

/// The configured outcomes of statuses.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct OutcomesConfig {
    statuses: BTreeMap<u16, Outcome>,
    /// By the first digit of the status.
    classes: BTreeMap<u16, Outcome>,
}

impl OutcomesConfig {
    /// The outcome that is configured for `status` or else for its class.
    pub fn of(&self, status: u16) -> Option<Outcome> {
        self.statuses.get(&status).or_else(|| self.classes.get(&(status / 100))).copied()
    }
}

/// The statuses that an entry applies to.
#[derive(Hash)]
enum Scope {
    Status(u16),
    /// All statuses with this first digit.
    Class(u16),
}

impl FromStr for Scope {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RULE: &str =
            "is no status: write one from 100 to 999, such as \"404\", or a class, such as \"4xx\"";
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let (digits, scope): (_, fn(u16) -> Self) = match text.strip_suffix("xx") {
            Some(digit) => (digit, Self::Class),
            None => (text, Self::Status),
        };
        let length = if text.ends_with("xx") { 1 } else { 3 };
        if digits.len() != length || !is_number(digits) || digits.starts_with('0') {
            return Err(RULE);
        }
        digits.parse().map(scope).map_err(|_| RULE)
    }
}

/// Reads the table and reports violations.
pub(crate) fn read(table: &mut Table<'_>) -> OutcomesConfig {
    let mut outcomes = OutcomesConfig::default();
    for (scope, outcome) in table.entries(entry) {
        match scope {
            Scope::Status(status) => outcomes.statuses.insert(status, outcome),
            Scope::Class(digit) => outcomes.classes.insert(digit, outcome),
        };
    }
    outcomes
}

/// Parses both sides of an entry and reports errors in either.
fn entry(name: &str, value: &Value) -> Result<(Scope, Outcome), String> {
    match (name.parse(), value::choice(value)) {
        (Ok(scope), Ok(outcome)) => Ok((scope, outcome)),
        (Err(of_name), Ok(_)) => Err(of_name.to_owned()),
        (Ok(_), Err(of_value)) => Err(of_value),
        (Err(of_name), Err(of_value)) => Err(format!("{of_name}; its value {of_value}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{environment, errors, load_text};
    use crate::config::{SinkConfig, TargetConfig};

    fn text(outcomes: &str) -> String {
        format!(
            "[sources.support]\nwebhook_url = \"https://acme.bitrix24.com/rest/1/abc123/\"\n[sinks.crm]\n\
             type = \"webhook\"\nurl = \"https://crm.example.com/\"\noutcomes = {outcomes}"
        )
    }

    fn given(outcomes: &str) -> OutcomesConfig {
        let sinks = load_text(text(outcomes), &environment(&[])).unwrap().config.sinks;
        match &sinks[..] {
            [SinkConfig { target: TargetConfig::Webhook(webhook), .. }] => webhook.outcomes.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_status_beats_its_class_and_nothing_else_is_touched() {
        let outcomes =
            given(r#"{ "404" = "rejected", 409 = "delivered", "4xx" = "paused", "9xx" = "held" }"#);
        for (status, outcome) in [
            (404, Some(Outcome::Rejected)),
            (409, Some(Outcome::Delivered)),
            (400, Some(Outcome::Paused)),
            (499, Some(Outcome::Paused)),
            (900, Some(Outcome::Held)),
            (399, None),
            (500, None),
        ] {
            assert_eq!(outcomes.of(status), outcome, "{status}");
        }
        assert_eq!(given("{}").of(404), None);
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let wrong = ["099", "1000", "40", "4x", "xx", "0xx", "44xx", "+44", "4XX", "ok", ""];
        let entries: Vec<String> = wrong.iter().map(|name| format!("\"{name}\" = \"held\"")).collect();
        let entries =
            format!("{{ {}, \"404\" = \"ignored\", \"5xx\" = 5, \"no\" = \"never\" }}", entries.join(", "));
        let told = errors(&text(&entries), &environment(&[]));
        assert_eq!(told.len(), wrong.len() + 3, "{told:#?}");
        let told = told.join("\n");
        for words in [
            "outcomes.404: must be `delivered`, `transient`",
            "is no status",
            "outcomes.5xx",
            "its value must be",
        ] {
            assert!(told.contains(words), "no {words} in {told}");
        }
    }
}
