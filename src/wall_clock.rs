//! The clock of this machine, for displayed times and for ages in the state file.

use jiff::Timestamp;

/// The current time in Unix milliseconds.
pub fn now_ms() -> i64 {
    #[cfg(feature = "simulation")]
    if let Some(script) = simulation::SCRIPT.get() {
        return script();
    }
    Timestamp::now().as_millisecond()
}

#[cfg(feature = "simulation")]
pub(crate) mod simulation {
    //! A clock that does not pass on its own.

    use std::cell::Cell;

    thread_local! {
        /// The simulated clock of this thread.
        pub(super) static SCRIPT: Cell<Option<fn() -> i64>> = const { Cell::new(None) };
    }

    /// From now on `script` is the clock of this thread.
    pub fn simulate_clock(script: fn() -> i64) {
        SCRIPT.set(Some(script));
    }
}
