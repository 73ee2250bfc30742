//! One seed's trial: a runtime whose time is virtual, a world, and whatever promise was broken in it.

use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::clocks;
use crate::count::Count;
use crate::life;
use crate::plan::Plan;
use crate::world::{Worlds, now_ms};

thread_local! {
    /// Of the first panic: a promise that is broken in a task ends others as well.
    static WORDS: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// What a trial came to.
pub struct Trial {
    pub count: Count,
    pub trace: Vec<String>,
    pub broken: Option<String>,
}

/// A promise that a seed has broken.
pub struct Broken {
    pub seed: u64,
    pub reason: String,
}

/// Tries `seed`; with `is_shown` everything is printed as it happens.
pub fn try_seed(seed: u64, is_shown: bool) -> Trial {
    // A crash is looked at between any two steps of the engine.
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
    // What is left of the last process lets go of the worlds.
    drop(runtime);
    let (mut count, mut trace) = (Count { jumps: clocks::seen(), ..Count::default() }, Vec::new());
    for shared in worlds.all() {
        let mut world = shared.lock();
        count += world.count;
        trace.append(&mut world.trace);
    }
    Trial { count, trace, broken }
}

/// Panics are kept, not printed: they are how a world ends.
pub fn hush() {
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

/// Has the engine's own log lines printed as well.
pub fn show_log() {
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG);
    log.with_timer(VirtualTime).with_ansi(false).with_target(false).with_writer(std::io::stdout).init();
}

struct VirtualTime;

impl FormatTime for VirtualTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{:>9.3}", now_ms() as f64 / 1000.0)
    }
}
