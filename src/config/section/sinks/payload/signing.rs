//! The secrets that sign deliveries (Standard Webhooks 1.0), from a list or a file. Their content is never
//! shown.

use std::fmt;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;

use b24_client::SecretText;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use config::{Value, ValueKind};
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use crate::config::parse::keys::Fingerprint;
use crate::config::parse::quote;
use crate::config::parse::table::Table;
use crate::config::parse::value;
use crate::config::secrets::secret;
use crate::config::secrets::secret_file::{self, SecretFileError, SecretFiles};
use crate::config::secrets::secret_line;

/// The prefix of a shared secret.
pub const SHARED_PREFIX: &str = "whsec_";

/// The prefix of the secret half of an ed25519 key.
pub const SECRET_PREFIX: &str = "whsk_";

/// The prefix of the public half of an ed25519 key.
pub const PUBLIC_PREFIX: &str = "whpk_";

/// More than any rotation needs. Each secret makes the header of a request longer.
const SECRETS_MAX: usize = 10;

/// The encoding of secrets; some programs write base64 without padding.
const SPELLING: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The secrets of one webhook.
#[derive(Clone, Default, Debug)]
pub struct SigningConfig {
    /// The whole name of the key that gave them.
    pub key: String,
    /// The newest first; empty if deliveries are not signed.
    pub secrets: Vec<SigningSecret>,
    /// The file they are from, which may change.
    pub file: Option<PathBuf>,
}

/// One secret. `Debug` shows `***`.
#[derive(Clone)]
pub struct SigningSecret {
    text: SecretText,
    key: Arc<SigningKey>,
}

/// The key that a secret signs with.
pub enum SigningKey {
    /// `whsec_`: HMAC-SHA256.
    Shared(hmac::Key),
    /// `whsk_`: ed25519.
    Pair(Ed25519KeyPair),
}

impl SigningSecret {
    /// Parses a secret as `b24relay secret new` prints it.
    ///
    /// # Errors
    /// Says what is wrong without repeating any of it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let key = if let Some(shared) = text.strip_prefix(SHARED_PREFIX) {
            SigningKey::Shared(parse_shared(shared)?)
        } else if let Some(pair) = text.strip_prefix(SECRET_PREFIX) {
            SigningKey::Pair(parse_pair(pair)?)
        } else if text.starts_with(PUBLIC_PREFIX) {
            return Err("is the public key, which is for the receiver: only the `whsk_` key can sign");
        } else {
            return Err("must begin with `whsec_` or `whsk_`: make one with `b24relay secret new`");
        };
        Ok(Self { text: SecretText::new(text), key: Arc::new(key) })
    }

    /// Parses one of several secrets, as typed.
    fn of_list(text: &str) -> Result<Self, String> {
        Self::parse(secret::of_list(text)?).map_err(str::to_owned)
    }

    /// Parses the text of a file: one secret per line, the newest first.
    fn parse_lines(text: &str) -> Result<Vec<Self>, String> {
        let lines = secret_line::lines_of_file(text);
        if lines.is_empty() {
            return Err("the file holds no secret, only comments".to_owned());
        }
        let secrets: Vec<Self> = lines
            .into_iter()
            .map(|(number, line)| {
                Self::of_list(line).map_err(|rule| format!("line {number} of the file {rule}"))
            })
            .collect::<Result<_, _>>()?;
        if secrets.len() > SECRETS_MAX {
            return Err(format!("the file must hold at most {SECRETS_MAX} secrets, one a line"));
        }
        Ok(secrets)
    }

    /// Reads the secrets of a file again.
    pub fn read(file: File) -> Result<Vec<Self>, SecretFileError> {
        let text = secret_file::read_text(file).map_err(|rule| format!("the file {rule}"));
        text.and_then(|text| Self::parse_lines(&text)).map_err(SecretFileError)
    }

    /// The secret itself, as it is configured.
    pub fn expose(&self) -> &str {
        self.text.expose()
    }

    /// The key that it signs with.
    pub fn key(&self) -> &SigningKey {
        &self.key
    }
}

/// The current content of a file does not count as a difference, because the signer reads the file again when
/// it changes.
impl PartialEq for SigningConfig {
    fn eq(&self, other: &Self) -> bool {
        let is_same_file = self.file.is_some() && self.file == other.file;
        self.key == other.key && (is_same_file || (self.file == other.file && self.secrets == other.secrets))
    }
}

