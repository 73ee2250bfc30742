//! The controlling terminal of this process, and whether a SIGHUP came because the terminal was closed.
//!
//! SIGHUP has two meanings: for a daemon, a request to reload; for a program on a terminal, the loss of the terminal. A
//! process that mistakes the second for the first stays behind unnoticed and continues to take events from the user's
//! queue. The kernel does not report the reason, because a shell also passes SIGHUP on with kill(2). So the rule is:
//! the terminal must be lost at about the same time.

use std::fs;
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use signal_hook::consts::SIGHUP;
use tokio_util::sync::CancellationToken;
use tracing::info;

/// A SIGHUP and the loss of the terminal within this time are one event: a shell signals its jobs before it exits, and
/// the kernel afterwards. A job that was meant to outlive its terminal (`disown`) can receive a later SIGHUP to reload.
const ONE_HANGUP: Duration = Duration::from_secs(3);

/// How often the terminal is checked.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Whether the terminal of this process is lost, and whether SIGHUP came.
pub(super) struct Terminal(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    lost_at: Option<Instant>,
    hangup_at: Option<Instant>,
}

impl Terminal {
    /// The controlling terminal of this process. `None` under a service manager, and also if SIGHUP was ignored at the
    /// start, which is how nohup(1) starts a program.
    pub(super) fn of_this_process() -> Option<Self> {
        let is_controlled = is_controlled(&fs::read_to_string("/proc/self/stat").ok()?)?;
        let is_ignored = ignores_hangup(&fs::read_to_string("/proc/self/status").ok()?)?;
        (is_controlled && !is_ignored).then(|| Self(Mutex::default()))
    }

    /// Records a SIGHUP; returns whether the terminal is known to be lost with it.
    pub(super) fn hang_up(&self) -> bool {
        self.look(|seen| seen.hangup_at = Some(Instant::now())).is_closed()
    }

    /// Cancels `stop` if the terminal is lost after a SIGHUP. Returns when the terminal is lost.
    pub(super) fn watch(&self, stop: &CancellationToken) {
        loop {
            let seen = self.look(|_| ());
            if seen.is_closed() {
                info!("the terminal was closed");
                stop.cancel();
            }
            if seen.lost_at.is_some() {
                return;
            }
            sleep(LOOK_INTERVAL);
        }
    }

    fn look(&self, note: impl FnOnce(&mut Seen)) -> Seen {
        let is_lost =
            || fs::read_to_string("/proc/self/stat").is_ok_and(|stat| is_controlled(&stat) == Some(false));
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.lost_at.is_none() && is_lost() {
            seen.lost_at = Some(Instant::now());
        }
        note(&mut seen);
        Seen { ..*seen }
    }
}

impl Seen {
    /// Whether the terminal was closed, and the process was not meant to outlive it.
    fn is_closed(&self) -> bool {
        let (Some(lost), Some(hangup)) = (self.lost_at, self.hangup_at) else { return false };
        lost.max(hangup) - lost.min(hangup) < ONE_HANGUP
    }
}

/// Whether `/proc/PID/stat` shows a controlling terminal (`tty_nr` in `proc_pid_stat(5)`).
fn is_controlled(stat: &str) -> Option<bool> {
    // The process name may contain any characters, and ends at the last parenthesis.
    let terminal = stat.rsplit_once(')')?.1.split_whitespace().nth(4)?;
    Some(terminal != "0")
}

/// Whether `/proc/PID/status` shows that SIGHUP is ignored.
fn ignores_hangup(status: &str) -> Option<bool> {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    let ignored = u64::from_str_radix(ignored.trim(), 16).ok()?;
    Some(ignored & (1 << (SIGHUP - 1)) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_what_it_says() {
        assert_eq!(is_controlled("12 (a) b) S 1 12 12 34816 12 4194560"), Some(true));
        assert_eq!(is_controlled("12 (b24relay) S 1 12 12 0 -1 4194560"), Some(false));
        assert_eq!(is_controlled("12"), None);
        assert_eq!(ignores_hangup("Name:\tb24relay\nSigIgn:\t0000000000001001\n"), Some(true));
        assert_eq!(ignores_hangup("Name:\tb24relay\nSigIgn:\t0000000000001000\n"), Some(false));
    }

    #[test]
    fn a_hangup_is_a_closed_terminal_only_while_that_is_news() {
        let now = Instant::now();
        let seen = |lost: Option<u64>, hangup: Option<u64>| {
            let at = |after: u64| now + Duration::from_secs(after);
            Seen { lost_at: lost.map(at), hangup_at: hangup.map(at) }.is_closed()
        };
        assert!(seen(Some(5), Some(5)) && seen(Some(5), Some(4)) && seen(Some(5), Some(6)));
        assert!(!seen(None, Some(5)) && !seen(Some(5), None), "a reload; a job that its shell let go of");
        assert!(!seen(Some(5), Some(60)) && !seen(Some(60), Some(5)));
    }
}
