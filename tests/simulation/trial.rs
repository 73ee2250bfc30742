//! One trial of a seed: a runtime with virtual time, a world, and the violated guarantee if there is one.

use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::checker::count::Count;
use crate::life;
use crate::plan::Plan;
use crate::scripted::clocks;
use crate::world::{Worlds, now_ms};

thread_local! {
    /// The message of the first panic, because a violation in one task causes panics in others.
    static WORDS: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The result of a trial.
pub(crate) struct Trial {
    pub count: Count,
    pub trace: Vec<String>,
    pub broken: Option<String>,
}

/// A guarantee that a seed has violated.
pub(crate) struct Broken {
    pub seed: u64,
    pub reason: String,
}

/// Tries `seed`; with `is_shown` prints all events as they happen.
pub(crate) fn try_seed(seed: u64, is_shown: bool) -> Trial {
    // The crash is checked between any two steps of the engine.
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).event_interval(1).build();
    let runtime = runtime.expect("a runtime");
    let plan = Plan::draw(seed);
    if is_shown {
        println!("{plan:#?}");
    }
    WORDS.take();
    let worlds = runtime.block_on(async { Worlds::begin(plan, is_shown) });
    let course = catch_unwind(AssertUnwindSafe(|| runtime.block_on(life::run(&worlds))));
    let broken = course.err().map(|_| WORDS.take().unwrap_or_default());
    // The remaining tasks of the last process drop their references to the worlds.
    drop(runtime);
    let (mut count, mut trace) = (Count { jumps: clocks::seen(), ..Count::default() }, Vec::new());
    for shared in worlds.all() {
        let mut world = shared.lock();
        count += world.count;
        trace.append(&mut world.trace);
    }
    Trial { count, trace, broken }
}

/// Records panics instead of printing them, because a violation is a panic.
pub(crate) fn hush() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let payload = panic.payload();
        let words =
            payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
        let words = words.unwrap_or("a panic without words");
        WORDS.with_borrow_mut(|first| {
            first.get_or_insert_with(|| format!("{words} ({place})"));
        });
    }));
}

/// Prints the engine's own log lines, too.
pub(crate) fn show_log() {
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG);
    log.with_timer(VirtualTime).with_ansi(false).with_target(false).with_writer(std::io::stdout).init();
}

struct VirtualTime;

impl FormatTime for VirtualTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{:>9.3}", now_ms() as f64 / 1000.0)
    }
}
