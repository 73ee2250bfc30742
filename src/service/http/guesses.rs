//! Requests with a wrong token. They are answered slowly and one at a time, on however many connections, they are
//! counted, and they are logged once a minute. A request with the right token never waits for them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::log_code;
use crate::service::metrics::registry::Metrics;

/// How long each of them waits for its answer, after the earlier ones.
const DELAY: Duration = Duration::from_millis(500);

/// The shortest time between two log lines about them.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The delay for wrong tokens. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Guesses {
    /// The time of the last log line.
    logged: Arc<Mutex<Option<Instant>>>,
}

impl Guesses {
    /// Waits before a wrong token of `peer` is answered.
    pub(crate) async fn slow_down(&self, peer: SocketAddr, metrics: &Metrics) {
        let count = metrics.wrong_token();
        let mut logged = self.logged.lock().await;
        if logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
            warn!(code = %log_code::WRONG_TOKEN, %peer, count, "a request to `http.listen` had a wrong token: correct it at the sender, or block the sender");
            *logged = Some(Instant::now());
        }
        sleep(DELAY).await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn wrong_tokens_are_answered_one_after_the_other_and_counted() {
        let (guesses, metrics, started) = (Guesses::default(), Metrics::default(), Instant::now());
        let peer = "127.0.0.1:1".parse().unwrap();
        join_all((0..20).map(|_| guesses.slow_down(peer, &metrics))).await;
        assert_eq!(started.elapsed(), 20 * DELAY);
        assert_eq!(metrics.wrong_token(), 21);
    }
}
