//! Waiting for conditions instead of milliseconds.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

/// The time limit for all conditions, far longer than a slow machine needs, and than the minute after which the relay tries
/// again to bury an event for which there was no room.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until `condition` holds; `what` describes it in the panic after the time limit.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let mut ticks = interval(Duration::from_millis(10));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let waiting = async {
        while !condition().await {
            ticks.tick().await;
        }
    };
    assert!(timeout(PATIENCE, waiting).await.is_ok(), "never happened: {what}");
}

/// Waits until `count` is `target`. The time limit applies to each step, so a busy machine may take long for many steps.
pub(crate) async fn until_count(what: &str, target: usize, count: impl AsyncFn() -> usize) {
    let mut reached = count().await;
    while reached < target {
        let before = reached;
        until(&format!("{what}: more than {before} of {target}"), async || {
            reached = count().await;
            reached > before
        })
        .await;
    }
    assert_eq!(reached, target, "too many: {what}");
}
