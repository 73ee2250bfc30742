//! The reasons why no configuration could be loaded: [`ConfigError`] and its [`Violation`]s. No error text
//! contains a secret.

use std::fmt;
use std::path::{Path, PathBuf};

/// The reason why a configuration could not be loaded. The caller in `cli` matches on it to add a hint.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Nothing is configured at all: refer to `b24relay init` and `b24relay demo`.
    #[error(
        "no configuration found: looked at {}; name one with `--config FILE`, write one with `b24relay init`, \
         or try `b24relay demo`, which needs none{}",
        quoted(looked_at),
        corrected(misspelled)
    )]
    NoFile {
        /// The paths that were tried, in order.
        looked_at: Vec<PathBuf>,
        /// Variables that would have configured the relay, each with its correct spelling.
        misspelled: Vec<(String, String)>,
    },
    /// The file is missing or cannot be read: check path and permissions.
    #[error("could not read the configuration `{}`: {reason}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The error of the operating system.
        reason: String,
    },
    /// The program runs as root, the file was not named by a flag, and another user may have written it: name
    /// it.
    #[error(
        "`{0}` is not used, because this is root and {reason}: if it is the right configuration, name it with \
         `--config {0}`",
        file.display()
    )]
    Untrusted {
        /// The file.
        file: PathBuf,
        /// How another user may have written it.
        reason: String,
    },
    /// The file is not valid TOML: fix the line.
    #[error("`{}` is not valid TOML: line {line}, column {column}: {message}{}", file.display(), below(excerpt.as_deref()))]
    Syntax {
        /// The file.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
        /// The parser's message, or a clearer one.
        message: String,
        /// The line with a caret below the position; `None` if it may hold a secret.
        excerpt: Option<String>,
    },
    /// The configuration breaks rules: show all of them.
    #[error("{}", listed(file.as_deref(), violations))]
    Invalid {
        /// The file, if there is one. Otherwise everything comes from the environment and flags.
        file: Option<PathBuf>,
        /// Every violation, in reading order; at least one.
        violations: Vec<Violation>,
    },
}

/// A violation: one key breaks one rule. Displays as `key.path: error and hint (place)`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The full path of the key, such as `sources.support.poll.limit`.
    pub key: String,
    /// The error and the hint.
    pub text: String,
    /// The place of the value, if it was given: a line of the file, a variable or the command line.
    pub place: Option<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.text)?;
        self.place.as_ref().map_or(Ok(()), |place| write!(f, " ({place})"))
    }
}

fn below(excerpt: Option<&str>) -> String {
    excerpt.map_or_else(String::new, |excerpt| format!("\n{excerpt}"))
}

fn quoted(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
    paths.join(" and ")
}

fn corrected(misspelled: &[(String, String)]) -> String {
    let lines = misspelled.iter().map(|(name, meant)| {
        format!("\n`{name}` is set, but two `_` separate the parts of a key: did you mean `{meant}`?")
    });
    lines.collect()
}

fn listed(file: Option<&Path>, violations: &[Violation]) -> String {
    let mut text = match file {
        Some(file) => format!("the configuration in `{}` cannot be used:", file.display()),
        None => "the configuration in the environment cannot be used:".to_owned(),
    };
    for violation in violations {
        text.push('\n');
        text.push_str(&violation.to_string());
    }
    text
}
