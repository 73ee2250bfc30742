//! The state file: every line of SQL, and the lock that makes it ours alone.
//!
//! Keeps I3: a commit is on the disk when it returns (WAL with `synchronous = FULL`).
//!
//! Where to look:
//! - `file`: finds the one file that a path leads to, keeps a second daemon away, opens, copies and shrinks it.
//! - `schema`: layouts, migrations, checksums and integrity checks. A file that cannot be trusted is never used.
//! - `table`: checkpoints, journal, dead letters and the rest.
//! - `report`: what commands and the page read.
//! - `database`: the open connection; checks that the file stays where it was opened.

mod database;
mod error;
mod file;
mod handle;
mod paths;
mod report;
mod schema;
mod simulation;
mod sql;
mod table;
#[cfg(test)]
mod tests;

pub use error::StoreError;
pub use file::backup::Copied;
pub use handle::Store;
pub use report::reader::ReportReader;
pub use report::sources::{DeadLetterReport, GapReport, LaneReport, MoveReport, Report, SourceReport};
pub use report::undelivered::Undelivered;
pub use schema::finding::{Finding, Verdict};
pub use schema::inspection::{Inspection, Soundness};
pub use simulation::{LaneView, View};
pub use table::checkpoints::{Inherited, LaneNote, LaneRecord, LaneState, Progress, StoredSource, Tally};
pub use table::dead_letters::{
    DeadLetter, DeadLetterBody, DeadLetterFilter, DeadLetterStats, DeadLettersLock, DroppedDeadLetters,
    NewDeadLetter, Rejection,
};
pub use table::journal::{Append, Reading, Rewound};
pub use table::pauses::Resumed;
pub use table::skips::Skip;
pub use table::sources::{Activity, GAP_KIND, Gap, Health, SourceNote};
