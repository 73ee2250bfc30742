//! The state file: every line of SQL, and the lock that makes it ours alone.
//!
//! Keeps I3: a commit is on the disk when it returns (WAL with `synchronous = FULL`).

mod database; // the open connection; checks that the file stays where it was opened
mod error; // one variant for each reaction
mod file; // the state file as a file: place, locks, log, copies
mod handle; // the store as the process shares it
mod paths; // the files beside the state file
mod report; // what commands and the page read
mod schema; // layouts, migrations, checksums, integrity
#[cfg(feature = "simulation")]
mod simulation; // a state in memory
mod sql; // small queries
mod table; // checkpoints, journal, dead letters and the rest
#[cfg(test)]
mod tests;

pub use error::StoreError;
pub use file::backup::Copied;
pub use handle::Store;
pub use report::reader::ReportReader;
pub use report::sources::{
    DeadLetterReport, GapReport, LIFETIME_S, LaneReport, MoveReport, Report, SourceReport,
};
pub use report::undelivered::Undelivered;
pub use schema::finding::{Finding, Verdict};
pub use schema::inspection::{Inspection, Soundness};
#[cfg(feature = "simulation")]
pub use simulation::{LaneView, View};
pub use table::activity::LaneActivity;
pub use table::checkpoints::{Inherited, LaneNote, LaneRecord, Progress, StoredSource, Tally};
pub use table::dead_letters::{
    DeadLetter, DeadLetterBody, DeadLetterFilter, DeadLetterStats, DeadLettersLock, DroppedDeadLetters,
    NewDeadLetter, Rejection,
};
pub use table::journal::{Append, Reading, Rewound};
pub use table::pauses::Resumed;
pub use table::skips::Skip;
pub use table::sources::{Activity, GAP_KIND, Gap, Health, SourceNote};
