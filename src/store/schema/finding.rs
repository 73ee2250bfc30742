//! One thing that an inspection looked at.

use serde::Serialize;

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What.
    pub what: String,
    /// How it is.
    pub found: String,
    /// What that means.
    pub verdict: Verdict,
}

/// What a finding means.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "is", content = "why")]
pub enum Verdict {
    /// As it must be.
    Ok,
    /// Nothing is wrong, but it is good to know.
    Noted(String),
    /// Not as it must be, and why.
    Wrong(String),
}

impl Finding {
    /// As it must be.
    pub fn ok(what: &str, found: impl Into<String>) -> Self {
        Self { what: what.to_owned(), found: found.into(), verdict: Verdict::Ok }
    }

    /// Wrong when there are `troubles`.
    pub fn judged(what: &str, found: impl Into<String>, troubles: &[String]) -> Self {
        let verdict = match troubles {
            [] => Verdict::Ok,
            [trouble] => Verdict::Wrong(trouble.clone()),
            [first, others @ ..] => Verdict::Wrong(format!("{first} (and {} more)", others.len())),
        };
        Self { verdict, ..Self::ok(what, found) }
    }

    /// What is wrong, if anything is.
    pub fn trouble(self) -> Option<String> {
        match self.verdict {
            Verdict::Wrong(trouble) => Some(format!("{}: {trouble}", self.what)),
            Verdict::Ok | Verdict::Noted(_) => None,
        }
    }
}
