//! A call that brought no result, and what is shown of it: never a URL, never a secret.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::config::SecretText;
use crate::event::{OddEvents, Offset};
use crate::foreign_text::shown;
use crate::portal::class::{Class, Cure, Verdict};

/// How much of a portal's own words goes into a message, in characters.
const TEXT_MAX: usize = 300;

/// Characters as HTML spells them; the last one's are no beginning of another.
const SPELLED: [(&str, &str); 7] = [
    ("&nbsp;", " "),
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&quot;", "\""),
    ("&#039;", "'"),
    ("&#39;", "'"),
    ("&amp;", "&"),
];

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
    pub(crate) fn new(method: &'static str, verdict: Verdict, reason: impl Into<String>) -> Self {
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
    pub(crate) fn retry(method: &'static str, reason: impl Into<String>) -> Self {
        Self::new(method, Verdict::new(Class::Retry, Cure::NONE), reason)
    }

    pub(crate) fn with_cure(self, cure: impl Into<Cow<'static, str>>) -> Self {
        Self { cure: cure.into(), ..self }
    }

    /// The same refusal, whose cure names the source that `grant` is the login of: another one that uses
    /// it as well cannot log in.
    pub(crate) fn naming_login(self, grant: &str) -> Self {
        let cure = self.cure.replace("login SOURCE", &format!("login {grant}"));
        Self { cure: cure.into(), ..self }
    }

    pub(crate) fn with_wait(self, wait: Option<Duration>) -> Self {
        Self { wait, ..self }
    }

    /// What helps to find the cause, and may differ each time.
    pub(crate) fn with_evidence(mut self, evidence: String) -> Self {
        self.details.evidence = evidence;
        self
    }

    /// See [`CallError::may_be_size`].
    pub(crate) fn blaming_size(self) -> Self {
        Self { may_be_size: true, ..self }
    }

    pub(crate) fn with_code(mut self, code: String) -> Self {
        self.details.code = Some(code);
        self
    }

    pub(crate) fn with_spent(mut self, spent: Option<SecretText>) -> Self {
        self.details.spent = spent;
        self
    }

    /// The same refusal where it is known better what a person can do.
    #[must_use]
    pub fn advising(self, cure: impl Into<Cow<'static, str>>) -> Self {
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

    /// Whether the server refused the call and said why, by a code of its own.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some_and(|code| !is_nameless(code))
    }

    /// What happened, without what may differ from one time to the next.
    pub fn gist(&self) -> String {
        format!("`{}`: {}", self.method, self.details.reason)
    }

    /// What was called.
    pub(crate) fn method(&self) -> &'static str {
        self.method
    }

    /// The access token that was refused, if the call carried one.
    pub(crate) fn spent(&self) -> Option<&SecretText> {
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

/// A refusal as one sentence; both texts are presentable.
pub(crate) fn spell(code: &str, status: u16, description: &str) -> String {
    let code = if is_nameless(code) { "an error without a code" } else { code };
    let separator = if description.is_empty() { "" } else { ": " };
    format!("{code} (HTTP {status}){separator}{description}")
}

/// Whether an `error` key holds nothing that names an error.
fn is_nameless(code: &str) -> bool {
    matches!(code, "" | "null" | "false" | "true" | "[]" | "{}")
}

/// Foreign text made fit for a log line: no secret, no control characters, no mark-up, no novel.
pub(crate) fn presentable<'a>(text: &str, secrets: impl IntoIterator<Item = &'a str>) -> String {
    let text = shown(&without_markup(text), secrets, usize::MAX);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().take(TEXT_MAX).collect()
}

/// `text` with a space for each HTML tag, and with the characters that HTML spells.
fn without_markup(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        let (before, tag) = rest.split_at(start);
        shown.push_str(before);
        let is_tag = tag[1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '!');
        if let Some(end) = tag.find('>').filter(|_| is_tag) {
            shown.push(' ');
            rest = &tag[end + 1..];
        } else {
            shown.push('<');
            rest = &tag[1..];
        }
    }
    shown.push_str(rest);
    SPELLED.iter().fold(shown, |shown, (spelled, character)| shown.replace(spelled, character))
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

    #[test]
    fn html_and_codes_without_a_name_read_as_a_sentence() {
        for (code, description, expected) in [
            (
                "",
                "<br>\n<b>Mysql</b> query error:<br />(1205)",
                "an error without a code (HTTP 400): Mysql query error: (1205)",
            ),
            ("null", "", "an error without a code (HTTP 400)"),
            (
                "[]",
                "a &quot;b&quot; &lt;c&gt;&nbsp;&amp; d",
                "an error without a code (HTTP 400): a \"b\" <c> & d",
            ),
            (
                "ACCESS_DENIED",
                "1 < 2 and <a href=\"s3cr3t\">more</a>",
                "ACCESS_DENIED (HTTP 400): 1 < 2 and more",
            ),
            ("0", "<", "0 (HTTP 400): <"),
        ] {
            let secrets = ["s3cr3t"];
            let [code, description] = [code, description].map(|text| presentable(text, secrets));
            assert_eq!(spell(&code, 400, &description), expected);
        }
        // What mark-up hides is found, and what it tears apart is not put together.
        assert_eq!(presentable("a&amp;b s3c<b>r3t", ["a&b"]), "*** s3c r3t");
    }
}
