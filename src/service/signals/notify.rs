//! Notifications to systemd: ready after every source was tried, a status line, and a watchdog signal that is only sent
//! while the poll loops are active.

use std::sync::LazyLock;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, error};

use crate::log_code;
use crate::service::signals::health;
use crate::service::view::View;

/// The interval of the status line.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

/// How many messages may wait for a service manager that does not read; more are dropped.
const MESSAGES_MAX: usize = 64;

/// The extra start time of each request for more.
const EXTENSION: Duration = Duration::from_secs(60);

/// The service manager, if there is one.
#[derive(Clone, Copy, Default)]
pub struct Notifier;

impl Notifier {
    /// Sends all notifications. Never returns. Without a service manager they go nowhere.
    pub async fn run(self, view: &View) {
        tokio::join!(
            Self::tell_ready(view),
            Self::tell_status(view),
            Self::feed_watchdog(view),
            Self::tell_stopping(view)
        );
    }

    /// The configuration is being reloaded.
    pub fn reloading(&self) {
        // Newer versions of systemd require the start time.
        let since = NotifyState::monotonic_usec_now();
        let states: Vec<_> = std::iter::once(NotifyState::Reloading).chain(since).collect();
        tell(&states);
    }

    /// The reload is complete, with the new or the previous configuration.
    pub fn reloaded(&self) {
        tell(&[NotifyState::Ready]);
    }

    async fn tell_stopping(view: &View) {
        view.telemetry.liveness.draining().await;
        tell(&[NotifyState::Stopping, NotifyState::Status("finishing what is under way")]);
    }

    async fn tell_ready(view: &View) {
        view.telemetry.liveness.up().await;
        let status = health::in_a_word(view).await;
        tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
    }

    async fn tell_status(view: &View) {
        let mut ticks = interval(STATUS_INTERVAL);
        let mut told = String::new();
        loop {
            ticks.tick().await;
            if !view.telemetry.liveness.is_up() {
                // Many sources of one portal take turns, and each must be tried before the daemon is ready.
                let extension = u32::try_from(EXTENSION.as_micros()).unwrap_or(u32::MAX);
                tell(&[NotifyState::ExtendTimeoutUsec(extension)]);
            }
            let status = health::in_a_word(view).await;
            if status != told && !view.telemetry.liveness.is_draining() {
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
            let overdue = view.telemetry.liveness.overdue();
            if overdue.is_empty() {
                tell(&[NotifyState::Watchdog]);
            } else {
                error!(
                    code = %log_code::POLL_LOOP_HANGS,
                    sources = overdue.join(", "),
                    "a poll loop hangs: the watchdog is no longer notified"
                );
            }
        }
    }
}

/// Does not block: a service manager that does not read must not delay the relay.
fn tell(states: &[NotifyState<'_>]) {
    static MESSAGES: LazyLock<SyncSender<String>> = LazyLock::new(|| {
        let (sender, receiver) = sync_channel::<String>(MESSAGES_MAX);
        thread::spawn(move || {
            for message in receiver {
                if let Err(error) = sd_notify::notify(&[NotifyState::Custom(&message)]) {
                    debug!(%error, "cannot tell the service manager");
                }
            }
        });
        sender
    });
    let message: Vec<String> = states.iter().map(ToString::to_string).collect();
    if MESSAGES.try_send(message.join("\n")).is_err() {
        debug!("the service manager does not listen: a message is left out");
    }
}
