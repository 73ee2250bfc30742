//! A call that brought no result, and what is shown of it: never a URL, never a secret.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::class::{Class, Hint, Verdict};
use crate::event::{OddEvents, Offset};
use crate::foreign_text::shown;
use crate::secret::secret_text::SecretText;

/// The maximum length of the portal's own text in a message, in characters.
const TEXT_MAX: usize = 300;

/// HTML entities. `&amp;` is the last, so that its replacement does not create another entity.
const SPELLED: [(&str, &str); 7] = [
    ("&nbsp;", " "),
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&quot;", "\""),
    ("&#039;", "'"),
    ("&#39;", "'"),
    ("&amp;", "&"),
];

/// A call without a result. Displays the method, the reason and the HTTP status.
#[derive(Clone, Debug)]
pub struct CallError {
    /// What to do next.
    pub class: Class,
    /// How long the portal asked us to wait, if it did.
    pub wait: Option<Duration>,
    /// How soon the first slow probe looks whether it has healed.
    pub probe: Duration,
    /// The hint for the operator; empty if no action is required.
    pub hint: Cow<'static, str>,
    /// True if fewer events in a response may help, because the portal was reached but its response failed.
    pub may_be_size: bool,
    method: &'static str,
    // Boxed to keep every result of a call small.
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
    /// A refusal of `method` by `verdict`, with the hint for a webhook.
    pub(crate) fn new(method: &'static str, verdict: Verdict, reason: impl Into<String>) -> Self {
        let Verdict { class, probe, hint: Hint { webhook, .. } } = verdict;
        let details = Details {
            reason: reason.into(),
            evidence: String::new(),
            code: None,
            spent: None,
            is_ours: false,
        };
        let hint = webhook.into();
        Self { class, wait: None, probe, hint, may_be_size: false, method, details: Box::new(details) }
    }

    /// An error that only the operator can fix, found by the relay itself during `method`.
    pub fn operator(
        method: &'static str,
        reason: impl Into<String>,
        hint: impl Into<Cow<'static, str>>,
    ) -> Self {
        let mut error = Self::new(method, Verdict::new(Class::Operator, Hint::NONE), reason);
        error.details.is_ours = true;
        Self { hint: hint.into(), ..error }
    }

    /// Unreadable events block the queue, in the response to a poll from `offset` on.
    pub fn odd(method: &'static str, odd: &OddEvents, offset: Offset) -> Self {
        let OddEvents { count, reason, place, .. } = odd;
        let after = odd.last_good(offset);
        let next = odd.before.map_or("before the next event".to_owned(), |id| format!("before event {id}"));
        let several = if *count > 1 { format!(", the first of {count} such events") } else { String::new() };
        let reason = format!("{reason} (after event {after}, {next}{several}): nothing behind it is read");
        let hint = match odd.before {
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
        let error = Self::new(method, Verdict::new(Class::RetryBounded, Hint::NONE), reason);
        let evidence = format!("bytes {} to {} of the answer", place.start, place.end);
        Self { hint: hint.into(), ..error.with_evidence(evidence) }
    }

    /// A temporary error.
    pub(crate) fn retry(method: &'static str, reason: impl Into<String>) -> Self {
        Self::new(method, Verdict::new(Class::Retry, Hint::NONE), reason)
    }

    pub(crate) fn with_hint(self, hint: impl Into<Cow<'static, str>>) -> Self {
        Self { hint: hint.into(), ..self }
    }

    /// The same refusal, with a hint that names the source `grant`. A source that only shares the login
    /// cannot log in.
    pub(crate) fn naming_login(self, grant: &str) -> Self {
        let hint = self.hint.replace("login SOURCE", &format!("login {grant}"));
        Self { hint: hint.into(), ..self }
    }

    pub(crate) fn with_wait(self, wait: Option<Duration>) -> Self {
        Self { wait, ..self }
    }

    /// Adds details that help to find the cause and may differ each time.
    pub(crate) fn with_evidence(mut self, evidence: String) -> Self {
        self.details.evidence = evidence;
        self
    }

    /// Sets [`CallError::may_be_size`].
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

    /// The same refusal with a more precise hint.
    #[must_use]
    pub fn advising(self, hint: impl Into<Cow<'static, str>>) -> Self {
        Self { hint: hint.into(), ..self }
    }

    /// The hint for the operator, with the name of the `source` filled in.
    pub fn hint_for(&self, source: &str) -> String {
        self.hint.replace("SOURCE", source)
    }

    /// True if the relay found the error itself, without a request.
    pub fn is_ours(&self) -> bool {
        self.details.is_ours
    }

    /// The error code from the server, if it sent one.
    pub fn code(&self) -> Option<&str> {
        self.details.code.as_deref()
    }

    /// True if the server refused the call with an error code of its own choice.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some_and(|code| !is_nameless(code))
    }

    /// The error without the details that may differ each time.
    pub fn gist(&self) -> String {
        format!("`{}`: {}", self.method, self.details.reason)
    }

    /// The method that was called.
    pub(crate) fn method(&self) -> &'static str {
        self.method
    }

    /// The access token that was refused, if the call had one.
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

/// Formats a refusal as one sentence. Both texts must be safe to show.
pub(crate) fn spell(code: &str, status: u16, description: &str) -> String {
    let code = if is_nameless(code) { "an error without a code" } else { code };
    let separator = if description.is_empty() { "" } else { ": " };
    format!("{code} (HTTP {status}){separator}{description}")
}

/// True if the content of an `error` key names no error.
fn is_nameless(code: &str) -> bool {
    matches!(code, "" | "null" | "false" | "true" | "[]" | "{}")
}

/// Makes text from other systems safe for a log line: no secrets, no control characters, no markup, limited
/// length.
pub(crate) fn presentable<'a>(text: &str, secrets: impl IntoIterator<Item = &'a str>) -> String {
    let text = shown(&without_markup(text), secrets, usize::MAX);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().take(TEXT_MAX).collect()
}

/// Replaces each HTML tag in `text` with a space, and decodes HTML entities.
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
        // Secrets are found inside markup, but text is not joined across a tag.
        assert_eq!(presentable("a&amp;b s3c<b>r3t", ["a&b"]), "*** s3c r3t");
    }
}
