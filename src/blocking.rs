//! Work that blocks, away from the runtime's threads.

use std::cell::Cell;
use std::future::pending;
use std::panic::resume_unwind;

thread_local! {
    /// Whether this thread does such work itself, in the simulation of the relay.
    static IS_DONE_HERE: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` to its end; its panic becomes the caller's. Never comes back when the runtime is being shut
/// down and has let go of what had not begun: then whoever waits here is let go of as well.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    if IS_DONE_HERE.get() {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(failure) if failure.is_panic() => resume_unwind(failure.into_panic()),
        Err(_) => pending().await,
    }
}

/// From now on this thread does such work itself and at once: for the simulation of the relay, whose course
/// no other thread may have a say in.
pub fn simulate() {
    IS_DONE_HERE.set(true);
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
