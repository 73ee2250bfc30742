//! The process's environment as configuration sees it, taken once: `B24RELAY_` variables and
//! systemd's credentials directory. The only place of the program that reads variables.

use std::collections::HashMap;
use std::path::PathBuf;

use super::table::Findings;

/// The origin that `config` gives to every value of this layer.
pub(super) const ORIGIN: &str = "the environment";

const PREFIX: &str = "B24RELAY_";

/// In bytes; every real name is shorter, and `config` would nest a table for each part of it.
const LONGEST_NAME: usize = 256;

/// What was found in the environment.
#[derive(Default, Debug)]
pub(super) struct Environment {
    variables: HashMap<String, String>,
    unusable: Vec<String>,
    /// Where systemd puts a unit's credentials.
    pub(super) credentials: Option<PathBuf>,
}

impl Environment {
    /// Takes the environment of this process.
    #[expect(clippy::disallowed_methods, reason = "the environment is read here, and nowhere else")]
    pub(super) fn of_process() -> Self {
        let mut environment = Self {
            credentials: std::env::var_os("CREDENTIALS_DIRECTORY")
                .filter(|directory| !directory.is_empty())
                .map(PathBuf::from),
            ..Self::default()
        };
        for (name, value) in std::env::vars_os() {
            if let Some(name) = name.to_str() {
                environment.add(name, value.into_string().ok());
            }
        }
        environment
    }

    /// Adds one variable, if it is ours; `None` stands for a value that is not UTF-8.
    pub(super) fn add(&mut self, name: &str, value: Option<String>) {
        if !name.starts_with(PREFIX) {
            return;
        }
        match value.filter(|_| is_plain(name)) {
            Some(value) => drop(self.variables.insert(name.to_owned(), value)),
            None => self.unusable.push(name.to_owned()),
        }
    }

    /// Whether any source is given here, so that a file is not needed.
    pub(super) fn defines_sources(&self) -> bool {
        let is_source = |name: &str| name.to_ascii_uppercase().starts_with("B24RELAY_SOURCES__");
        self.variables.iter().any(|(name, value)| is_source(name) && !value.is_empty())
    }

    /// The layer to merge; values stay texts. Variables that cannot be used are noted.
    pub(super) fn layer(&self, findings: &Findings) -> config::Environment {
        for name in &self.unusable {
            let name = super::shown::escaped(name);
            findings.report(
                format!("environment variable {name}"),
                "must be UTF-8 text with a plain, short name",
            );
        }
        config::Environment::with_prefix("B24RELAY")
            .prefix_separator("_")
            .separator("__")
            .ignore_empty(true)
            .source(Some(self.variables.clone()))
    }
}

/// The variable that sets `key`.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('"', "").replace('.', "__"))
}

/// Whether `config` takes the name as a short path of keys, without an index.
fn is_plain(name: &str) -> bool {
    name.len() <= LONGEST_NAME
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}
