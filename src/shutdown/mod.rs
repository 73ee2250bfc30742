//! Signals become values that whoever waits can look at; nothing is cut in the middle (I7).
//!
//! SIGTERM and SIGINT ask for a drain, a second one leaves at once with 128+n. SIGHUP is a nudge:
//! files are reopened and every retry delay ends early, so a repaired cause is noticed at once; and the
//! configuration is read again. SIGHUP because the terminal was closed asks for a drain, too.

mod terminal;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[cfg(debug_assertions)]
use signal_hook::consts::SIGKILL;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{iterator, low_level};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::terminal::Terminal;

/// Signals that come so close together are one: timeout(1) and shells signal a process and then its group.
const ONE_STOP: Duration = Duration::from_millis(500);

/// What ended a [`Signals::pause`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wake {
    /// The time was up.
    Elapsed,
    /// SIGHUP: look again now.
    Nudged,
    /// A stop was asked for: come to an end.
    Stopping,
}

/// The stop token and the nudge count, handed to whoever waits.
#[derive(Clone, Debug)]
pub struct Signals {
    /// Cancelled by the first SIGTERM or SIGINT.
    pub stop: CancellationToken,
    /// Cancelled behind `stop` when the end is not to wait for more than what is under way.
    pub hurry: CancellationToken,
    nudges: Arc<Nudges>,
}

/// How often SIGHUP has come, and who waits for it: woken in the order in which they began to wait.
#[derive(Default, Debug)]
struct Nudges {
    count: AtomicU64,
    told: Notify,
}

impl Signals {
    /// Signals that come from nobody but whoever holds them.
    pub fn silent() -> Self {
        let (stop, hurry) = (CancellationToken::new(), CancellationToken::new());
        Self { stop, hurry, nudges: Arc::default() }
    }

    /// Listens to the process's signals on a thread of its own.
    ///
    /// # Errors
    /// When the operating system refuses a handler or the thread.
    pub fn install() -> io::Result<Self> {
        // Before SIGHUP is listened to: whether it was ignored decides.
        let terminal = Terminal::of_this_process().map(Arc::new);
        let arrived = iterator::Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        let signals = Self::silent();
        if let Some(terminal) = terminal.clone() {
            let stop = signals.stop.clone();
            thread::Builder::new().name("terminal".into()).spawn(move || terminal.watch(&stop))?;
        }
        let told = signals.clone();
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || told.listen(arrived, terminal.as_deref()))?;
        Ok(signals)
    }

    fn listen(&self, mut arrived: iterator::Signals, terminal: Option<&Terminal>) {
        let mut stopped_at: Option<Instant> = None;
        for signal in arrived.forever() {
            if signal != SIGHUP {
                if stopped_at.is_some_and(|at| at.elapsed() >= ONE_STOP) {
                    low_level::exit(128 + signal);
                }
                stopped_at.get_or_insert_with(Instant::now);
                self.stop.cancel();
            } else if terminal.is_some_and(Terminal::hang_up) {
                self.stop.cancel();
            } else {
                self.nudge();
            }
        }
    }

    /// As SIGHUP does.
    pub fn nudge(&self) {
        self.nudges.count.fetch_add(1, Ordering::SeqCst);
        self.nudges.told.notify_waiters();
    }

    /// The same signals for a part of the process that can be stopped alone.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { stop: self.stop.child_token(), hurry: self.hurry.child_token(), ..self.clone() }
    }

    /// Waits until there are more nudges than the `seen`.
    pub async fn nudged(&self, seen: u64) {
        loop {
            // Before the look: what comes after it wakes us.
            let told = self.nudges.told.notified();
            tokio::pin!(told);
            told.as_mut().enable();
            if self.nudge_count() != seen {
                return;
            }
            told.await;
        }
    }

    /// How many nudges have come so far; a file opened at a lower count wants to be reopened.
    pub fn nudge_count(&self) -> u64 {
        self.nudges.count.load(Ordering::SeqCst)
    }

    /// Waits politely: until `duration` has passed, a stop is asked for, or there are more nudges than
    /// the `seen` that the caller knew of when it began what it is now waiting about.
    pub async fn pause(&self, duration: Duration, seen: u64) -> Wake {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Wake::Stopping,
            () = self.nudged(seen) => Wake::Nudged,
            () = elapse(duration) => Wake::Elapsed,
        }
    }
}

/// Ends this process as `kill -9` does.
#[cfg(debug_assertions)]
pub fn kill_self() {
    low_level::raise(SIGKILL).ok();
}

/// Sleeps, but for a pause of nothing, which tokio's timer would turn into a whole millisecond.
async fn elapse(duration: Duration) {
    if !duration.is_zero() {
        tokio::time::sleep(duration).await;
    }
}
