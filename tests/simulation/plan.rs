//! The random choices of a seed: the setup of the engine, and everything that will happen to it.

use std::time::Duration;

use b24relay::config::{BatchConfig, DeliveryConfig, Hold, OrderingConfig, ThroughputConfig};
use fastrand::Rng;

use crate::scripted::clocks;
use crate::scripted::events::{EventPlan, RestorePlan, draw_events, draw_some_restores};

/// The types of events; sinks filter by them.
pub(crate) const KINDS: [&str; 3] = ["ONIMV2MESSAGEADD", "ONIMV2MESSAGEUPDATE", "ONIMV2REACTIONCHANGE"];

/// The beginning of the portal's time, in Unix milliseconds.
pub(crate) const EPOCH_MS: i64 = 1_750_000_000_000;

const SECOND: u64 = 1000;

/// The sinks' names.
const NAMES: [&str; 5] = ["archive", "bulk", "crm", "desk", "echo"];

/// All choices of a seed.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub seed: u64,
    pub lag: Duration,
    pub limit: u16,
    pub idle: Duration,
    pub busy: Duration,
    pub delivery: DeliveryConfig,
    pub switches_mode: bool,
    pub sinks: Vec<SinkPlan>,
    /// The time at which faults end and no new events happen.
    pub quiet_ms: u64,
    pub events: Vec<EventPlan>,
    /// The restores of the portal to an older state.
    pub restores: Vec<RestorePlan>,
    /// The times at which this machine's clock jumps, and how far it is ahead from then on.
    pub jumps: Vec<(u64, i64)>,
    /// The times at which a foreign reader polls, and how much of the queue it takes, in percent.
    pub thefts: Vec<(u64, u64)>,
    pub portal: PortalPlan,
    pub disk: DiskPlan,
    /// The approximate length of a run.
    pub life_ms: u64,
    /// How often the configuration changes between two runs, in percent.
    pub changes: u64,
    /// The approximate time between two reloads within a run; `None` for no reloads.
    pub reload_ms: Option<u64>,
    /// Whether there is a second source at times.
    pub has_sales: bool,
    /// The setting `shutdown_grace`.
    pub grace: Duration,
}

/// The behaviour of the portal.
#[derive(Clone, Debug)]
pub(crate) struct PortalPlan {
    pub clock: ClockPlan,
    /// How far its clock is ahead of this machine's clock.
    pub ahead_ms: i64,
    /// How fast its clock is, in thousandths.
    pub drift: i64,
    pub latency_ms: u64,
    /// How many of a thousand calls are refused or lost.
    pub faults: u64,
    /// The times at which it refuses all calls.
    pub outages: Vec<(u64, u64)>,
}

/// The time in the portal's answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ClockPlan {
    Right,
    /// The time does not advance.
    Frozen,
    /// There is no time.
    Silent,
}

/// The behaviour of the disk.
#[derive(Clone, Debug)]
pub(crate) struct DiskPlan {
    pub latency_ms: u64,
    pub full: Vec<(u64, u64)>,
    /// The times at which every operation takes up to `slow_ms`.
    pub slow: Vec<(u64, u64)>,
    pub slow_ms: u64,
}

/// One sink.
#[derive(Clone, Debug)]
pub(crate) struct SinkPlan {
    pub name: &'static str,
    pub attempt_max: usize,
    pub kinds: Option<Vec<&'static str>>,
    pub max_age: Option<Duration>,
    pub starts_now: bool,
    pub latency_ms: u64,
    pub retry_max: Duration,
    /// Whether undelivered events are given up, but only after longer than any world lasts.
    pub gives_up: bool,
    pub troubles: Vec<Trouble>,
    /// It rejects every event whose id is a multiple of this; 0 for none.
    pub rejects: u64,
    /// Whether it is missing in some runs.
    pub comes_and_goes: bool,
    pub flow: ThroughputConfig,
}

/// A period in which a sink fails.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trouble {
    pub from_ms: u64,
    pub to_ms: u64,
    pub kind: TroubleKind,
    /// The share of failing attempts, in percent.
    pub share: u64,
}

