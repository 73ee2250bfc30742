//! The cost of an idle daemon.

use std::thread;
use std::time::Duration;

use crate::Extent;
use crate::daemon::{Daemon, until};
use crate::journey::ROOM;
use crate::processes::{EAGER, FILE, PROMPT, Portal, folder};

/// The work of a start is over after this time.
const SETTLING: Duration = Duration::from_secs(3);

/// One round: the share of a core.
pub(crate) struct Idle {
    pub empty_percent: f64,
    pub keeping_percent: f64,
    pub journal_mib: f64,
}

impl Idle {
    pub(crate) fn run(kept: u32, extent: Extent) -> Self {
        let (empty_percent, _) = percent(0, extent);
        let (keeping_percent, journal_mib) = percent(kept, extent);
        Self { empty_percent, keeping_percent, journal_mib }
    }
}

/// The processor use of a daemon at its default pace that keeps `kept` delivered events.
fn percent(kept: u32, extent: Extent) -> (f64, f64) {
    let (portal, folder) = (Portal::start(kept), folder());
    let sections = format!("[sinks.bench]\n{FILE}\n{ROOM}\nkeep = \"1d\"");
    let daemon = Daemon::start(folder.path(), &portal.url, &format!("{EAGER}\n{PROMPT}"), &sections);
    until("all is delivered and confirmed", || {
        let stats = portal.stats();
        let has_polled = stats["requests"]["im.v2.Event.get"].as_u64() > Some(1);
        has_polled && stats["users"]["1"]["confirmed"] == kept && daemon.delivered("bench") == kept
    });
    daemon.stop();
    let daemon = Daemon::start(folder.path(), &portal.url, "", &sections);
    thread::sleep(SETTLING);
    let (before, watched) = (daemon.usage().cpu_s, extent.stream);
    thread::sleep(watched);
    let cpu_s = daemon.usage().cpu_s - before;
    (cpu_s / watched.as_secs_f64() * 100.0, daemon.journal_mib())
}
