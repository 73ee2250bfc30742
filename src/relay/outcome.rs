//! How runs and their parts end.

use b24_client::KeyValueError;

use crate::relay::portal_clients::NoClient;
use crate::store::StoreError;

/// When a run is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// When a stop is requested.
    Stopped,
    /// When every queue has been read to its end and delivered, or when that has turned out to be impossible.
    Drained,
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Ending {
    /// Everything that was read is settled.
    Clean,
    /// Some events were left for the next run: they are in the journal or still in the portal's queue.
    CutShort,
    /// The portal refused a source, and the operator must act. Only a drain ends this way.
    Refused,
}

/// An error that ends the whole process.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// A sink that cannot come back, such as a closed standard output. Exit code 74.
    #[error("sinks.{sink}: {reason}")]
    SinkClosed {
        /// The sink's name.
        sink: String,
        /// What happened.
        reason: String,
    },
    /// The state file failed. The exit code is that of its own error.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The configuration cannot be used. Exit code 78.
    #[error("{0}")]
    Setup(String),
    /// A source has no way to call its portal. A drain exits with 78, a daemon parks the source.
    #[error(transparent)]
    NoClient(#[from] NoClient),
    /// The values stored for a portal cannot be read from the state file. Exit code 74.
    #[error(transparent)]
    KeyValue(#[from] KeyValueError),
    /// A defect of the program. Exit code 70.
    #[error("a task panicked: {0}")]
    Panicked(String),
}

/// Why a step of the engine ended before it was complete. `?` passes it on to whoever decides how the run ends.
#[derive(Debug)]
pub(super) enum Halt {
    /// A stop, or the limit of attempts in a drain, left the rest for the next run.
    Stopped,
    /// An error that ends the process.
    Fatal(RelayError),
}

impl<E: Into<RelayError>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Fatal(error.into())
    }
}

impl Halt {
    /// What `step` returned, or `None` if a stop came first.
    ///
    /// # Errors
    /// The error that ends the process.
    pub(super) fn unless_stopped<T>(step: Result<T, Self>) -> Result<Option<T>, RelayError> {
        match step {
            Ok(done) => Ok(Some(done)),
            Err(Self::Stopped) => Ok(None),
            Err(Self::Fatal(error)) => Err(error),
        }
    }
}
