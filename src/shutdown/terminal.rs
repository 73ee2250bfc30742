//! The terminal that this process was started on, and whether a SIGHUP came because it was closed.
//!
//! SIGHUP means two things: to a daemon, that it is to reload; to a program on a terminal, that the terminal is gone.
//! A process that takes the second for the first stays behind without anybody who knows of it, and goes on to take a
//! user's events away. The kernel does not say which it was: a shell passes SIGHUP on with kill(2). So what counts is
//! whether the terminal is lost at the same time.

use std::fs;
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use signal_hook::consts::SIGHUP;
use tokio_util::sync::CancellationToken;
use tracing::info;

/// A SIGHUP and the loss of the terminal that come so close together are one event: a shell signals its jobs before
/// it ends, the kernel does so afterwards. Anybody who lets a job outlive its terminal (`disown`) may send it SIGHUP
/// later, for a reload.
const ONE_HANGUP: Duration = Duration::from_secs(3);

/// How often the terminal is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// See the top of this file.
pub struct Terminal(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    lost_at: Option<Instant>,
    hangup_at: Option<Instant>,
}

impl Terminal {
    /// The terminal that controls this process. There is none under a service manager, and none that matters where
    /// SIGHUP was ignored at the start: nohup(1) says so.
    pub fn of_this_process() -> Option<Self> {
        let is_controlled = is_controlled(&fs::read_to_string("/proc/self/stat").ok()?)?;
        let is_ignored = ignores_hangup(&fs::read_to_string("/proc/self/status").ok()?)?;
        (is_controlled && !is_ignored).then(|| Self(Mutex::default()))
    }

    /// SIGHUP has come: whether the terminal is known to be lost with it.
    pub fn hang_up(&self) -> bool {
        self.look(|seen| seen.hangup_at = Some(Instant::now())).is_closed()
    }

    /// Cancels `stop` when the terminal is lost after a SIGHUP came; returns as soon as it is lost.
    pub fn watch(&self, stop: &CancellationToken) {
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
    /// Whether the terminal was closed, and this process was not meant to outlive it.
    fn is_closed(&self) -> bool {
        let (Some(lost), Some(hangup)) = (self.lost_at, self.hangup_at) else { return false };
        lost.max(hangup) - lost.min(hangup) < ONE_HANGUP
    }
}

/// Whether `/proc/PID/stat` has a controlling terminal in it (`tty_nr` of `proc_pid_stat(5)`).
fn is_controlled(stat: &str) -> Option<bool> {
    // The name may hold anything, and ends at the last parenthesis.
    let terminal = stat.rsplit_once(')')?.1.split_whitespace().nth(4)?;
    Some(terminal != "0")
}

/// Whether `/proc/PID/status` says that SIGHUP is ignored.
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
