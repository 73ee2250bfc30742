//! Detects hanging poll loops: each loop announces when it will report again.
//!
//! A loop that waits for a portal's answer still reports. A loop that no longer reports is a case for the watchdog.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// The liveness of the poll loops. Clones share it.
#[derive(Clone, Default)]
pub struct Liveness {
    loops: Arc<Mutex<BTreeMap<String, Instant>>>,
    stage: Arc<watch::Sender<Stage>>,
}

/// The phase of the process.
#[derive(Clone, Default, Debug)]
struct Stage {
    /// The sources that were not tried yet; `None` before the sources are known.
    untried: Option<BTreeSet<String>>,
    is_draining: bool,
}

/// The liveness of one source's loop, which ends when this is dropped.
pub struct Heartbeat {
    source: String,
    liveness: Liveness,
}

impl Liveness {
    /// Sets the sources.
    pub fn expect(&self, sources: impl Iterator<Item = String>) {
        self.stage.send_modify(|stage| stage.untried = Some(sources.collect()));
    }

    /// The liveness handle for the loop of `source`.
    pub fn heartbeat(&self, source: &str) -> Heartbeat {
        Heartbeat { source: source.to_owned(), liveness: self.clone() }
    }

    /// Records the first result of `source`, a success or an error.
    pub fn tried(&self, source: &str) {
        self.stage
            .send_if_modified(|stage| stage.untried.as_mut().is_some_and(|untried| untried.remove(source)));
    }

    /// These sources no longer have to be tried.
    pub fn release(&self, sources: &BTreeSet<String>) {
        self.stage.send_if_modified(|stage| {
            stage
                .untried
                .as_mut()
                .is_some_and(|untried| sources.iter().filter(|source| untried.remove(*source)).count() > 0)
        });
    }

    /// Records that the process finishes its current work.
    pub fn drain(&self) {
        self.stage.send_modify(|stage| stage.is_draining = true);
    }

    /// Whether the process finishes its current work.
    pub fn is_draining(&self) -> bool {
        self.stage.borrow().is_draining
    }

    /// Whether every source was tried once.
    pub fn is_up(&self) -> bool {
        self.stage.borrow().is_up()
    }

    /// Waits until every source was tried once.
    pub async fn up(&self) {
        let mut stage = self.stage.subscribe();
        // The sender lives as long as `self`.
        stage.wait_for(Stage::is_up).await.ok();
    }

    /// Waits until the process finishes its current work.
    pub async fn draining(&self) {
        // The sender lives as long as `self`.
        self.stage.subscribe().wait_for(|stage| stage.is_draining).await.ok();
    }

    /// The sources whose loop should have reported by now.
    pub fn overdue(&self) -> Vec<String> {
        let now = Instant::now();
        self.loops().iter().filter(|(_, by)| **by < now).map(|(source, _)| source.clone()).collect()
    }

    fn loops(&self) -> MutexGuard<'_, BTreeMap<String, Instant>> {
        self.loops.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stage {
    fn is_up(&self) -> bool {
        self.untried.as_ref().is_some_and(BTreeSet::is_empty)
    }
}

impl Heartbeat {
    /// The loop will report again within `duration`.
    pub fn beat(&self, duration: Duration) {
        self.liveness.loops().insert(self.source.clone(), Instant::now() + duration);
    }

    /// The loop now waits without a limit, for a sink or for free disk space.
    pub fn rest(&self) {
        self.liveness.loops().remove(&self.source);
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.rest();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_is_overdue_when_it_is_not_heard_of_in_time() {
        let (liveness, second) = (Liveness::default(), Duration::from_secs(1));
        let (one, other) = (liveness.heartbeat("one"), liveness.heartbeat("other"));
        one.beat(second);
        other.beat(3 * second);
        assert_eq!(liveness.overdue(), [""; 0]);
        tokio::time::advance(2 * second).await;
        assert_eq!(liveness.overdue(), ["one"]);
        tokio::time::advance(2 * second).await;
        assert_eq!(liveness.overdue(), ["one", "other"]);
        one.beat(second);
        other.rest();
        assert_eq!(liveness.overdue(), [""; 0]);
        tokio::time::advance(2 * second).await;
        drop(one);
        assert_eq!(liveness.overdue(), [""; 0]);
    }

    #[tokio::test]
    async fn it_is_up_when_every_source_was_tried() {
        let liveness = Liveness::default();
        assert!(!liveness.is_up());
        liveness.expect(["one", "other"].map(str::to_owned).into_iter());
        liveness.tried("one");
        liveness.tried("one");
        assert!(!liveness.is_up() && liveness.up().now_or_never().is_none());
        liveness.tried("other");
        assert!(liveness.is_up() && liveness.up().now_or_never().is_some());
    }
}