/// The ways in which a sink fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TroubleKind {
    Transient,
    /// It fails and requests a pause.
    Overwhelmed,
    /// It accepts the events, but its answer is lost.
    Unheard,
    Held,
    /// It rejects any event, like a receiver in the middle of a deployment.
    Rejecting,
    Slow,
    /// It hangs until its timeout.
    Hanging,
    /// It is gone for the rest of the process.
    Closed,
}

impl Plan {
    /// The plan of `seed`.
    pub(crate) fn draw(seed: u64) -> Self {
        let mut dice = Rng::with_seed(seed);
        let dice = &mut dice;
        let quiet_ms = [10, 20, 40, 60, 120][dice.usize(..5)] * SECOND;
        let lag = Duration::from_millis([0, 200, 2000, 2000][dice.usize(..4)]);
        let has_odd_dates = one_in(dice, 8);
        let is_age_fit = !has_odd_dates;
        let late_ms = u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
        let sinks = SinkPlan::draw_all(dice, quiet_ms, is_age_fit);
        let mut restores = draw_some_restores(seed, quiet_ms, has_odd_dates);
        let mut plan = Self {
            seed,
            lag,
            limit: [1, 2, 3, 5, 10, 100][dice.usize(..6)],
            idle: Duration::from_millis([1000, 5000][dice.usize(..2)]),
            busy: Duration::from_millis([0, 0, 500, 2000][dice.usize(..4)]),
            delivery: draw_delivery(dice),
            switches_mode: one_in(dice, 2),
            sinks,
            quiet_ms,
            events: draw_events(dice, quiet_ms, late_ms, has_odd_dates, &mut restores),
            thefts: draw_thefts(dice, quiet_ms),
            portal: PortalPlan::draw(dice, quiet_ms),
            restores,
            jumps: Vec::new(),
            disk: DiskPlan::draw(dice, quiet_ms),
            life_ms: quiet_ms / dice.u64(1..=8),
            changes: [0, 30, 60][dice.usize(..3)],
            reload_ms: None,
            has_sales: false,
            grace: Duration::from_secs([0, 2, 30, 60][dice.usize(..4)]),
        };
        if one_in(dice, 3) {
            plan.reload_ms = Some(dice.u64(200..=plan.life_ms));
            plan.has_sales = dice.bool();
        }
        plan.jumps = clocks::draw_jumps(seed, quiet_ms, plan.portal.clock);
        plan.portal.drift = clocks::draw_drift(seed, has_odd_dates);
        plan.disk.slow_down(&mut Rng::with_seed(seed ^ 0x510D), quiet_ms);
        plan.spread_sinks();
        plan.go_down_for_restores();
        plan.block_a_sink();
        plan
    }

    /// In every second world with a restore, a sink is dead while the portal is down and blocks the polls, so the
    /// engine does not notice the downtime.
    fn block_a_sink(&mut self) {
        let Some(restore) = self.restores.first() else { return };
        if self.seed.is_multiple_of(2) {
            return;
        }
        let (from_ms, to_ms) = (restore.down_ms.saturating_sub(3000), restore.up_ms + 5000);
        self.sinks.iter_mut().for_each(|sink| sink.troubles.clear());
        self.sinks[0].troubles.push(Trouble { from_ms, to_ms, kind: TroubleKind::Transient, share: 100 });
        (self.delivery.hold, self.lag) = (Hold::Forever, Duration::ZERO);
        self.events.iter_mut().for_each(|event| event.visible_ms = event.born_ms);
        (self.reload_ms, self.has_sales, self.life_ms) = (None, false, self.quiet_ms * 2);
    }

    /// In one world of eight there are more sinks, and some of them are dead for most of the time.
    fn spread_sinks(&mut self) {
        let mut dice = Rng::with_seed(self.seed ^ 0x5B2E);
        if !one_in(&mut dice, 8) {
            return;
        }
        let has_odd_dates = self.events.iter().any(|event| event.date_error_ms != 0);
        let (count, quiet_ms) = (dice.usize(3..=NAMES.len()), self.quiet_ms);
        for (number, name) in NAMES.iter().enumerate().take(count).skip(self.sinks.len()) {
            self.sinks.push(SinkPlan::draw(&mut dice, name, number, quiet_ms, !has_odd_dates));
        }
        for sink in &mut self.sinks {
            if dice.bool() {
                continue;
            }
            let from_ms = dice.u64(0..=self.quiet_ms / 4);
            let to_ms = self.quiet_ms - dice.u64(0..=self.quiet_ms / 4);
            sink.troubles = vec![Trouble { from_ms, to_ms, kind: TroubleKind::Transient, share: 100 }];
        }
    }

