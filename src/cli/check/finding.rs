//! The result of one check: a state, a detail, and advice after a failure.

use b24_client::CallError;
use serde::Serialize;

use crate::cli::exit_code::Exit;
use crate::cli::portal::refused;

/// The state of a finished check.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub(super) enum State {
    /// Everything is correct.
    #[serde(rename = "ok")]
    Ok,
    /// It works, but an operator should look at it.
    #[serde(rename = "warn")]
    Warn,
    /// It does not work.
    #[serde(rename = "fail")]
    Fail,
    /// Not made, because an earlier check failed or because it is impossible here.
    #[serde(rename = "skip")]
    Skip,
}

impl State {
    /// Its word in tables and in JSON.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

/// One check and its result.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    pub check: &'static str,
    pub state: State,
    pub detail: String,
    /// What the operator can do; empty when nothing is wrong.
    pub hint: String,
    /// The exit code that a failure of this check causes.
    #[serde(skip)]
    pub exit: Exit,
}

impl Finding {
    pub(super) fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, state: State::Ok, detail: detail.into(), hint: String::new(), exit: Exit::Clean }
    }

    pub(super) fn warn(check: &'static str, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { state: State::Warn, hint: hint.into(), ..Self::ok(check, detail) }
    }

    pub(super) fn fail(
        check: &'static str,
        exit: Exit,
        detail: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { state: State::Fail, hint: hint.into(), exit, ..Self::ok(check, detail) }
    }

    pub(super) fn skip(check: &'static str, detail: impl Into<String>) -> Self {
        Self { state: State::Skip, ..Self::ok(check, detail) }
    }

    /// The finding for a call that the portal refused or did not answer.
    pub(super) fn refused(check: &'static str, refusal: &CallError) -> Self {
        Self::fail(check, refused::exit(refusal), refusal.to_string(), refused::hint(refusal))
    }
}

/// The exit code of the most important failure, in the order in which an operator has to fix them.
pub(super) fn worst<'a>(findings: impl Iterator<Item = &'a Finding>) -> Exit {
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
