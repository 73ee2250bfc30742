//! Builds a [`Config`] from its layers: finds the file, merges defaults < file < environment < flags, and
//! reads the result.

use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use config::{Map, Value, ValueKind};
use rustix::process::geteuid;

use crate::config::error::ConfigError;
use crate::config::parse::document::{self, Layer};
use crate::config::parse::findings::Findings;
use crate::config::parse::read;
use crate::config::parse::variables::environment::Environment;
use crate::config::secrets::secret_file::SecretFiles;
use crate::config::{Config, LogFormat, LogLevel};

/// The paths that are tried if no flag names a file, in this order.
const PLACES: [&str; 2] = ["./b24relay.toml", "/etc/b24relay/b24relay.toml"];

/// The state file of a run without a configuration file: in the working directory, because the default of a
/// configuration belongs to a service.
const OWN_STATE: &str = "./b24relay.db";

/// In a directory with this bit, only the owner of a file can replace it.
const STICKY: u32 = 0o1000;

/// The values from flags; they override all others.
#[derive(Clone, Default, Debug)]
pub struct Overrides {
    /// `--config`: the file to load, which must exist.
    pub config: Option<PathBuf>,
    /// The state file.
    pub state: Option<PathBuf>,
    /// `log.level`.
    pub log_level: Option<LogLevel>,
    /// `log.format`.
    pub log_format: Option<LogFormat>,
    /// `run --webhook-url-file FILE --stdout`: the whole configuration, one source and one sink. No file is looked
    /// for.
    pub webhook_url_file: Option<PathBuf>,
}

/// A configuration and its origin.
#[derive(Debug)]
pub struct Loaded {
    /// Everything that the relay needs to run.
    pub config: Config,
    /// The file it was read from; without one, all of it comes from the environment and flags.
    pub file: Option<PathBuf>,
    /// The files that hold secrets, including the configuration file if it does.
    pub secret_files: Vec<PathBuf>,
    /// Advice on things that still work but should change, such as deprecated keys; one line each.
    pub notices: Vec<String>,
}

/// Loads the configuration of this process.
///
/// # Errors
/// If there is no usable file, or if any rule is broken. The error then lists all violations.
pub fn load(overrides: &Overrides) -> Result<Loaded, ConfigError> {
    load_from(&PLACES.map(PathBuf::from), &Environment::of_process(), overrides)
}

/// Finds the path of the state file and ignores all other keys, even invalid ones. A command that only
/// inspects a running daemon needs no more, and may have no permission to read its secrets.
///
/// # Errors
/// If there is no usable file, or if `state` itself is invalid.
pub fn state_path(overrides: &Overrides) -> Result<PathBuf, ConfigError> {
    let (environment, findings) = (Environment::of_process(), Findings::default());
    let file = find(&PLACES.map(PathBuf::from), &environment, overrides)?;
    let document = match &file {
        Some((file, bytes)) => document::parse(file, bytes, &findings)?,
        None => without_file(overrides),
    };
    let tree = merge(document, &environment, overrides, &findings);
    let state = read::state(tree, &findings);
    let violations = findings.into_violations().into_iter().filter(|violation| violation.key == "state");
    let violations: Vec<_> = violations.collect();
    if violations.is_empty() {
        return Ok(state);
    }
    Err(ConfigError::Invalid { file: file.map(|(file, _)| file), violations })
}

/// Like [`load`], with explicit paths and an explicit environment.
pub(crate) fn load_from(
    places: &[PathBuf],
    environment: &Environment,
    overrides: &Overrides,
) -> Result<Loaded, ConfigError> {
    let findings = Findings::default();
    let file = find(places, environment, overrides)?;
    let document = match &file {
        Some((file, bytes)) => document::parse(file, bytes, &findings)?,
        None => without_file(overrides),
    };
    validate(file.map(|(file, _)| file), document, environment, overrides, findings)
}

/// Builds the configuration from all layers, or returns every violation, including those in `findings`.
pub(crate) fn validate(
    file: Option<PathBuf>,
    document: Layer,
    environment: &Environment,
    overrides: &Overrides,
    findings: Findings,
) -> Result<Loaded, ConfigError> {
    let tree = merge(document, environment, overrides, &findings);
    let files = SecretFiles::new(file.as_deref(), environment.credentials.as_deref());
    let config = read::read(tree, &files, &findings);
    let notices = findings.take_notices();
    let violations = findings.into_violations();
    match config {
        Some(config) if violations.is_empty() => {
            let secret_files = files.into_found(file.as_deref());
            Ok(Loaded { config, file, secret_files, notices })
        }
        _ => Err(ConfigError::Invalid { file, violations }),
    }
}

