//! Secrets, given as `KEY` or in a file of their own as `KEY_file`. What they say is never repeated.

use config::Value;

use crate::config::parse::leaf;
use crate::config::parse::table::Table;
use crate::config::parse::variable;
use crate::config::secrets::secret_file;
use crate::config::secrets::secret_file::{SecretFiles, Shows};
use crate::config::secrets::secret_line;
use crate::config::secrets::secret_text::{SecretText, Token};
use crate::config::secrets::secret_url::SecretUrl;
use crate::config::secrets::webhook_url::WebhookUrl;

/// What can be a secret.
pub(crate) trait SecretValue: Sized {
    /// Whether the path of a file of such a secret can be repeated. Only where a secret that was put in
    /// the path's place is recognised as one.
    const SHOWS: Shows;

    /// What quotation marks around such a secret are.
    const QUOTES: Quotes = Quotes::Slip;

    /// The secret in `text`, or what is wrong with it, without repeating any of it.
    fn parse(text: &str) -> Result<Self, &'static str>;
}

/// What quotation marks around a secret are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Quotes {
    /// No such secret has any: they come off.
    Slip,
    /// Perhaps a part of it: then it must stand in the configuration file, inside quotes of TOML.
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

/// A secret and the key that gave it, which is the one to name when it breaks a rule.
pub(crate) struct Secret<T> {
    pub(crate) key: &'static str,
    pub(crate) value: T,
}

/// Takes `key` or `file_key`, exactly one of which must be given; what is wrong is noted.
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

/// As [`take`], but it is fine when neither is given.
pub(crate) fn take_given<T: SecretValue>(
    table: &mut Table<'_>,
    [key, file_key]: [&'static str; 2],
    files: &SecretFiles,
) -> Option<Secret<T>> {
    if table.has(key) && table.has(file_key) {
        table.report(file_key, format!("must not be given together with `{key}`: keep one"));
    }
    let inline = table.take(key, |value| {
        let text = leaf::secret(value)?;
        files.note_inline(value);
        parsed(&text, value_quotes::<T>(value), "")
    });
    let from_file = table.take(file_key, |value| {
        let (text, name) = files.line(&leaf::secret(value)?, T::SHOWS)?;
        let subject =
            if name.is_empty() { "the text in the file ".to_owned() } else { format!("the text in {name}") };
        parsed(&text, T::QUOTES, &subject)
    });
    inline
        .map(|value| Secret { key, value })
        .or_else(|| from_file.map(|value| Secret { key: file_key, value }))
}

/// Refuses plain http over a network.
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

/// Quotation marks inside those of TOML were meant.
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

/// `text` without what surrounds it, when all that is left can be seen.
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

impl SecretText {
    /// The token in the bytes of a file: one line, besides comments, and what editors put around it.
    ///
    /// # Errors
    /// Says what is wrong without repeating any of it.
    pub fn read(bytes: Vec<u8>) -> Result<Self, String> {
        token_of_file(bytes)
    }
}

/// The token in the bytes of a file.
pub(crate) fn token_of_file(bytes: Vec<u8>) -> Result<SecretText, String> {
    let text = secret_file::text_of(bytes)?;
    let Token(token) = parsed(secret_line::of_file(&text)?, Some(Quotes::Slip), "")?;
    Ok(token)
}

/// One secret of a list.
pub(crate) fn of_list(text: &str) -> Result<&str, String> {
    plain(text, Some(Quotes::Slip))
}
