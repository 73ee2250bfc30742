//! Whether anybody is let in at all: a daemon whose every source is refused at its start leaves.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

/// Counts the sources whose first answer is still to come, or was no refusal.
#[derive(Clone)]
pub struct Census {
    /// `None` once the start is over.
    hopeful: Arc<Mutex<Option<usize>>>,
    all_refused: CancellationToken,
}

impl Census {
    /// A census of `count` sources.
    pub fn new(count: usize) -> Self {
        Self { hopeful: Arc::new(Mutex::new(Some(count))), all_refused: CancellationToken::new() }
    }

    /// One source's first answer was a refusal that needs a person.
    pub fn refuse(&self) {
        let mut hopeful = self.hopeful.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = hopeful.as_mut() {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.all_refused.cancel();
            }
        }
    }

    /// The sources are other ones from here on: what they are answered is no news of the start.
    pub fn close(&self) {
        *self.hopeful.lock().unwrap_or_else(PoisonError::into_inner) = None;
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