    /// During a restore, the portal answers no calls. Foreign readers do not poll during that time.
    fn go_down_for_restores(&mut self) {
        self.portal.outages.extend(self.restores.iter().map(|restore| (restore.down_ms, restore.up_ms)));
        if !self.restores.is_empty() {
            self.thefts.clear();
        }
    }

    /// The plan of the second source's portal.
    pub(crate) fn draw_sales(&self) -> Self {
        let mut dice = Rng::with_seed(self.seed ^ 0x5A1E5);
        let late_ms = u64::try_from(self.lag.as_millis()).unwrap_or(u64::MAX);
        let mut restores = self.restores.clone();
        let mut events = draw_events(&mut dice, self.quiet_ms, late_ms, false, &mut restores);
        if restores.is_empty() {
            events.truncate(30);
        }
        let mut portal =
            PortalPlan { drift: self.portal.drift, ..PortalPlan::draw(&mut dice, self.quiet_ms) };
        if portal.clock == ClockPlan::Silent && !self.jumps.is_empty() {
            portal.clock = ClockPlan::Right;
        }
        let mut plan = Self { events, portal, restores, thefts: Vec::new(), ..self.clone() };
        plan.go_down_for_restores();
        plan
    }
}

fn draw_delivery(dice: &mut Rng) -> DeliveryConfig {
    let hold = match dice.u64(..3) {
        0 => Hold::Forever,
        1 => Hold::For(Duration::ZERO),
        _ => Hold::For(Duration::from_secs(dice.u64(1..60))),
    };
    let mut delivery = DeliveryConfig { hold, gap_events: dice.bool(), ..DeliveryConfig::default() };
    if one_in(dice, 3) {
        delivery.journal.max_size = dice.u64(300..3000);
    }
    if one_in(dice, 6) {
        delivery.journal.max_age = Duration::from_secs(dice.u64(5..30));
    }
    delivery.journal.keep = Duration::from_secs([0, 0, 10, 7200][dice.usize(..4)]);
    if one_in(dice, 5) {
        delivery.dead_letters.max_size = dice.u64(200..1000);
    }
    delivery
}

fn draw_thefts(dice: &mut Rng, quiet_ms: u64) -> Vec<(u64, u64)> {
    if !one_in(dice, 5) {
        return Vec::new();
    }
    let mut thefts: Vec<_> =
        (0..dice.u64(1..4)).map(|_| (dice.u64(0..quiet_ms), dice.u64(1..=100))).collect();
    thefts.sort_unstable();
    thefts
}

impl PortalPlan {
    fn draw(dice: &mut Rng, quiet_ms: u64) -> Self {
        let clock = match dice.u64(..10) {
            0 => ClockPlan::Frozen,
            1 => ClockPlan::Silent,
            _ => ClockPlan::Right,
        };
        let ahead_ms = [0, 0, 700, -1500, 7_200_000, -7_200_000][dice.usize(..6)];
        Self {
            clock,
            // Without a time in its answers, nothing can be known about the portal's clock.
            ahead_ms: if clock == ClockPlan::Silent { 0 } else { ahead_ms },
            drift: 0,
            latency_ms: [1, 20, 300, 2000][dice.usize(..4)],
            faults: [0, 0, 50, 200][dice.usize(..4)],
            outages: draw_spans(dice, quiet_ms, 8),
        }
    }
}

impl DiskPlan {
    fn draw(dice: &mut Rng, quiet_ms: u64) -> Self {
        let (latency_ms, full) = ([0, 1, 5, 40][dice.usize(..4)], draw_spans(dice, quiet_ms, 4));
        Self { latency_ms, full, slow: Vec::new(), slow_ms: 0 }
    }

    /// Slows the disk down in one world of six.
    fn slow_down(&mut self, dice: &mut Rng, quiet_ms: u64) {
        self.slow = draw_spans(dice, quiet_ms, 6);
        if !self.slow.is_empty() {
            self.slow_ms = [300, 2000, 8000][dice.usize(..3)];
        }
    }

