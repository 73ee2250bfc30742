//! A call that brought no result, and what is shown of it: never a URL, never a secret.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::class::{Class, Cure, Verdict};
use crate::config::SecretText;
use crate::event::{OddEvents, Offset};
use crate::foreign_text::{plain, without};

/// How much of a portal's own words goes into a message, in characters.
const TEXT_MAX: usize = 300;

/// A call that brought no result. Shows the method, the reason and the HTTP status.
#[derive(Clone, Debug)]
pub struct CallError {
    /// What to do next.
    pub class: Class,
    /// How long the portal asked us to stay away, if it did.
    pub wait: Option<Duration>,
    /// How soon the first slow probe looks whether it has healed.
    pub probe: Duration,
    /// What a person can do; empty when nobody needs to.
    pub cure: Cow<'static, str>,
    /// Fewer events in an answer may help: the portal was reached, and something became of its answer.
    pub may_be_size: bool,
    method: &'static str,
    // Boxed, so that every result of a call stays small.
    details: Box<Details>,
}

#[derive(Clone, Debug)]
struct Details {
    reason: String,
    evidence: String,
    code: Option<String>,
    spent: Option<SecretText>,
    is_ours: bool,
}

impl CallError {
    /// A refusal of `method` by `verdict`, with the cure for a webhook.
    pub(super) fn new(method: &'static str, verdict: Verdict, reason: impl Into<String>) -> Self {
        let Verdict { class, probe, cure: Cure { webhook, .. } } = verdict;
        let details = Details {
            reason: reason.into(),
            evidence: String::new(),
            code: None,
            spent: None,
            is_ours: false,
        };
        let cure = webhook.into();
        Self { class, wait: None, probe, cure, may_be_size: false, method, details: Box::new(details) }
    }

    /// Something that only a person can put right, found out by ourselves while doing `method`.
    pub fn operator(
        method: &'static str,
        reason: impl Into<String>,
        cure: impl Into<Cow<'static, str>>,
    ) -> Self {
        let mut error = Self::new(method, Verdict::new(Class::Operator, Cure::NONE), reason);
        error.details.is_ours = true;
        Self { cure: cure.into(), ..error }
    }

    /// Events that cannot be read stand in the way, in the answer to a poll from `offset` on.
    pub fn odd(method: &'static str, odd: &OddEvents, offset: Offset) -> Self {
        let OddEvents { count, reason, place, .. } = odd;
        let after = odd.last_good(offset);
        let next = odd.before.map_or("before the next event".to_owned(), |id| format!("before event {id}"));
        let several = if *count > 1 { format!(", the first of {count} such events") } else { String::new() };
        let reason = format!("{reason} (after event {after}, {next}{several}): nothing behind it is read");
        let cure = match odd.before {
            Some(before) => {
                let count = if *count > 1 { format!(" --count {count}") } else { String::new() };
                format!(
                    "look into the portal's event log; if this event can never be read, lose it and go on: \
                     `b24relay offset skip SOURCE --after {after} --before {before}{count}`"
                )
            }
            None => {
                "look into the portal's event log; once a good event follows, this text says how to skip it"
                    .to_owned()
            }
        };
        let error = Self::new(method, Verdict::new(Class::RetryBounded, Cure::NONE), reason);
        let evidence = format!("bytes {} to {} of the answer", place.start, place.end);
        Self { cure: cure.into(), ..error.with_evidence(evidence) }
    }

    /// Something that passes by itself.
    pub(super) fn retry(method: &'static str, reason: impl Into<String>) -> Self {
        Self::new(method, Verdict::new(Class::Retry, Cure::NONE), reason)
    }

    pub(super) fn with_cure(self, cure: &'static str) -> Self {
        Self { cure: cure.into(), ..self }
    }

    /// The same refusal, whose cure names the source that `grant` is the login of: another one that uses
    /// it as well cannot log in.
    pub(super) fn naming_login(self, grant: &str) -> Self {
        let cure = self.cure.replace("login SOURCE", &format!("login {grant}"));
        Self { cure: cure.into(), ..self }
    }

    pub(super) fn with_wait(self, wait: Option<Duration>) -> Self {
        Self { wait, ..self }
    }

    /// What helps to find the cause, and may differ each time.
    pub(super) fn with_evidence(mut self, evidence: String) -> Self {
        self.details.evidence = evidence;
        self
    }

    /// See [`CallError::may_be_size`].
    pub(super) fn blaming_size(self) -> Self {
        Self { may_be_size: true, ..self }
    }

    pub(super) fn with_code(mut self, code: &str) -> Self {
        self.details.code = Some(code.to_owned());
        self
    }

    pub(super) fn with_spent(mut self, spent: Option<SecretText>) -> Self {
        self.details.spent = spent;
        self
    }

    /// The same refusal where it is known better what it calls for.
    #[must_use]
    pub fn advising(self, class: Class, cure: &'static str) -> Self {
        Self { class, cure: cure.into(), ..self }
    }

    /// The same refusal with another advice.
    pub(super) fn advising_anew(self, cure: String) -> Self {
        Self { cure: cure.into(), ..self }
    }

    /// What a person can do, with the name of the `source` put in.
    pub fn cure_for(&self, source: &str) -> String {
        self.cure.replace("SOURCE", source)
    }

    /// Whether it is our own finding, and nobody was asked.
    pub fn is_ours(&self) -> bool {
        self.details.is_ours
    }

    /// The error code as the server sent it, if it sent one.
    pub fn code(&self) -> Option<&str> {
        self.details.code.as_deref()
    }

    /// What happened, without what may differ from one time to the next.
    pub fn gist(&self) -> String {
        format!("`{}`: {}", self.method, self.details.reason)
    }

    /// What was called.
    pub(super) fn method(&self) -> &'static str {
        self.method
    }

    /// The access token that was refused, if the call carried one.
    pub(super) fn spent(&self) -> Option<&SecretText> {
        self.details.spent.as_ref()
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.gist())?;
        match self.details.evidence.as_str() {
            "" => Ok(()),
            evidence => write!(f, "; {evidence}"),
        }
    }
}

impl std::error::Error for CallError {}

/// Foreign text made fit for a log line: no secret, no control characters, no mark-up, no novel.
pub(super) fn presentable<'a>(text: &str, secrets: impl IntoIterator<Item = &'a str>) -> String {
    plain(&without(&text.replace("<br>", " "), secrets)).chars().take(TEXT_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_words_lose_the_secrets_and_the_control_characters() {
        let text = presentable(
            "see https://a.example/rest/1/s3cr3t/x\u{1b}[31m<br>T0KEN now",
            ["s3cr3t", "t0ken", ""],
        );
        assert_eq!(text, "see https://a.example/rest/1/***/x [31m *** now");
        assert_eq!(presentable(&"ы".repeat(1000), []).chars().count(), TEXT_MAX);
    }
}
