//! This machine's clock, for people to read and for the ages of what lies in the state file.

use std::cell::Cell;

use jiff::Timestamp;

thread_local! {
    /// What this thread takes for the clock, in the simulation of the relay.
    static SCRIPT: Cell<Option<fn() -> i64>> = const { Cell::new(None) };
}

/// In Unix milliseconds.
pub fn now_ms() -> i64 {
    SCRIPT.get().map_or_else(|| Timestamp::now().as_millisecond(), |script| script())
}

/// From now on the clock of this thread is what `script` says: for the simulation of the relay, whose time
/// does not pass by itself.
pub fn simulate(script: fn() -> i64) {
    SCRIPT.set(Some(script));
}
