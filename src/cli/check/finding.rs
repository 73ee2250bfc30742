//! What one check came to: a state, what was seen, and for a failure what to do.

use serde::Serialize;

use crate::cli::exit_code::Exit;
use crate::cli::refused;
use crate::portal::CallError;

/// How a check ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum State {
    /// As it should be.
    #[serde(rename = "ok")]
    Ok,
    /// It works, but somebody should look.
    #[serde(rename = "warn")]
    Warn,
    /// It does not work.
    #[serde(rename = "fail")]
    Fail,
    /// Not made, because of another one or because it cannot be.
    #[serde(rename = "skip")]
    Skip,
}

impl State {
    /// The word for it, in tables and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

/// One check and its outcome.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    pub check: &'static str,
    pub state: State,
    pub detail: String,
    /// What a person can do; empty when nobody needs to.
    pub cure: String,
    /// What a failure means for the exit code.
    #[serde(skip)]
    pub exit: Exit,
}

impl Finding {
    pub fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, state: State::Ok, detail: detail.into(), cure: String::new(), exit: Exit::Clean }
    }

    pub fn warn(check: &'static str, detail: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { state: State::Warn, cure: cure.into(), ..Self::ok(check, detail) }
    }

    pub fn fail(check: &'static str, exit: Exit, detail: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { state: State::Fail, cure: cure.into(), exit, ..Self::ok(check, detail) }
    }

    pub fn skip(check: &'static str, detail: impl Into<String>) -> Self {
        Self { state: State::Skip, ..Self::ok(check, detail) }
    }

    /// The portal said no, or nothing.
    pub fn refused(check: &'static str, refusal: &CallError) -> Self {
        Self::fail(check, refused::exit(refusal), refusal.to_string(), refused::hint(refusal))
    }
}

/// The worst of all, by what an operator has to mend first.
pub fn worst<'a>(findings: impl Iterator<Item = &'a Finding>) -> Exit {
    const ORDER: [Exit; 7] = [
        Exit::Config,
        Exit::Io,
        Exit::Internal,
        Exit::Refused,
        Exit::Usage,
        Exit::Unavailable,
        Exit::Temporary,
    ];
    let exits: Vec<Exit> = findings.map(|finding| finding.exit).collect();
    ORDER.into_iter().find(|exit| exits.contains(exit)).unwrap_or(Exit::Clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_failure_decides_and_a_warning_does_not() {
        let fail = |exit| Finding::fail("x", exit, "", "");
        let of = |findings: &[Finding]| worst(findings.iter());
        assert_eq!(of(&[]), Exit::Clean);
        assert_eq!(of(&[Finding::warn("x", "", ""), Finding::skip("x", "")]), Exit::Clean);
        assert_eq!(of(&[fail(Exit::Unavailable), fail(Exit::Refused)]), Exit::Refused);
        assert_eq!(of(&[fail(Exit::Refused), fail(Exit::Config), fail(Exit::Unavailable)]), Exit::Config);
    }
}
