//! How runs and their parts end.

use crate::store::StoreError;

/// When a run is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// When a stop is asked for.
    Stopped,
    /// When every queue has been read to its end and delivered, or cannot be.
    Drained,
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Ending {
    /// Everything that was read is settled.
    Clean,
    /// Some events were left for the next run: they are still in the portal's queue.
    CutShort,
    /// The portal refused a source in a way that needs a person. Only a drain ends so.
    Refused,
}

/// What ends the whole process.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// A sink that cannot come back, such as a closed standard output: leave with 74.
    #[error("sinks.{sink}: {reason}")]
    SinkClosed {
        /// The sink's name.
        sink: String,
        /// What happened.
        reason: String,
    },
    /// The state file: leave with the code of its own error.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The configuration cannot be used: leave with 78.
    #[error("{0}")]
    Setup(String),
    /// A source has no way to call its portal: a drain leaves with 78, a daemon parks the source.
    #[error("{0}")]
    NoClient(String),
    /// What is remembered of a portal cannot be read from the state file: leave with 74.
    #[error("{0}")]
    NoMemory(String),
    /// A defect: leave with 70.
    #[error("a task panicked: {0}")]
    Panicked(String),
}

/// Whether something came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settled {
    /// It did, and that is on the disk.
    All,
    /// A stop, or the end of a drain's patience, left some of it for another time.
    CutShort,
}