impl PartialEq for SigningSecret {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Hash for SigningSecret {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

fn parse_shared(text: &str) -> Result<hmac::Key, &'static str> {
    const RULE: &str =
        "must be 24 to 64 bytes in base64 behind `whsec_`: make one with `b24relay secret new`";
    let bytes = SPELLING.decode(text).map_err(|_| RULE)?;
    if !(24..=64).contains(&bytes.len()) {
        return Err(RULE);
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

/// Accepts the seed alone, or the seed and the public key.
fn parse_pair(text: &str) -> Result<Ed25519KeyPair, &'static str> {
    const RULE: &str = "must be an ed25519 key of 32 or 64 bytes in base64 behind `whsk_`: \
                        make one with `b24relay secret new --ed25519`";
    let bytes = SPELLING.decode(text).map_err(|_| RULE)?;
    let (seed, public) = bytes.split_at_checked(32).ok_or(RULE)?;
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| RULE)?;
    if !public.is_empty() && public != pair.public_key().as_ref() {
        return Err(RULE);
    }
    Ok(pair)
}

/// Reads `secrets` or `secrets_file` and reports violations.
pub(crate) fn read(table: &mut Table<'_>, files: &SecretFiles) -> SigningConfig {
    if table.has("secrets") && table.has("secrets_file") {
        table.report("secrets_file", "must not be given together with `secrets`: keep one");
    }
    let secrets = table.take("secrets", |value| {
        files.note_inline(value);
        list(value)
    });
    let from_file = |value: &Value| {
        let (place, text) = files.secrets(&value::secret(value)?)?;
        Ok((place, SigningSecret::parse_lines(&text)?))
    };
    let file = table.take_as("secrets_file", from_file, |(place, _)| Fingerprint::of(place));
    match (secrets, file) {
        (Some(secrets), _) => SigningConfig { key: table.path_of("secrets"), secrets, file: None },
        (None, Some((place, secrets))) => {
            SigningConfig { key: table.path_of("secrets_file"), secrets, file: Some(place) }
        }
        (None, None) => SigningConfig::default(),
    }
}

/// Parses a list of secrets; a single text is split at commas.
fn list(value: &Value) -> Result<Vec<SigningSecret>, String> {
    let texts = match &value.kind {
        ValueKind::Array(items) => items.iter().map(value::secret).collect::<Result<Vec<_>, _>>()?,
        ValueKind::String(_) => value::secret(value)?.split(',').map(str::to_owned).collect(),
        _ => {
            return Err(format!("must be a list such as [\"whsec_...\"], not {}", quote::kind(value)));
        }
    };
    if !(1..=SECRETS_MAX).contains(&texts.len()) {
        return Err(format!("must hold 1 to {SECRETS_MAX} secrets: leave the key out to sign nothing"));
    }
    let numbered = (1..).zip(&texts);
    let parsed = numbered.map(|(at, text)| {
        SigningSecret::of_list(text).map_err(|rule| format!("secret {at} of the list {rule}"))
    });
    parsed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn a_shared_secret_is_24_to_64_bytes() {
        let spelled = |length: usize| format!("whsec_{}", SPELLING.encode(vec![7; length]));
        for length in [24, 32, 33, 64] {
            assert!(SigningSecret::parse(&spelled(length)).is_ok(), "{length}");
            assert!(SigningSecret::parse(spelled(length).trim_end_matches('=')).is_ok(), "{length} unpadded");
        }
        for length in [0, 16, 23, 65] {
            let rule = SigningSecret::parse(&spelled(length)).unwrap_err();
            assert!(rule.contains("24 to 64 bytes") && rule.contains("b24relay secret new"), "{rule}");
        }
    }

    #[test]
    fn an_ed25519_key_is_a_seed_alone_or_with_the_public_key_that_belongs_to_it() {
        let seed = [7; 32];
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        let both = [&seed, pair.public_key().as_ref()].concat();
        let spelled = |bytes: &[u8]| format!("whsk_{}", SPELLING.encode(bytes));
        assert!(SigningSecret::parse(&spelled(&seed)).is_ok());
        assert!(SigningSecret::parse(&spelled(&both)).is_ok());
        for bytes in [&seed[..31], &both[..63], &[seed, seed].concat(), &[&both[..], b"x"].concat()] {
            let rule = SigningSecret::parse(&spelled(bytes)).unwrap_err();
            assert!(rule.contains("b24relay secret new --ed25519"), "{rule}");
        }
    }

    #[test]
    fn what_is_no_secret_is_refused_with_the_way_out_and_not_repeated() {
        for text in ["s3cr3t", "", "WHSEC_s3cr3t", "whsec_s3cr3t", "whsec_", "whsk_s3cr3t", "whsec_!s3cr3t"] {
            let rule = SigningSecret::parse(text).unwrap_err();
            assert!(rule.contains("b24relay secret new") && !rule.contains("s3cr3t"), "{rule}");
        }
        assert!(SigningSecret::parse("whpk_s3cr3t").unwrap_err().contains("for the receiver"));
    }

    #[test]
    fn a_file_holds_a_secret_a_line() {
        let secrets =
            SigningSecret::parse_lines(&format!("{SHARED}\r\n\n whsk_{} \n", SPELLING.encode([1; 32])));
        assert_eq!(secrets.unwrap().len(), 2);
        let wrong = SigningSecret::parse_lines(&format!("{SHARED}\n\ns3cr3t\n")).unwrap_err();
        assert!(wrong.starts_with("line 3 of the file must begin with"), "{wrong}");
        assert!(
            SigningSecret::parse_lines(&format!("{SHARED}\n").repeat(11)).unwrap_err().contains("at most 10")
        );
    }

    #[test]
    fn what_a_file_says_now_makes_no_other_configuration() {
        let secrets = |text: &str| vec![SigningSecret::parse(text).unwrap()];
        let other = format!("whsec_{}", SPELLING.encode([7; 32]));
        let config = |secrets, file: Option<&str>| SigningConfig {
            key: "sinks.crm.secrets".into(),
            secrets,
            file: file.map(PathBuf::from),
        };
        assert_eq!(config(secrets(SHARED), Some("a")), config(secrets(&other), Some("a")));
        assert_ne!(config(secrets(SHARED), Some("a")), config(secrets(SHARED), Some("b")));
        assert_ne!(config(secrets(SHARED), Some("a")), config(secrets(SHARED), None));
        assert_ne!(config(secrets(SHARED), None), config(secrets(&other), None));
        assert_eq!(config(secrets(SHARED), None), config(secrets(SHARED), None));
    }

    #[test]
    fn a_secret_shows_nothing_of_itself() {
        let secret = SigningSecret::parse(SHARED).unwrap();
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(secret, SigningSecret::parse(SHARED).unwrap());
    }
}
