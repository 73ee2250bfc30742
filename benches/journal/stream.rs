//! A live stream to a healthy file sink: the latency of its events from the portal to the file.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::arrivals::{Arrivals, MARK};
use crate::processes::Portal;

/// 100 events per second.
const INTERVAL: Duration = Duration::from_millis(10);

/// How often the file is read, which is also the error of a latency.
const LOOK: Duration = Duration::from_millis(1);

/// The longest wait for an event.
const PATIENCE: Duration = Duration::from_secs(120);

/// Records events for `length`, and returns the time that each took to reach the file.
pub(crate) fn stream(portal: &Portal, tail: &mut Tail, length: Duration) -> Vec<Duration> {
    let epoch = Instant::now();
    let count = u32::try_from(length.as_millis() / INTERVAL.as_millis()).unwrap();
    let mut arrivals = Arrivals::new(epoch);
    thread::scope(|scope| {
        scope.spawn(|| {
            for index in 0..count {
                thread::sleep((epoch + INTERVAL * index).saturating_duration_since(Instant::now()));
                let made = epoch.elapsed().as_micros();
                portal.ask("POST /sandbox/events", &format!(r#"{{"user":1,"data":{{"{MARK}":{made}}}}}"#));
            }
        });
        while arrivals.count() < count as usize {
            assert!(epoch.elapsed() < length + PATIENCE, "events are missing in the file");
            arrivals.note(&tail.read());
            thread::sleep(LOOK);
        }
    });
    arrivals.latencies_from(epoch)
}

/// The end of a growing file.
pub(crate) struct Tail {
    path: PathBuf,
    file: Option<File>,
    half: Vec<u8>,
}

impl Tail {
    pub(crate) fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), file: None, half: Vec::new() }
    }

    /// Reads and drops the next `count` lines.
    pub(crate) fn skip(&mut self, count: u32) {
        let started = Instant::now();
        let mut lines = 0;
        while lines < count as usize {
            assert!(started.elapsed() < PATIENCE, "{lines} of {count} lines are in the file");
            lines += self.read().lines().count();
            thread::sleep(LOOK);
        }
    }

    /// The new complete lines.
    fn read(&mut self) -> String {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
        }
        let Some(file) = &mut self.file else { return String::new() };
        file.read_to_end(&mut self.half).unwrap();
        let whole = self.half.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let rest = self.half.split_off(whole);
        String::from_utf8(std::mem::replace(&mut self.half, rest)).unwrap()
    }
}
