//! Runs blocking work outside the runtime's threads.

use std::future::pending;
use std::panic::resume_unwind;

/// Runs `work` to its end; a panic in it becomes the caller's panic. If the runtime is shutting down and drops work
/// that has not begun, this never returns: the runtime then drops the waiting task too.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    #[cfg(feature = "simulation")]
    if simulation::IS_DONE_HERE.get() {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(failure) if failure.is_panic() => resume_unwind(failure.into_panic()),
        Err(_) => pending().await,
    }
}

#[cfg(feature = "simulation")]
pub(crate) mod simulation {
    //! Blocking work on the thread of its caller: no other thread may influence the course of a simulation.

    use std::cell::Cell;

    thread_local! {
        /// Whether this thread does blocking work itself.
        pub(super) static IS_DONE_HERE: Cell<bool> = const { Cell::new(false) };
    }

    /// From now on this thread does blocking work itself and immediately.
    pub fn simulate_blocking() {
        IS_DONE_HERE.set(true);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::task::{Context, Waker};

    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn a_panic_is_the_callers() {
        let runtime = Builder::new_current_thread().build().unwrap();
        let outcome = catch_unwind(AssertUnwindSafe(|| runtime.block_on(run(|| panic!("broken")))));
        assert_eq!(outcome.unwrap_err().downcast_ref(), Some(&"broken"));
    }

    #[test]
    fn work_that_cannot_begin_any_more_panics_nobody() {
        let runtime = Builder::new_current_thread().build().unwrap();
        let handle = runtime.handle().clone();
        runtime.shutdown_background();
        let _entered = handle.enter();
        let mut late = Box::pin(run(|| ()));
        let mut context = Context::from_waker(Waker::noop());
        assert!((0..3).all(|_| late.as_mut().poll(&mut context).is_pending()));
    }
}
