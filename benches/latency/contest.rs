//! One queue twice: one copy for the relay, one for the fixed poller.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use crate::portal::{Asked, Portal};

use crate::arrivals::Arrivals;
use crate::poller;
use crate::relay::Relay;
use crate::workload::Workload;

/// How long the last events may take. Later events count as lost.
const PATIENCE: Duration = Duration::from_secs(40);

/// The time before the measurement. A relay that finds its queue empty polls again after 5 seconds and then adjusts its
/// pace.
pub(crate) const WARM_UP: Duration = Duration::from_secs(10);

/// The limit of every cloud plan except the largest (PORTAL.md section 7).
pub(crate) const BURST: u32 = 50;
pub(crate) const PER_SECOND: u32 = 2;

/// Both contenders, started.
pub(crate) struct Contest {
    epoch: Instant,
    relays: Portal,
    fixeds: Portal,
    relay: Relay,
}

/// The result of one reader.
#[derive(Default)]
pub(crate) struct Side {
    pub latencies: Vec<Duration>,
    /// How many events did not arrive.
    pub lost: usize,
    pub asked: Asked,
    /// The observed time, summed over all queues.
    pub watched: Duration,
}

/// The results of both readers.
#[derive(Default)]
pub(crate) struct Outcome {
    pub relay: Side,
    pub fixed: Side,
}

impl Contest {
    /// Starts the portals and the relay. The relay has polled once when this returns.
    pub(crate) async fn prepare() -> Self {
        let epoch = Instant::now();
        let relays = Portal::start(1, BURST, PER_SECOND, epoch).await;
        let fixeds = Portal::start(1, BURST, PER_SECOND, epoch).await;
        let relay = Relay::start(&format!("[sources.bench]\nwebhook_url = \"{}\"", relays.webhook_url(1)));
        relays.polled(1).await;
        Self { epoch, relays, fixeds, relay }
    }

    /// Gives both the events of `schedule`, and measures those that are made within `length` of the warm-up's end.
    /// Returns when all have arrived.
    pub(crate) async fn run(&self, schedule: &[Duration], length: Duration) -> Outcome {
        let [ours, theirs] = [0; 2].map(|_| RefCell::new(Arrivals::new(self.epoch)));
        let webhook_url = self.fixeds.webhook_url(1);
        let measured_from = Instant::now() + WARM_UP;
        let asked = tokio::select! {
            never = self.relay.watch_all(&ours) => match never {},
            never = poller::run(&webhook_url, &theirs) => match never {},
            asked = async {
                let asked = self.play(schedule, length).await;
                until(|| ours.borrow().count().min(theirs.borrow().count()) >= schedule.len()).await;
                asked
            } => asked,
        };
        let side = |arrivals: RefCell<Arrivals>, asked| {
            let arrivals = arrivals.into_inner();
            let lost = schedule.len().saturating_sub(arrivals.count());
            Side { latencies: arrivals.latencies_from(measured_from), lost, asked, watched: length }
        };
        Outcome { relay: side(ours, asked[0]), fixed: side(theirs, asked[1]) }
    }

    /// Makes the events, and returns the requests that the portals received within `length` of the warm-up's end.
    async fn play(&self, schedule: &[Duration], length: Duration) -> [Asked; 2] {
        let portals = [&self.relays, &self.fixeds];
        let start = tokio::time::Instant::now();
        let look = async |after| {
            tokio::time::sleep_until(start + after).await;
            portals.map(Portal::asked)
        };
        let making = async {
            for moment in schedule {
                tokio::time::sleep_until(start + *moment).await;
                for portal in portals {
                    portal.record(1);
                }
            }
        };
        let (before, after, ()) = tokio::join!(look(WARM_UP), look(WARM_UP + length), making);
        [after[0].since(before[0]), after[1].since(before[1])]
    }
}

/// Waits for `is_so`, with a time limit.
pub(crate) async fn until(is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() && start.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Outcome {
    /// The sum of all `outcomes` of `workload`.
    pub(crate) fn of(workload: Workload, outcomes: &[(Workload, Self)]) -> Self {
        let mut sum = Self::default();
        for (_, outcome) in outcomes.iter().filter(|(kind, _)| *kind == workload) {
            sum.relay.add(&outcome.relay);
            sum.fixed.add(&outcome.fixed);
        }
        sum
    }
}

impl Side {
    fn add(&mut self, other: &Self) {
        self.latencies.extend(&other.latencies);
        self.lost += other.lost;
        self.asked = self.asked.and(other.asked);
        self.watched += other.watched;
    }
}