    /// The longest time that any of its operations can take.
    pub(crate) fn longest_ms(&self) -> u64 {
        self.latency_ms.max(self.slow_ms)
    }
}

impl SinkPlan {
    fn draw_all(dice: &mut Rng, quiet_ms: u64, is_age_fit: bool) -> Vec<Self> {
        let count = dice.usize(1..=3);
        (0..count).map(|number| Self::draw(dice, NAMES[number], number, quiet_ms, is_age_fit)).collect()
    }

    fn draw(dice: &mut Rng, name: &'static str, number: usize, quiet_ms: u64, is_age_fit: bool) -> Self {
        let attempt_max = [1, 1, 7, 100, 1000][dice.usize(..5)];
        Self {
            name,
            attempt_max,
            kinds: one_in(dice, 4).then(|| KINDS[..dice.usize(1..3)].to_vec()),
            max_age: (is_age_fit && one_in(dice, 6)).then(|| Duration::from_secs(dice.u64(5..60))),
            starts_now: is_age_fit && one_in(dice, 6),
            latency_ms: [0, 1, 10, 50, 400][dice.usize(..5)],
            retry_max: Duration::from_secs([1, 10, 60][dice.usize(..3)]),
            gives_up: number == 1,
            troubles: draw_troubles(dice, quiet_ms),
            rejects: if attempt_max == 1 && one_in(dice, 3) { dice.u64(2..20) } else { 0 },
            comes_and_goes: number > 0 && one_in(dice, 3),
            flow: draw_flow(dice, attempt_max),
        }
    }

    /// The limit of events in flight.
    pub(crate) fn in_flight_max(&self) -> usize {
        self.attempt_max * usize::from(self.flow.concurrency)
    }
}

/// Draws delivery settings: strict like those of a file, or like those of a webhook.
pub(crate) fn draw_flow(dice: &mut Rng, attempt_max: usize) -> ThroughputConfig {
    if dice.bool() {
        return ThroughputConfig::STRICT;
    }
    let ordering = [OrderingConfig::Strict, OrderingConfig::Chat, OrderingConfig::None][dice.usize(..3)];
    let batch = BatchConfig {
        events: u16::try_from(attempt_max).expect("a small number"),
        bytes: [100, 1 << 20][dice.usize(..2)],
        wait: Duration::from_millis([0, 700][dice.usize(..2)]),
    };
    ThroughputConfig {
        ordering,
        concurrency: if ordering == OrderingConfig::Strict { 1 } else { dice.u16(1..=8) },
        batch: (attempt_max > 1).then_some(batch),
        breaker_failures: dice.u16(1..=6),
        hold_after_rejections: ThroughputConfig::STRICT.hold_after_rejections,
        interval: one_in(dice, 6).then(|| Duration::from_millis(20)),
    }
}

fn draw_troubles(dice: &mut Rng, quiet_ms: u64) -> Vec<Trouble> {
    let spans = if one_in(dice, 3) { Vec::new() } else { draw_spans(dice, quiet_ms, 1) };
    let mut troubles = Vec::new();
    for (from_ms, to_ms) in spans {
        let kind = match dice.u64(..100) {
            0..35 => TroubleKind::Transient,
            35..45 => TroubleKind::Overwhelmed,
            45..60 => TroubleKind::Unheard,
            60..70 => TroubleKind::Held,
            70..80 => TroubleKind::Rejecting,
            80..90 => TroubleKind::Slow,
            90..98 => TroubleKind::Hanging,
            _ => TroubleKind::Closed,
        };
        troubles.push(Trouble { from_ms, to_ms, kind, share: [5, 30, 100][dice.usize(..3)] });
    }
    troubles
}

/// Draws up to three periods, for one seed in `rarity`.
fn draw_spans(dice: &mut Rng, quiet_ms: u64, rarity: u64) -> Vec<(u64, u64)> {
    if !one_in(dice, rarity) {
        return Vec::new();
    }
    let spans = (0..dice.u64(1..=3)).map(|_| {
        let from_ms = dice.u64(0..quiet_ms);
        (from_ms, (from_ms + dice.u64(0..quiet_ms / 2)).min(quiet_ms))
    });
    spans.collect()
}

/// True with a probability of one in `rarity`.
pub(crate) fn one_in(dice: &mut Rng, rarity: u64) -> bool {
    dice.u64(..rarity) == 0
}
