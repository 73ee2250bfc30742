//! The world of one seed: its time, its dice, what has happened in it, and what is expected of the engine.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use b24relay::store::Store;
use fastrand::Rng;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::calls::Calls;
use crate::count::Count;
use crate::ledger::Ledgers;
use crate::plan::{EPOCH_MS, Plan};
use crate::queue::Queue;

thread_local! {
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
    static DISK: RefCell<Option<(Shared, Rng)>> = const { RefCell::new(None) };
}

/// The name of the one source.
pub const SOURCE: &str = "support";

/// The world, as the portal, the sinks and the disk share it.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<World>>);

/// See the top of this file.
pub struct World {
    pub plan: Plan,
    pub dice: Rng,
    pub queue: Queue,
    pub ledgers: Ledgers,
    pub count: Count,
    pub store: Store,
    pub trace: Vec<String>,
    /// What happens is printed as well.
    pub is_shown: bool,
    /// When the disk refused last.
    pub disk_failed_ms: Option<u64>,
    /// After so many more steps of the world the running life crashes.
    pub fuse: Option<u64>,
    pub crash: CancellationToken,
    pub calls: Calls,
}

impl Shared {
    /// The world that `plan` describes, at its beginning. This thread's clock and disk are its own.
    pub fn begin(plan: Plan) -> Self {
        BEGAN.set(Some(Instant::now()));
        DISK.set(None);
        b24relay::relay::simulation::simulate_clock(wall_ms);
        fastrand::seed(plan.seed);
        let store = Store::simulated(disk).expect("a state in memory");
        let (dice, disk_dice) = (Rng::with_seed(plan.seed ^ 0xD1CE), Rng::with_seed(plan.seed ^ 0xD15C));
        let shared = Self(Arc::new(Mutex::new(World {
            dice,
            queue: Queue::new(&plan),
            ledgers: Ledgers::default(),
            count: Count::default(),
            store,
            trace: Vec::new(),
            is_shown: false,
            disk_failed_ms: None,
            fuse: None,
            crash: CancellationToken::new(),
            calls: Calls::default(),
            plan,
        })));
        DISK.set(Some((shared.clone(), disk_dice)));
        shared
    }

    /// The world, for a moment without any waiting in it.
    pub fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    /// Writes down what happens.
    pub fn tell(&mut self, what: impl Display) {
        let line = format!("{:>9.3} {what}", now_ms() as f64 / 1000.0);
        if self.is_shown {
            println!("{line}");
        }
        self.trace.push(line);
    }

    /// Whether faults are over.
    pub fn is_quiet(&self) -> bool {
        now_ms() >= self.plan.quiet_ms
    }

    /// Between nothing and `max_ms`.
    pub fn delay(&mut self, max_ms: u64) -> Duration {
        let max_ms = if self.is_quiet() { max_ms.min(20) } else { max_ms };
        Duration::from_millis(self.dice.u64(0..=max_ms))
    }

    /// Something happened; the crash may be due.
    pub fn step(&mut self) {
        if let Some(fuse) = &mut self.fuse {
            *fuse = fuse.saturating_sub(1);
            if *fuse == 0 {
                self.crash.cancel();
            }
        }
    }
}

/// Lets time pass; none for nothing.
pub async fn pass(duration: Duration) {
    if !duration.is_zero() {
        tokio::time::sleep(duration).await;
    }
}

/// How long the world has been going.
pub fn now_ms() -> u64 {
    let began = BEGAN.get().expect("a world has begun");
    u64::try_from(began.elapsed().as_millis()).unwrap()
}

/// This machine's clock.
fn wall_ms() -> i64 {
    EPOCH_MS + i64::try_from(now_ms()).unwrap()
}

/// How long the state file takes, or why it fails.
fn disk() -> Result<Duration, String> {
    DISK.with_borrow_mut(|disk| {
        let Some((shared, dice)) = disk else { return Ok(Duration::ZERO) };
        let mut world = shared.lock();
        let now = now_ms();
        if world.plan.disk.full.iter().any(|(from, to)| (*from..*to).contains(&now)) {
            world.disk_failed_ms = Some(now);
            world.count.disk_failures += 1;
            world.tell("disk: full");
            return Err("the disk is full".to_owned());
        }
        let latency_ms = dice.u64(0..=world.plan.disk.latency_ms);
        world.tell(format_args!("disk: {latency_ms} ms"));
        world.step();
        Ok(Duration::from_millis(latency_ms))
    })
}
