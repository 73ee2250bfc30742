//! Measures one process from its start to its end: time, processor time and peak memory, all from Linux's `/proc`.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// How often the peak is read, because it is not available after the end of the process.
const LOOK: Duration = Duration::from_millis(2);

/// The unit of processor time in `/proc` on all current Linux systems (`man 3 sysconf`, `_SC_CLK_TCK`).
const TICKS_PER_S: f64 = 100.0;

/// The resources that a process used.
pub(crate) struct Usage {
    /// From its start to its end.
    pub elapsed: Duration,
    /// User and system time of all its threads.
    pub cpu_s: f64,
    /// `VmHWM`.
    pub peak_mib: f64,
}

impl Usage {
    /// How many of `events` it processed per second.
    pub(crate) fn events_per_s(&self, events: u32) -> f64 {
        f64::from(events) / self.elapsed.as_secs_f64()
    }

    /// The processor time for each of `events`.
    pub(crate) fn cpu_us_per_event(&self, events: u32) -> f64 {
        self.cpu_s * 1e6 / f64::from(events)
    }
}

/// Runs `command` to its end.
pub(crate) fn run(mut command: Command) -> Usage {
    let started = Instant::now();
    let mut child = command.stdin(Stdio::null()).spawn().unwrap();
    let mut peak_mib = 0.0;
    while let Some(peak) = peak_of(child.id()) {
        peak_mib = peak;
        thread::sleep(LOOK);
    }
    // Its memory is already freed. Wait for the last of its threads, but keep the entry in `/proc`, which is read next.
    waitid(WaitId::Pid(Pid::from_child(&child)), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
    let usage = Usage { elapsed: started.elapsed(), cpu_s: cpu_of(child.id()), peak_mib };
    let status = child.wait().unwrap();
    assert!(status.success(), "{command:?}: {status}");
    usage
}

/// `VmHWM` of a process so far; `None` if its memory is already freed.
pub(crate) fn peak_of(id: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = peak.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    Some(kib / 1024.0)
}

/// User and system time of a process so far, in seconds.
pub(crate) fn cpu_of(id: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    // The process name before them may contain spaces; `utime` and `stime` are fields 14 and 15, `state` is 3.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks: f64 = fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap()).sum();
    ticks / TICKS_PER_S
}
