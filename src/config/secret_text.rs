//! Secrets that are not URLs, such as tokens and client secrets. They are never shown.

use std::fmt;

use super::secret;

/// A secret of a kind that never contains quotation marks, such as a bearer token (RFC 6750).
pub(super) struct Token(pub(super) SecretText);

/// A secret text. `Display` and `Debug` show `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Parses the token in the content of a file: one line, apart from comments and what editors add around
    /// it.
    ///
    /// # Errors
    /// Describes the error without repeating any of the content.
    pub fn read(bytes: Vec<u8>) -> Result<Self, String> {
        secret::token_of_file(bytes)
    }

    /// The text itself, only for use in a request.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
