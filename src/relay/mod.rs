//! The engine: every source polls, every lane settles, every commit comes before the portal forgets.
//!
//! Keeps I6: nothing here relies on an orderly end; a stop is a courtesy to the operator. Keeps G9: no answer of a
//! portal or a receiver ends a daemon, at its start or later.

mod clock; // the portal's time
mod context; // state that sources and lanes share
mod host; // everything from outside: configuration, portals, sinks
mod journal; // polls append to it, lanes read it
mod key_value; // the portal client's store, in the state file
mod lane; // one sink's way through one journal
mod outcome; // how runs and their parts end
mod portal_clients; // one client for each source, one session for each login
mod replay; // delivers dead letters, apart from the rest
mod run; // one run, from its start to its end
pub mod simulation; // the entry of `tests/simulation`
mod source; // the poll loop of one queue
mod state_retry; // waits for a disk that refuses a write
mod supervisor; // a task for each source; start, reload, end

pub use clock::SKEW_MAX;
pub use host::warn_of_notices;
pub use key_value::StoreKeyValue;
pub use lane::filter::{ContentFilter, ContentVerdict, FilterReason};
pub use outcome::{Ending, RelayError, Until};
pub use portal_clients::{NoClient, PortalClients};
pub use replay::{Replay, Replayed};
pub use run::{run, run_reloading};
pub use source::portal_queue::PortalQueue;
pub use source::upstream::Upstream;
pub use supervisor::queue_identity::{bind, is_same_queue};
