//! Entry points for `fuzz/`: properties that hold for every text in the configuration file.

use std::path::Path;

use b24_testkit::fuzzing::{MARK, assert_hides_the_mark};

use crate::config::error::ConfigError;
use crate::config::parse::document;
use crate::config::parse::findings::Findings;
use crate::config::parse::load::validate;
use crate::config::parse::variables::environment::Environment;
use crate::config::{Loaded, Overrides};

/// The other keys that a configuration requires.
const REST: &str = "
[sources.other]
webhook_url = \"https://other.example/rest/1/abcdefgh/\"
[sinks.out]
type = \"stdout\"
";

/// Templates in which a secret occurs; `@` stands for the secret.
const SECRETS: [&str; 10] = [
    "[sources.a]\nwebhook_url = @",
    "[sources.a]\nwebhook_url = \"https://a.example/rest/1/abcdefgh/\"\nkind = \"bot\"\nbot_id = 7\nbot_token = @",
    "[sources.a.oauth]\nportal = \"https://a.example\"\nclient_id = \"local.1\"\nclient_secret = @",
    "[sinks.a]\ntype = \"webhook\"\nurl = @",
    "[sinks.a]\ntype = \"webhook\"\nurl = \"https://b.example/\"\nsecrets = [@]",
    "[sinks.a]\ntype = \"webhook\"\nurl = \"https://b.example/\"\nauth = { type = \"bearer\", token = @ }",
    "[sinks.a]\ntype = \"webhook\"\nurl = \"https://b.example/\"\nauth = { type = \"basic\", user = \"me\", password = @ }",
    "[sinks.a]\ntype = \"webhook\"\nurl = \"https://b.example/\"\nheaders = { X-Key = @ }",
    "[sinks.a]\ntype = \"webhook\"\nurl = \"https://b.example/\"\nproxy = @",
    "[sinks.a]\ntype = \"webhook\"\nurl = \"https://b.example/\"\nauth = { type = \"oauth2\", token_url = \"https://c.example/\", client_id = \"x\", client_secret = @ }",
];

/// Checks the properties for `bytes` as a configuration file.
///
/// # Panics
/// If a property does not hold.
pub fn text(bytes: &[u8]) {
    // A key with this ending names a file, which may be a device or a pipe, so it is not opened here.
    if bytes.windows(5).any(|word| word == b"_file") || bytes.contains(&b'\\') {
        return;
    }
    let outcome = load(bytes);
    let lines = bytes.split(|byte| *byte == b'\n').count();
    match &outcome {
        Ok(Loaded { config, .. }) => assert!(!config.sources.is_empty() && !config.sinks.is_empty()),
        Err(ConfigError::Syntax { line, column, message, .. }) => {
            assert!((1..=lines).contains(line) && *column >= 1, "{line}:{column} of {lines}");
            assert_hides_the_mark(message);
        }
        Err(ConfigError::Invalid { violations, .. }) => {
            assert!(!violations.is_empty() && violations.iter().all(|violation| !violation.text.is_empty()));
        }
        Err(error) => panic!("nothing was to be looked for or opened: {error}"),
    }
    assert_eq!(shown(&outcome), shown(&load(bytes)), "the same text, the same words");
}

/// Checks that a secret is never shown, however wrong it is. The first byte selects its template.
///
/// # Panics
/// If a property does not hold.
pub fn secret(bytes: &[u8]) {
    let Some((place, rest)) = bytes.split_first() else { return };
    let Ok(rest) = std::str::from_utf8(rest) else { return };
    let Some((before, after)) = rest.split_once('@') else { return };
    let template = SECRETS[usize::from(*place) % SECRETS.len()];
    if !is_secret_behind(before, template) {
        return;
    }
    let value = serde_json::Value::from(format!("{before}{MARK}{after}")).to_string();
    assert_hides_the_mark(&shown(&load_with(template, &value)));
}

/// True if the text after `before` is secret: scheme and host of a URL are not.
fn is_secret_behind(before: &str, template: &str) -> bool {
    let ends_of_host: &[char] = if template.contains("proxy = @") {
        &[':']
    } else if template.contains("url = @") {
        &['/', '?']
    } else {
        return true;
    };
    let host = before.split_once("://").map(|(_, rest)| rest.chars());
    host.is_some_and(|mut rest| rest.next().is_some() && rest.any(|c| ends_of_host.contains(&c)))
}

fn load(bytes: &[u8]) -> Result<Loaded, ConfigError> {
    let (findings, file) = (Findings::default(), Path::new("b24relay.toml"));
    let document = document::parse(file, bytes, &findings)?;
    validate(Some(file.to_owned()), document, &Environment::default(), &Overrides::default(), findings)
}

/// Loads a configuration with `value` in the place of a secret.
fn load_with(template: &str, value: &str) -> Result<Loaded, ConfigError> {
    load([&template.replace('@', value), REST].concat().as_bytes())
}

fn shown(outcome: &Result<Loaded, ConfigError>) -> String {
    match outcome {
        Ok(loaded) => format!("{loaded:?}"),
        Err(error) => format!("{error}\n{error:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use b24_testkit::fuzzing::hold_against_seeds;

    #[test]
    fn whatever_stands_in_the_file_is_read_or_refused_as_promised() {
        hold_against_seeds("config_text", text);
    }

    #[test]
    fn whatever_is_wrong_with_a_secret_it_is_not_shown() {
        hold_against_seeds("config_secret", secret);
    }

    #[test]
    fn the_door_leads_to_every_secret() {
        for template in SECRETS {
            let key = template.split(" = @").next().unwrap().split(" = [@").next().unwrap();
            let key = key.rsplit(['\n', ' ']).next().unwrap();
            let words = shown(&load_with(template, "7"));
            assert!(words.contains(&format!(".{key}: must be")), "{key}: {words}");
        }
    }

    #[test]
    fn a_seed_for_each_secret_is_a_good_one() {
        for (place, template) in SECRETS.iter().enumerate() {
            let seed = format!("{}/fuzz/seeds/config_secret/{place:02}", env!("CARGO_MANIFEST_DIR"));
            let seed = std::fs::read_to_string(seed).unwrap();
            let value = serde_json::Value::from(seed[1..].replacen('@', MARK, 1)).to_string();
            assert!(load_with(template, &value).is_ok(), "{}", shown(&load_with(template, &value)));
        }
    }
}
