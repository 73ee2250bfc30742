//! Exit codes (sysexits), and the last line on stderr.

use std::borrow::Cow;
use std::process::ExitCode;

use b24_client::foreign_text::visible;
use b24_client::{CallError, KeyValueError};

use crate::cli::exit_code::Exit;
use crate::cli::portal::refused;
use crate::config::ConfigError;
use crate::relay::{Ending, NoClient, RelayError};
use crate::service::ListenError;
use crate::stdio::stderr;
use crate::store::StoreError;

/// The command line names something that does not exist: exit with 64.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct UsageError(pub String);

/// A credential works but lacks a right: exit with 77.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct RefusedError(pub String);

/// The configuration lacks a setting that the command needs: exit with 78.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct SetupError(pub String);

impl Exit {
    /// The exit code for an error that reached the top.
    pub fn of(error: &anyhow::Error) -> Self {
        if error.is::<ConfigError>() || error.is::<SetupError>() || error.is::<NoClient>() {
            return Self::Config;
        }
        if let Some(error) = error.downcast_ref::<RelayError>() {
            return Self::of_relay(error);
        }
        if let Some(error) = error.downcast_ref::<StoreError>() {
            return Self::of_store(error);
        }
        if let Some(error) = error.downcast_ref::<CallError>() {
            return refused::exit(error);
        }
        if error.is::<UsageError>() {
            return Self::Usage;
        }
        if error.is::<RefusedError>() {
            return Self::Refused;
        }
        if error.is::<ListenError>() {
            return Self::Temporary;
        }
        if error.is::<std::io::Error>() || error.is::<KeyValueError>() { Self::Io } else { Self::Internal }
    }

    fn of_relay(error: &RelayError) -> Self {
        match error {
            RelayError::SinkClosed { .. } | RelayError::KeyValue(_) => Self::Io,
            RelayError::Store(error) => Self::of_store(error),
            RelayError::Setup(_) | RelayError::NoClient(_) => Self::Config,
            RelayError::Panicked(_) => Self::Internal,
        }
    }

    fn of_store(error: &StoreError) -> Self {
        match error {
            StoreError::Locked { .. } | StoreError::Replaying { .. } => Self::Temporary,
            StoreError::Newer { .. }
            | StoreError::Foreign { .. }
            | StoreError::Misplaced { .. }
            | StoreError::OtherQueue { .. } => Self::Config,
            StoreError::Damaged { .. }
            | StoreError::Gone { .. }
            | StoreError::Unavailable { .. }
            | StoreError::Copy { .. } => Self::Io,
        }
    }
}

impl From<Ending> for Exit {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Clean => Self::Clean,
            Ending::CutShort => Self::Temporary,
            Ending::Refused => Self::Refused,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Prints the error that ended the process, and what the operator can do. If stderr cannot be written, the exit code
/// still shows the error.
pub(super) fn complain(error: &anyhow::Error) {
    stderr::write(&visible(&complaint(error)));
}

/// Writes the same into the log if logging has started, so that a log of JSON lines ends with a JSON line. Does not
/// block.
pub(super) fn log_end(error: &anyhow::Error) {
    if tracing::dispatcher::has_been_set() {
        tracing::error!(
            code = %Exit::of(error).code(),
            error = format!("{error:#}"),
            hint = hint(error).as_deref(),
            "b24relay ends with an error"
        );
    } else {
        stderr::log(complaint(error).into());
    }
}

fn complaint(error: &anyhow::Error) -> String {
    let hint = hint(error).map_or(String::new(), |hint| format!("\nb24relay: {hint}"));
    format!("b24relay: error[{}]: {error:#}{hint}\n", Exit::of(error).code())
}

fn hint(error: &anyhow::Error) -> Option<Cow<'_, str>> {
    error.downcast_ref::<CallError>().map(refused::hint)
}
