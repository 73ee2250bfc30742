//! Turns signals into values that waiting code can check. No operation is interrupted (I7).

mod terminal; // was the terminal closed?

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

/// Signals within this time count as one: timeout(1) and shells signal a process and then its group.
const ONE_STOP: Duration = Duration::from_millis(500);

/// The reason why a [`Signals::pause`] ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wake {
    /// The time is over.
    Elapsed,
    /// SIGHUP: check again now.
    Nudged,
    /// A stop was requested.
    Stopping,
}

/// The stop token and the SIGHUP count, passed to all code that waits.
///
/// SIGTERM and SIGINT request a drain; a second one exits immediately with 128+n. SIGHUP reopens files, ends every
/// retry delay early, so that a fixed problem is noticed immediately, and reloads the configuration. A SIGHUP because
/// the terminal was closed requests a drain, too.
#[derive(Clone, Debug)]
pub struct Signals {
    /// Cancelled by the first SIGTERM or SIGINT.
    pub stop: CancellationToken,
    /// Cancelled after `stop` if the process must wait only for work that has already begun.
    pub hurry: CancellationToken,
    nudges: Arc<Nudges>,
}

/// The number of SIGHUPs, and the tasks that wait for one. They wake in the order in which they began to wait.
#[derive(Default, Debug)]
struct Nudges {
    count: AtomicU64,
    told: Notify,
}

impl Signals {
    /// Signals that only their owner can trigger.
    pub fn silent() -> Self {
        let (stop, hurry) = (CancellationToken::new(), CancellationToken::new());
        Self { stop, hurry, nudges: Arc::default() }
    }

    /// Handles the signals of the process in a thread.
    ///
    /// # Errors
    /// When the operating system refuses a handler or the thread.
    pub fn install() -> io::Result<Self> {
        // Must run before SIGHUP gets a handler, because it checks whether SIGHUP was ignored.
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

    /// Does the same as SIGHUP.
    pub fn nudge(&self) {
        self.nudges.count.fetch_add(1, Ordering::SeqCst);
        self.nudges.told.notify_waiters();
    }

    /// The same signals for a part of the process that can be stopped separately.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { stop: self.stop.child_token(), hurry: self.hurry.child_token(), ..self.clone() }
    }

    /// Waits until there are more than `seen` SIGHUPs.
    pub async fn nudged(&self, seen: u64) {
        loop {
            // Register before the check: a later SIGHUP then wakes this task.
            let told = self.nudges.told.notified();
            tokio::pin!(told);
            told.as_mut().enable();
            if self.nudge_count() != seen {
                return;
            }
            told.await;
        }
    }

    /// How many SIGHUPs have arrived. A file that was opened at a lower count must be reopened.
    pub fn nudge_count(&self) -> u64 {
        self.nudges.count.load(Ordering::SeqCst)
    }

    /// Waits until `duration` is over, a stop is requested, or there are more than `seen` SIGHUPs. `seen` is the count
    /// from before the work that the caller now waits to repeat.
    pub async fn pause(&self, duration: Duration, seen: u64) -> Wake {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Wake::Stopping,
            () = self.nudged(seen) => Wake::Nudged,
            () = elapse(duration) => Wake::Elapsed,
        }
    }
}

/// Ends this process like `kill -9`.
#[cfg(debug_assertions)]
pub fn kill_self() {
    low_level::raise(SIGKILL).ok();
}

/// Sleeps, but returns immediately for a zero duration, which tokio's timer would round up to a millisecond.
async fn elapse(duration: Duration) {
    if !duration.is_zero() {
        tokio::time::sleep(duration).await;
    }
}
