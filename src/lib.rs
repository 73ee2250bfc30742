//! b24relay reads a Bitrix24 user's event queue and delivers every event to sinks without losing one.
//!
//! `ARCHITECTURE.md` has the drawing and the invariants I1 to I7; the file that keeps an invariant names it.

mod blocking; // runs blocking work outside the runtime's threads
pub mod chat; // the chat of an event
pub mod checkpoint; // which events a lane has settled
pub mod cli; // the commands
pub mod config; // the validated configuration
pub mod event; // the vocabulary: event, offset, batch, queue
pub mod failpoint; // where tests can kill the process
pub mod health; // the computed state of each source and lane
pub mod human; // times and sizes as people read them
mod log_code; // the codes of warnings and errors
mod markup; // BB code in the markup of other messengers
pub mod relay; // the engine: polls, journal, lanes
pub mod retry; // delays between attempts
pub mod service; // metrics, the page, systemd
pub mod shutdown; // signals as values
pub mod sink; // the destinations: standard output, file, webhook
pub mod stdio; // standard output and error with slow or absent readers
pub mod store; // the state file
mod symlinks; // the file that a path stands for
pub mod telemetry; // log lines
pub mod template; // what operators write over an event
pub mod wall_clock; // the clock of this machine
