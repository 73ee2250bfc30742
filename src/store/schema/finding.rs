//! One thing that an inspection looked at.

use serde::Serialize;

/// The result of one check.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The item that was checked.
    pub what: String,
    /// Its state.
    pub found: String,
    /// The verdict.
    pub verdict: Verdict,
}

/// The verdict on a finding.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "is", content = "why")]
pub enum Verdict {
    /// As it must be.
    Ok,
    /// Nothing is wrong, but it is good to know.
    Noted(String),
    /// It is wrong, for this reason.
    Wrong(String),
}

impl Finding {
    /// Creates a finding that is as it must be.
    pub fn ok(what: &str, found: impl Into<String>) -> Self {
        Self { what: what.to_owned(), found: found.into(), verdict: Verdict::Ok }
    }

    /// Creates a finding that is wrong when there are `troubles`.
    pub fn judged(what: &str, found: impl Into<String>, troubles: &[String]) -> Self {
        let verdict = match troubles {
            [] => Verdict::Ok,
            [trouble] => Verdict::Wrong(trouble.clone()),
            [first, others @ ..] => Verdict::Wrong(format!("{first} (and {} more)", others.len())),
        };
        Self { verdict, ..Self::ok(what, found) }
    }

    /// The problem, if there is one.
    pub fn trouble(self) -> Option<String> {
        match self.verdict {
            Verdict::Wrong(trouble) => Some(format!("{}: {trouble}", self.what)),
            Verdict::Ok | Verdict::Noted(_) => None,
        }
    }
}
