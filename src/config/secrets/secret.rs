//! Secrets, given as `KEY` or in a separate file as `KEY_file`. Their content is never shown.

use std::hash::Hash;

use b24_client::{SecretText, SecretUrl, WebhookUrl};
use config::Value;

use crate::config::parse::table::Table;
use crate::config::parse::value;
use crate::config::parse::variables::variable;
use crate::config::secrets::secret_file;
use crate::config::secrets::secret_file::{SecretFileError, SecretFiles, Shows};
use crate::config::secrets::secret_line;

/// A secret of a kind that never has quotation marks of its own, such as a bearer token (RFC 6750).
#[derive(Hash)]
pub(crate) struct Token(pub(crate) SecretText);

/// A type that can be a secret.
pub(crate) trait SecretValue: Hash + Sized {
    /// Whether errors may show the path of a file with such a secret. Only if a secret in the place of the
    /// path is recognised as one.
    const SHOWS: Shows;

    /// The meaning of quotation marks around such a secret.
    const QUOTES: Quotes = Quotes::Slip;

    /// Parses the secret. The error does not repeat any of `text`.
    fn parse(text: &str) -> Result<Self, &'static str>;
}

/// The meaning of quotation marks around a secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Quotes {
    /// No such secret has any: they come off.
    Slip,
    /// They may be a part of the secret. Such a secret must be in the configuration file, inside TOML quotes.
    PerhapsItsOwn,
}

impl SecretValue for SecretUrl {
    const SHOWS: Shows = Shows::Path;

    fn parse(text: &str) -> Result<Self, &'static str> {
        Self::parse(text)
    }
}

impl SecretValue for WebhookUrl {
    const SHOWS: Shows = Shows::Path;

    fn parse(text: &str) -> Result<Self, &'static str> {
        Self::parse(text)
    }
}

impl SecretValue for SecretText {
    const SHOWS: Shows = Shows::PathForCertain;
    const QUOTES: Quotes = Quotes::PerhapsItsOwn;

    fn parse(text: &str) -> Result<Self, &'static str> {
        Ok(Self::new(text))
    }
}

impl SecretValue for Token {
    const SHOWS: Shows = Shows::PathForCertain;

    fn parse(text: &str) -> Result<Self, &'static str> {
        Ok(Self(SecretText::new(text)))
    }
}

/// A secret and the key that gave it. If it breaks a rule, the error names this key.
pub(crate) struct Secret<T> {
    pub(crate) key: &'static str,
    pub(crate) value: T,
}

/// Takes `key` or `file_key` and reports violations. Exactly one of the two must be given.
pub(crate) fn take<T: SecretValue>(
    table: &mut Table<'_>,
    [key, file_key]: [&'static str; 2],
    files: &SecretFiles,
) -> Option<Secret<T>> {
    if !table.has(key) && !table.has(file_key) {
        table.report(
            key,
            format!("is missing: set it, or put it into a file and set `{file_key}` to that file's path"),
        );
    }
    take_given(table, [key, file_key], files)
}

/// Like [`take`], but both keys may be missing.
pub(crate) fn take_given<T: SecretValue>(
    table: &mut Table<'_>,
    [key, file_key]: [&'static str; 2],
    files: &SecretFiles,
) -> Option<Secret<T>> {
    if table.has(key) && table.has(file_key) {
        table.report(file_key, format!("must not be given together with `{key}`: keep one"));
    }
    let inline = table.take(key, |value| {
        let text = value::secret(value)?;
        files.note_inline(value);
        parsed(&text, value_quotes::<T>(value), "")
    });
    let from_file = table.take(file_key, |value| {
        let (text, name) = files.line(&value::secret(value)?, T::SHOWS)?;
        let subject =
            if name.is_empty() { "the text in the file ".to_owned() } else { format!("the text in {name}") };
        parsed(&text, T::QUOTES, &subject)
    });
    inline
        .map(|value| Secret { key, value })
        .or_else(|| from_file.map(|value| Secret { key: file_key, value }))
}

/// Refuses plain HTTP over a network.
pub(crate) fn refuse_exposed(table: &Table<'_>, key: &str, url: &SecretUrl) {
    if url.is_exposed() {
        table.report(
            key,
            format!(
                "must be https: plain http shows the secret and the events to everyone on the way to `{}`; \
                 where that is fine, set `allow_http = true`",
                url.authority()
            ),
        );
    }
}

/// Quotation marks inside TOML quotes are intended.
fn value_quotes<T: SecretValue>(value: &Value) -> Option<Quotes> {
    let is_typed_raw = value.origin() == Some(variable::ORIGIN);
    (is_typed_raw || T::QUOTES == Quotes::Slip).then_some(T::QUOTES)
}

fn parsed<T: SecretValue>(text: &str, quotes: impl Into<Option<Quotes>>, subject: &str) -> Result<T, String> {
    let named = |rule: String| format!("{subject}{rule}");
    let text = plain(text, quotes.into()).map_err(named)?;
    secret_line::refuse_blanks(text).map_err(named)?;
    T::parse(text).map_err(|rule| named(rule.to_owned()))
}

/// Removes the quotation marks around `text`. Refuses a text with invisible characters.
fn plain(text: &str, quotes: Option<Quotes>) -> Result<&str, String> {
    let text = secret_line::of_value(text);
    let inner = secret_line::unquoted(text);
    let text = match quotes {
        Some(Quotes::Slip) => inner,
        Some(Quotes::PerhapsItsOwn) if inner != text => {
            return Err(
                "is in quotation marks: remove them, or, if they are part of the secret, set it in the \
                        configuration file, where it stands in the quotes of TOML"
                    .to_owned(),
            );
        }
        Some(Quotes::PerhapsItsOwn) | None => text,
    };
    if text.is_empty() {
        return Err("must not be empty".to_owned());
    }
    secret_line::refuse_invisible(text)?;
    Ok(text)
}

/// Parses the token in the content of a file: one line, apart from comments and what editors add around it.
pub fn token_of_file(bytes: Vec<u8>) -> Result<SecretText, SecretFileError> {
    let read = |text: &str| parsed(secret_line::of_file(text)?, Some(Quotes::Slip), "");
    let token = secret_file::text_of(bytes).and_then(|text| read(&text));
    token.map(|Token(token)| token).map_err(SecretFileError)
}

/// Parses one secret of a list.
pub(crate) fn of_list(text: &str) -> Result<&str, String> {
    plain(text, Some(Quotes::Slip))
}
