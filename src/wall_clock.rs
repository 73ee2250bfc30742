//! The clock of this machine, for displayed times and for ages in the state file.

use std::cell::Cell;

use jiff::Timestamp;

thread_local! {
    /// The simulated clock of this thread, in the simulation of the relay.
    static SCRIPT: Cell<Option<fn() -> i64>> = const { Cell::new(None) };
}

/// The current time in Unix milliseconds.
pub fn now_ms() -> i64 {
    SCRIPT.get().map_or_else(|| Timestamp::now().as_millisecond(), |script| script())
}

/// From now on `script` is the clock of this thread. The simulation of the relay uses it, because its time does not
/// pass on its own.
pub fn simulate(script: fn() -> i64) {
    SCRIPT.set(Some(script));
}
