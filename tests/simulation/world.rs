//! The worlds of one seed, one for each source: their time, their random numbers, the past events, and the expected
//! state of the engine. Time, disk and sinks are the same in all of them.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use b24relay::config::SinkConfig;
use b24relay::store::Store;
use fastrand::Rng;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::checker::calls::Calls;
use crate::checker::count::Count;
use crate::checker::ledger::Ledgers;
use crate::plan::Plan;
use crate::scripted::clocks;
use crate::scripted::queue::Queue;
use crate::setting::owner;

thread_local! {
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
    static DISK: RefCell<Option<(Worlds, Rng)>> = const { RefCell::new(None) };
}

/// The names of the sources: one that is always configured, and one that is configured at times.
pub(crate) const SOURCES: [&str; 2] = ["support", "sales"];

/// All worlds, in the order of [`SOURCES`].
#[derive(Clone)]
pub(crate) struct Worlds(Arc<[Shared]>);

/// A world, shared by the portal, the sinks and the disk.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<World>>);

/// The world of one source.
pub(crate) struct World {
    pub source: &'static str,
    /// The user of the queue.
    pub owner: u64,
    pub plan: Plan,
    pub dice: Rng,
    pub queue: Queue,
    pub ledgers: Ledgers,
    pub count: Count,
    pub store: Store,
    pub trace: Vec<String>,
    /// Whether events are also printed.
    pub is_shown: bool,
    /// The time until which the state file is busy with its last operation, if it is slow.
    pub writes_until_ms: u64,
    /// The time of the last failure of the disk.
    pub disk_failed_ms: Option<u64>,
    /// How many steps remain until the current run crashes.
    pub fuse: Option<u64>,
    pub crash: CancellationToken,
    pub calls: Calls,
    /// The number of the current or last turn.
    pub life: u64,
    /// Whether a reload affects the source, which has not restarted since.
    pub must_begin: bool,
    /// The settings of the sinks in the current turn.
    pub sinks: Vec<SinkConfig>,
    /// Whether the engine reads the queue.
    pub is_read: bool,
}

impl Worlds {
    /// Creates the worlds of `plan` at their beginning. They have their own clock and disk in this thread.
    pub(crate) fn begin(plan: Plan, is_shown: bool) -> Self {
        BEGAN.set(Some(Instant::now()));
        DISK.set(None);
        clocks::begin(&plan.jumps);
        b24relay::relay::simulation::simulate_clock(clocks::wall_ms);
        b24relay::relay::simulation::simulate_blocking();
        fastrand::seed(plan.seed);
        let store = Store::simulated(disk).expect("a state in memory");
        let disk_dice = Rng::with_seed(plan.seed ^ 0xD15C);
        let sales = plan.has_sales.then(|| plan.draw_sales());
        let plans = [Some(plan), sales].into_iter().flatten();
        let worlds = plans.enumerate().map(|(number, plan)| {
            Shared(Arc::new(Mutex::new(World::begin(number, plan, store.clone(), is_shown))))
        });
        let worlds = Self(worlds.collect());
        DISK.set(Some((worlds.clone(), disk_dice)));
        worlds
    }

    /// The world of the source that is always configured.
    pub(crate) fn first(&self) -> &Shared {
        &self.0[0]
    }

    /// The world of `source`.
    pub(crate) fn of(&self, source: &str) -> &Shared {
        let number = SOURCES.iter().position(|name| *name == source).expect("a source of ours");
        &self.0[number]
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Shared> {
        self.0.iter()
    }
}

impl Shared {
    /// Locks the world for a moment. Code must not wait while it holds the lock.
    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    fn begin(number: usize, plan: Plan, store: Store, is_shown: bool) -> Self {
        Self {
            source: SOURCES[number],
            owner: owner(number),
            dice: Rng::with_seed(plan.seed ^ 0xD1CE ^ ((number as u64) << 32)),
            queue: Queue::new(&plan),
            ledgers: Ledgers::default(),
            count: Count::default(),
            store,
            trace: Vec::new(),
            is_shown,
            writes_until_ms: 0,
            disk_failed_ms: None,
            fuse: None,
            crash: CancellationToken::new(),
            calls: Calls::default(),
            life: 0,
            must_begin: false,
            sinks: Vec::new(),
            is_read: false,
            plan,
        }
    }

    /// Writes an event to the trace.
    pub(crate) fn tell(&mut self, what: impl Display) {
        let line = format!("{:>9.3} {}: {what}", now_ms() as f64 / 1000.0, self.source);
        if self.is_shown {
            println!("{line}");
        }
        self.trace.push(line);
    }

    /// Whether the faults have ended.
    pub(crate) fn is_quiet(&self) -> bool {
        now_ms() >= self.plan.quiet_ms
    }

    /// A random delay of up to `max_ms`.
    pub(crate) fn delay(&mut self, max_ms: u64) -> Duration {
        let max_ms = if self.is_quiet() { max_ms.min(20) } else { max_ms };
        Duration::from_millis(self.dice.u64(0..=max_ms))
    }

    /// Counts a step; the crash may be due.
    pub(crate) fn step(&mut self) {
        if let Some(fuse) = &mut self.fuse {
            *fuse = fuse.saturating_sub(1);
            if *fuse == 0 {
                self.crash.cancel();
            }
        }
    }
}

/// Lets time pass; returns immediately for a zero duration.
pub(crate) async fn pass(duration: Duration) {
    if !duration.is_zero() {
        tokio::time::sleep(duration).await;
    }
}

/// The time since the beginning of the world.
pub(crate) fn now_ms() -> u64 {
    let began = BEGAN.get().expect("a world has begun");
    u64::try_from(began.elapsed().as_millis()).unwrap()
}

/// How long the state file takes, or why it fails.
fn disk() -> Result<Duration, String> {
    DISK.with_borrow_mut(|disk| {
        let Some((worlds, dice)) = disk else { return Ok(Duration::ZERO) };
        let now = now_ms();
        let is_full =
            worlds.first().lock().plan.disk.full.iter().any(|(from, to)| (*from..*to).contains(&now));
        if is_full {
            worlds.all().for_each(|shared| shared.lock().disk_failed_ms = Some(now));
        }
        let mut world = worlds.first().lock();
        if is_full {
            world.count.disk_failures += 1;
            world.tell("disk: full");
            return Err("the disk is full".to_owned());
        }
        let is_slow = world.plan.disk.slow.iter().any(|(from, to)| (*from..*to).contains(&now));
        let latency_ms = if is_slow {
            world.count.slow_writes += 1;
            dice.u64(0..=world.plan.disk.slow_ms)
        } else {
            dice.u64(0..=world.plan.disk.latency_ms)
        };
        if is_slow {
            world.writes_until_ms = now + latency_ms;
        }
        world.tell(format_args!("disk: {latency_ms} ms"));
        world.step();
        Ok(Duration::from_millis(latency_ms))
    })
}
