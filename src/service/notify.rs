//! systemd's view: ready when every source was tried, a word on what goes on, and a watchdog that is fed only
//! while the poll loops turn.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, error};

use super::View;
use super::health;

/// How often the word on what goes on is renewed.
const STATUS_INTERVAL: Duration = Duration::from_secs(10);

/// The service manager, if one listens.
#[derive(Clone, Copy, Default)]
pub struct Notifier;

impl Notifier {
    /// Tells it all there is to tell, for ever. Without a service manager it goes nowhere.
    pub async fn run(self, view: &View) {
        tokio::join!(
            Self::tell_ready(view),
            Self::tell_status(view),
            Self::feed_watchdog(view),
            Self::tell_stopping(view)
        );
    }

    /// The configuration is being loaded anew.
    pub fn reloading(&self) {
        // Newer versions want to know when it began.
        let since = NotifyState::monotonic_usec_now();
        let states: Vec<_> = std::iter::once(NotifyState::Reloading).chain(since).collect();
        tell(&states);
    }

    /// It is loaded, or the old one stays.
    pub fn reloaded(&self) {
        tell(&[NotifyState::Ready]);
    }

    async fn tell_stopping(view: &View) {
        view.witness.vitals.draining().await;
        tell(&[NotifyState::Stopping, NotifyState::Status("finishing what is under way")]);
    }

    async fn tell_ready(view: &View) {
        view.witness.vitals.up().await;
        let status = health::in_a_word(view).await;
        tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
    }

    async fn tell_status(view: &View) {
        let mut ticks = interval(STATUS_INTERVAL);
        let mut told = String::new();
        loop {
            ticks.tick().await;
            let status = health::in_a_word(view).await;
            if status != told && !view.witness.vitals.is_draining() {
                tell(&[NotifyState::Status(&status)]);
                told = status;
            }
        }
    }

    async fn feed_watchdog(view: &View) {
        let Some(period) = sd_notify::watchdog_enabled() else { return };
        let mut ticks = interval((period / 3).max(Duration::from_millis(10)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let overdue = view.witness.vitals.overdue();
            if overdue.is_empty() {
                tell(&[NotifyState::Watchdog]);
            } else {
                error!(
                    sources = overdue.join(", "),
                    "a poll loop does not turn any more: the watchdog is not fed"
                );
            }
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "cannot tell the service manager");
    }
}
