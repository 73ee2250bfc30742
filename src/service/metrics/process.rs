//! Facts from the operating system about this process, under their standard metric names.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// The process at one moment.
pub(crate) struct Process {
    /// Its start time, in Unix seconds.
    pub started_s: f64,
    /// Processor time, in seconds.
    pub cpu_s: f64,
    /// Resident memory, in bytes.
    pub resident: u64,
    /// Open file descriptors.
    pub open_fds: u64,
}

/// Clock ticks per second that the kernel shows to programs; the same on all Linux systems.
const TICKS_PER_S: f64 = 100.0;

/// The unit of `/proc/self/status`.
const KIBIBYTE: u64 = 1024;

/// Reads `/proc`; `None` if it does not exist.
pub(crate) fn read() -> Option<Process> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The process name may contain any characters, and ends at the last parenthesis.
    let fields: Vec<f64> = stat
        .rsplit_once(')')?
        .1
        .split_whitespace()
        .skip(1)
        .map(|field| field.parse().unwrap_or(0.0))
        .collect();
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(Process {
        started_s: started_s(*fields.get(18)?)?,
        cpu_s: (fields.get(10)? + fields.get(11)?) / TICKS_PER_S,
        resident: resident.split_whitespace().next()?.parse::<u64>().ok()? * KIBIBYTE,
        open_fds: std::fs::read_dir("/proc/self/fd").ok()?.count() as u64,
    })
}

/// The start time in Unix seconds, from `ticks` after the machine's start. Computed once, because the clock may be set.
fn started_s(ticks: f64) -> Option<f64> {
    static STARTED_S: OnceLock<f64> = OnceLock::new();
    if let Some(started_s) = STARTED_S.get() {
        return Some(*started_s);
    }
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let uptime_s: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
    Some(*STARTED_S.get_or_init(|| now_s - uptime_s + ticks / TICKS_PER_S))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_young() {
        let process = read().unwrap();
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        assert!(process.started_s <= now_s + 1.0 && process.started_s > now_s - 24.0 * 3600.0);
        assert!(process.resident > 1024 * 1024 && process.open_fds > 2 && process.cpu_s < 3600.0);
    }
}
