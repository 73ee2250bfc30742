//! The environment variables that configuration uses, captured once: the `B24RELAY_` variables and systemd's
//! credentials directory. No other module reads environment variables.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::config::parse::findings::Findings;
use crate::config::parse::variables::variable::PREFIX;
use crate::config::parse::variables::variable_names::{is_of_kubernetes, respelled};

/// The longest variable name, in bytes. Real names are shorter, and `config` would nest a table for each part
/// of a longer one.
const LONGEST_NAME: usize = 256;

/// The relevant part of the environment.
#[derive(Default, Debug)]
pub(crate) struct Environment {
    variables: HashMap<String, String>,
    unusable: Vec<String>,
    /// Where systemd puts a unit's credentials.
    pub(crate) credentials: Option<PathBuf>,
}

impl Environment {
    /// Captures the environment of this process.
    #[expect(clippy::disallowed_methods, reason = "the environment is read here, and nowhere else")]
    pub(crate) fn of_process() -> Self {
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

    /// Adds a variable if it has the prefix; `None` stands for a value that is not UTF-8.
    pub(crate) fn add(&mut self, name: &str, value: Option<String>) {
        if !name.starts_with(PREFIX) || is_of_kubernetes(name) {
            return;
        }
        match value.filter(|_| is_plain(name)) {
            Some(value) => drop(self.variables.insert(name.to_owned(), value)),
            None => self.unusable.push(name.to_owned()),
        }
    }

    /// True if a source is defined here, so that no file is needed.
    pub(crate) fn defines_sources(&self) -> bool {
        let is_source = |name: &str| name.to_ascii_uppercase().starts_with("B24RELAY_SOURCES__");
        self.variables.iter().any(|(name, value)| is_source(name) && !value.is_empty())
    }

    /// Variables with a missing or an extra `_`, each with the correct spelling, in the order of their names.
    pub(crate) fn misspelled(&self) -> Vec<(String, String)> {
        let given = self.variables.iter().filter(|(_, value)| !value.is_empty());
        let mut found: Vec<_> =
            given.filter_map(|(name, _)| Some((name.clone(), respelled(name)?))).collect();
        found.sort();
        found
    }

    /// The layer to merge; values stay text. Unusable variables are reported.
    pub(crate) fn layer(&self, findings: &Findings) -> config::Environment {
        for name in &self.unusable {
            let name = crate::config::parse::quote::escaped(name);
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

/// Refuses a path with shell shorthand such as `~`, because paths in a configuration are not expanded.
pub(crate) fn refuse_shorthand(path: &str) -> Result<(), String> {
    let home = home();
    let rest = ["~", "$HOME", "${HOME}"].iter().find_map(|short| path.strip_prefix(short));
    match rest.filter(|rest| rest.is_empty() || rest.starts_with('/')) {
        Some(rest) => {
            let home = home.map_or_else(|| "/home/USER".to_owned(), |home| home.display().to_string());
            Err(format!(
                "only a shell knows where `~` and `$HOME` are: write `{}{rest}`",
                home.trim_end_matches('/')
            ))
        }
        None if path.starts_with(['~', '$']) && path.contains('/') => {
            Err("begins with what only a shell can expand: write the full path, from `/` on".to_owned())
        }
        None => Ok(()),
    }
}

#[expect(clippy::disallowed_methods, reason = "the environment is read here, and nowhere else")]
fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
}

/// True if `config` parses the name as a short path of keys, without an index.
fn is_plain(name: &str) -> bool {
    name.len() <= LONGEST_NAME
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}
