//! Whether anybody is let in at all: a daemon whose every source is refused at its start leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio_util::sync::CancellationToken;

/// Counts the sources whose first answer is still to come, or was no refusal.
#[derive(Clone)]
pub struct Census {
    hopeful: Arc<AtomicUsize>,
    all_refused: CancellationToken,
}

impl Census {
    /// A census of `count` sources.
    pub fn new(count: usize) -> Self {
        Self { hopeful: Arc::new(AtomicUsize::new(count)), all_refused: CancellationToken::new() }
    }

    /// One source's first answer was a refusal that needs a person.
    pub fn refuse(&self) {
        if self.hopeful.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.all_refused.cancel();
        }
    }

    /// Whether every source has been refused.
    pub fn are_all_refused(&self) -> bool {
        self.all_refused.is_cancelled()
    }

    /// Waits until every source has been refused, which may be for ever.
    pub async fn all_refused(&self) {
        self.all_refused.cancelled().await;
    }
}
