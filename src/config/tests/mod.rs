//! What the room promises as a whole: all violations in one round, secrets never shown, later layers win.

mod credentials;
mod keys; // every key is compared
mod layers;
mod letters;
pub(crate) mod page; // makes `docs/reference/configuration.md`
mod portals;
mod queues;
mod reaching;
pub(crate) mod reference; // holds `config/b24relay.toml` to the code
mod rules;
mod secrets;

use crate::config::parse::load::load_from;
use crate::config::parse::variables::environment::Environment;
use crate::config::{Config, ConfigError, Loaded, Overrides};

/// A self-signed certificate and its key, as PEM.
pub(crate) fn certificate() -> (String, String) {
    let certified = rcgen::generate_simple_self_signed(["example.com".to_owned()]).unwrap();
    (certified.cert.pem(), certified.signing_key.serialize_pem())
}

/// A part of every secret below that must never be shown.
const MARK: &str = "s3cr3t";

const SMALL: &str = r#"
[sources.a]
webhook_url = "https://a.example/rest/1/s3cr3t/"
[sinks.out]
type = "stdout"
"#;

pub(crate) fn environment(variables: &[(&str, &str)]) -> Environment {
    let mut environment = Environment::default();
    for (name, value) in variables {
        environment.add(name, Some((*value).to_owned()));
    }
    environment
}

pub(crate) fn load_text(text: impl AsRef<[u8]>, environment: &Environment) -> Result<Loaded, ConfigError> {
    load_with(text, environment, Overrides::default())
}

fn load_with(
    text: impl AsRef<[u8]>,
    environment: &Environment,
    overrides: Overrides,
) -> Result<Loaded, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("b24relay.toml");
    std::fs::write(&file, text).unwrap();
    load_from(&[], environment, &Overrides { config: Some(file), ..overrides })
}

/// Loads a valid configuration from a text.
#[track_caller]
fn config_of(text: &str) -> Config {
    load_text(text, &environment(&[])).unwrap().config
}

/// The lines of the error after the first one; empty if the text loads.
pub(crate) fn errors(text: &str, environment: &Environment) -> Vec<String> {
    match load_text(text, environment) {
        Ok(_) => Vec::new(),
        Err(error) => error.to_string().lines().skip(1).map(str::to_owned).collect(),
    }
}

#[track_caller]
fn assert_refused(text: &str, expected: &[&str]) {
    let errors = errors(text, &environment(&[]));
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for (error, expected) in errors.iter().zip(expected) {
        assert!(error.contains(expected), "expected {expected:?} in {errors:#?}");
    }
}

fn with_sink(sink: &str) -> String {
    format!("{SMALL}\n[sinks.b]\n{sink}\n")
}