/// The file and its bytes; `None` if there is no file and none is needed.
fn find(
    places: &[PathBuf],
    environment: &Environment,
    overrides: &Overrides,
) -> Result<Option<(PathBuf, Vec<u8>)>, ConfigError> {
    if overrides.webhook_url_file.is_some() {
        return Ok(None);
    }
    if let Some(file) = &overrides.config {
        return document::read(file)
            .map(|bytes| Some((file.clone(), bytes)))
            .map_err(|error| unreadable(file, &error));
    }
    for place in places {
        refuse_planted(place)?;
        match document::read(place) {
            Ok(bytes) => return Ok(Some((place.clone(), bytes))),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(place, &error)),
        }
    }
    if environment.defines_sources() {
        return Ok(None);
    }
    Err(ConfigError::NoFile { looked_at: places.to_vec(), misspelled: environment.misspelled() })
}

/// Refuses to let root load a file from the working directory that another user may have put there.
fn refuse_planted(place: &Path) -> Result<(), ConfigError> {
    if place.is_absolute() || !geteuid().is_root() {
        return Ok(());
    }
    match planted(place) {
        Ok(None) => Ok(()),
        Ok(Some(reason)) => Err(ConfigError::Untrusted { file: place.to_owned(), reason }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(unreadable(place, &error)),
    }
}

/// Explains how a user other than root may have put `file` there, if that is possible.
fn planted(file: &Path) -> io::Result<Option<String>> {
    let link = file.symlink_metadata()?;
    let (target, folder) = (file.metadata()?, file.parent().unwrap_or(file).metadata()?);
    let stranger = |owned: &Metadata| (owned.uid() != 0).then_some(owned.uid());
    Ok(if let Some(user) = stranger(&folder) {
        Some(format!("its folder belongs to the user {user}"))
    } else if let Some(user) = stranger(&link).or(stranger(&target)) {
        Some(format!("it belongs to the user {user}"))
    } else if is_open_to_others(&target) {
        Some("others than root may write to it".to_owned())
    } else if is_open_to_others(&folder) && folder.mode() & STICKY == 0 {
        Some("others than root may write to its folder".to_owned())
    } else {
        None
    })
}

fn is_open_to_others(metadata: &Metadata) -> bool {
    let of_group = if metadata.gid() == 0 { 0 } else { 0o020 };
    metadata.mode() & (of_group | 0o002) != 0
}

fn unreadable(file: &Path, error: &std::io::Error) -> ConfigError {
    ConfigError::Unreadable { file: file.to_owned(), reason: error.to_string() }
}

/// Merges the layers; later layers override earlier ones key by key. The defaults are not a layer: most of
/// them belong to tables that the operator names, so the reader fills them in for missing keys.
fn merge(document: Layer, environment: &Environment, overrides: &Overrides, findings: &Findings) -> Value {
    let merged = config::Config::builder()
        .add_source(document)
        .add_source(environment.layer(findings))
        .add_source(flags(overrides, findings))
        .build();
    // The cause is not shown, because it may contain a value.
    merged.map_or_else(
        |_| {
            findings.report("configuration", "could not merge file, environment and flags");
            Value::new(None, ValueKind::Table(Map::new()))
        },
        |merged| merged.cache,
    )
}

/// The values that take the place of the file.
fn without_file(overrides: &Overrides) -> Layer {
    let state = overrides.webhook_url_file.as_ref().map(|_| of_command_line("state", OWN_STATE.to_owned()));
    Layer(state.into_iter().collect())
}

fn flags(overrides: &Overrides, findings: &Findings) -> Layer {
    const WEBHOOK_URL_FILE: &str = "sources.support.webhook_url_file";
    let text = |key: &str, path: &Option<PathBuf>| {
        let path = path.as_ref()?;
        let text = path.to_str().map(str::to_owned);
        if text.is_none() {
            findings.report(key, "must be UTF-8");
        }
        text
    };
    let is_whole = overrides.webhook_url_file.is_some();
    let values = [
        ("state", text("state", &overrides.state)),
        ("log.level", overrides.log_level.map(|level| level.to_string())),
        ("log.format", overrides.log_format.map(|format| format.to_string())),
        (WEBHOOK_URL_FILE, text(WEBHOOK_URL_FILE, &overrides.webhook_url_file)),
        ("sinks.console.type", is_whole.then(|| "stdout".to_owned())),
    ];
    let given = values.into_iter().filter_map(|(key, value)| Some(of_command_line(key, value?)));
    Layer(given.collect())
}

fn of_command_line(key: &str, value: String) -> (String, Value) {
    let origin = "the command line".to_owned();
    (key.to_owned(), Value::new(Some(&origin), ValueKind::String(value)))
}
