//! The lives of one seed: starts, crashes, stops and drains, and what an operator does between them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use b24relay::config::{
    AccessConfig, DeliveryMode, KindConfig, PollConfig, RetryConfig, SinkConfig, SourceConfig, StartConfig,
    StdoutConfig, StdoutFormat, TargetConfig, WebhookUrl,
};
use b24relay::event::{Offset, Queue};
use b24relay::relay::simulation::Life;
use b24relay::relay::{Ending, RelayError, Until};
use b24relay::shutdown::Signals;
use b24relay::sink::Sink;
use b24relay::store::StoreError;
use tokio::time::{sleep, timeout};

use crate::ledger::Ledger;
use crate::plan::{Plan, SinkPlan, one_in};
use crate::portal::ScriptedPortal;
use crate::queue::Fate;
use crate::sinks::ScriptedSink;
use crate::world::{SOURCE, Shared, World, now_ms};

/// How long everything may take to come to rest once faults are over.
const REST_MAX: Duration = Duration::from_secs(3600);

/// How long a drain may take while nothing fails.
const DRAIN_MAX: Duration = Duration::from_secs(60);

/// How a life is to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Exit {
    Crash,
    Stop,
    Drain,
}

/// The course of one seed.
pub struct Course {
    shared: Shared,
    queue: Arc<Queue>,
    life: u64,
    mode: DeliveryMode,
}

/// Lets the world of `plan` take its course, and returns what is left of it.
pub async fn run(shared: &Shared) {
    let mode = shared.lock().plan.delivery.mode;
    let queue = Arc::new(Queue::new(SOURCE, "portal.example/user/1"));
    let mut course = Course { shared: shared.clone(), queue, life: 0, mode };
    while !shared.lock().is_quiet() {
        course.intervene().await;
        course.live().await;
        let pause_ms = shared.lock().dice.u64(0..3000);
        sleep(Duration::from_millis(pause_ms)).await;
    }
    Box::pin(course.rest()).await;
}

impl Course {
    /// What the operator does between two lives.
    async fn intervene(&mut self) {
        let (switches, sets_offset) = {
            let mut world = self.shared.lock();
            let world = &mut *world;
            (
                self.life > 0 && world.plan.switches_mode && world.dice.bool(),
                self.life > 0 && world.plan.changes > 0 && one_in(&mut world.dice, 40),
            )
        };
        if switches {
            self.shared.lock().count.mode_switches += 1;
            self.mode = match self.mode {
                DeliveryMode::Direct => DeliveryMode::Journal,
                DeliveryMode::Journal => DeliveryMode::Direct,
            };
        }
        if sets_offset {
            self.set_offset().await;
        }
    }

    async fn set_offset(&self) {
        let (offset, sinks) = {
            let mut world = self.shared.lock();
            world.catch_up(None);
            // No life has got so far that the state knows of the source.
            if world.examine().lanes.is_empty() {
                return;
            }
            let seen = world.queue.rows().filter(|row| row.fate != Fate::Unborn);
            let ids: Vec<u64> = seen.map(|row| row.plan.id).collect();
            let Some(last) = ids.len().checked_sub(1) else { return };
            let id = ids[world.dice.usize(0..=last)];
            (id, world.ledgers.sinks.keys().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        };
        let store = self.shared.lock().store.clone();
        let at = Offset::try_new(offset).unwrap();
        while store.set_offset(SOURCE, sinks.clone(), at).await.is_err() {
            sleep(Duration::from_secs(1)).await;
        }
        self.shared.lock().offset_was_set(offset);
    }

    /// Which sinks the next life has; the operator may have to forget the others.
    async fn choose_sinks(&self) -> Vec<SinkPlan> {
        let (chosen, forgotten) = {
            let mut world = self.shared.lock();
            let world = &mut *world;
            let mut chosen = Vec::new();
            let mut forgotten = Vec::new();
            for sink in &world.plan.sinks {
                let ledger = world.ledgers.sinks.get(sink.name);
                let was_there = ledger.is_some_and(|ledger| ledger.is_configured);
                let changes = sink.comes_and_goes && world.dice.u64(..100) < world.plan.changes;
                if was_there != changes || !sink.comes_and_goes {
                    chosen.push(sink.clone());
                } else if was_there {
                    world.count.sinks_removed += 1;
                    if world.dice.bool() {
                        forgotten.push(sink.name);
                    }
                }
            }
            (chosen, forgotten)
        };
        for sink in forgotten {
            self.forget(sink).await;
        }
        chosen
    }

    async fn forget(&self, sink: &'static str) {
        let store = self.shared.lock().store.clone();
        while store.forget_sink(sink).await.is_err() {
            sleep(Duration::from_secs(1)).await;
        }
        let mut world = self.shared.lock();
        world.tell(format_args!("operator: forgets {sink}"));
        world.count.sinks_forgotten += 1;
        world.ledgers.sinks.remove(sink);
        world.ledgers.last = None;
    }

    async fn live(&mut self) {
        let sinks = self.choose_sinks().await;
        let exit = {
            let mut world = self.shared.lock();
            match world.dice.u64(..10) {
                0..6 => Exit::Crash,
                6..8 => Exit::Stop,
                _ => Exit::Drain,
            }
        };
        let until = if exit == Exit::Drain { Until::Drained } else { Until::Stopped };
        let signals = Signals::silent();
        let life = self.prepare(&sinks, until, &signals);
        let duration = {
            let mut world = self.shared.lock();
            let world = &mut *world;
            world.fuse = one_in(&mut world.dice, 2).then(|| world.dice.u64(1..200));
            let longest_ms = world.plan.life_ms * 2;
            let number = self.life;
            world.tell(format_args!(
                "life {number}: {:?}, sinks {:?}, then {exit:?}",
                self.mode,
                names(&sinks)
            ));
            Duration::from_millis(world.dice.u64(0..=longest_ms))
        };
        self.run_life(&life, exit, duration, &signals).await;
    }

    async fn run_life(&self, life: &Life, exit: Exit, duration: Duration, signals: &Signals) {
        let portal = ScriptedPortal::new(&self.shared, &self.queue, self.life, self.mode);
        let crash = self.shared.lock().crash.clone();
        let mut run = Box::pin(async {
            match life.open(Box::new(portal)).await {
                Ok(opened) => opened.run().await,
                Err(error) => Err(error),
            }
        });
        let is_bounded = exit != Exit::Drain;
        let ended = tokio::select! {
            biased;
            () = crash.cancelled(), if exit == Exit::Crash => None,
            ended = &mut run => Some(ended),
            () = sleep(duration), if is_bounded => None,
            () = sleep(REST_MAX) => panic!("the drain does not end"),
        };
        let stopped_ms = now_ms();
        let ended = match ended {
            None if exit == Exit::Stop => {
                signals.stop.cancel();
                self.shared.lock().tell("operator: stop");
                let grace_ms = self.shared.lock().dice.u64(0..60_000);
                timeout(Duration::from_millis(grace_ms), &mut run).await.ok()
            }
            ended => ended,
        };
        let longest = self.shared.lock().plan.longest_stop();
        assert!(
            ended.is_some() || exit != Exit::Stop || Duration::from_millis(now_ms() - stopped_ms) < longest,
            "the stop takes more than {longest:?}"
        );
        drop(run);
        self.conclude(ended, exit, stopped_ms).await;
    }

    async fn conclude(&self, ended: Option<Result<Ending, RelayError>>, exit: Exit, stopped_ms: u64) {
        let removed = {
            let mut world = self.shared.lock();
            world.tell(format_args!("life {} ends: {ended:?}", self.life));
            let was_crash = !matches!(ended, Some(Ok(_)));
            world.count.crashes += u64::from(was_crash);
            world.judge_end(was_crash, stopped_ms);
            match ended {
                Some(Ok(Ending::Clean)) if exit == Exit::Drain => {
                    world.count.drains += 1;
                    world.judge_drain();
                    None
                }
                Some(Ok(_)) if exit == Exit::Drain => None,
                Some(Ok(ending)) => {
                    assert!(exit == Exit::Stop && ending != Ending::Refused, "the life ended by itself");
                    world.count.stops += 1;
                    None
                }
                Some(Err(RelayError::Setup(reason))) => Some(reason),
                Some(Err(error)) => {
                    world.judge_error(&error);
                    None
                }
                None => None,
            }
        };
        if let Some(reason) = removed {
            let names: Vec<&'static str> = self.shared.lock().ledgers.sinks.keys().copied().collect();
            let sink = names.into_iter().find(|name| reason.starts_with(&format!("sinks.{name}:")));
            self.forget(sink.unwrap_or_else(|| panic!("{reason}"))).await;
        }
    }

    /// Faults are over: everything must come to rest, a stop must stop, and a drain find nothing.
    async fn rest(&mut self) {
        loop {
            let sinks = self.choose_sinks().await;
            let removed: Vec<&'static str> = {
                let world = self.shared.lock();
                let all = world.ledgers.sinks.keys().copied();
                all.filter(|name| sinks.iter().all(|sink| sink.name != *name)).collect()
            };
            for sink in removed {
                self.forget(sink).await;
            }
            let signals = Signals::silent();
            let life = self.prepare(&sinks, Until::Stopped, &signals);
            self.shared.lock().tell(format_args!("life {}: {:?}, in peace", self.life, self.mode));
            let portal = ScriptedPortal::new(&self.shared, &self.queue, self.life, self.mode);
            let opened = match life.open(Box::new(portal)).await {
                Ok(opened) => opened,
                Err(error) => {
                    self.conclude(Some(Err(error)), Exit::Crash, now_ms()).await;
                    continue;
                }
            };
            let mut run = Box::pin(opened.run());
            let ended = tokio::select! {
                biased;
                ended = &mut run => Some(ended),
                () = self.until_rest() => None,
            };
            assert!(ended.is_none(), "the life ended by itself: {ended:?}");
            signals.stop.cancel();
            let ended = timeout(Duration::from_secs(5), &mut run).await;
            assert!(matches!(ended, Ok(Ok(Ending::Clean))), "a stop in peace: {ended:?}");
            drop(run);
            self.shared.lock().judge_end(false, now_ms());
            break;
        }
        Box::pin(self.drain()).await;
        let mut world = self.shared.lock();
        world.judge_rest();
        world.count.lives += self.life;
    }

    async fn until_rest(&self) {
        let deadline = now_ms() + u64::try_from(REST_MAX.as_millis()).unwrap();
        loop {
            sleep(Duration::from_millis(500)).await;
            let mut world = self.shared.lock();
            world.catch_up(Some(self.life));
            let is_late = now_ms() >= deadline;
            if !is_late && (!world.queue.waiting().is_empty() || world.queue.is_anything_unborn()) {
                continue;
            }
            world.examine();
            let is_open =
                world.ledgers.sinks.values().any(|ledger| ledger.is_configured && !ledger.open.is_empty());
            if !is_open && world.queue.waiting().is_empty() && !world.queue.is_anything_unborn() {
                break;
            }
            if is_late {
                let open: Vec<_> =
                    world.ledgers.sinks.iter().map(|(name, ledger)| (name, &ledger.open)).collect();
                panic!(
                    "liveness: still to be settled {open:?}, still at the portal {:?}",
                    world.queue.waiting()
                );
            }
        }
        // Nothing may come twice.
        sleep(Duration::from_secs(5)).await;
    }

    async fn drain(&mut self) {
        let sinks: Vec<SinkPlan> = {
            let world = self.shared.lock();
            let there = world.ledgers.sinks.values().filter(|ledger| ledger.is_configured);
            there.map(|ledger| ledger.plan.clone()).collect()
        };
        let signals = Signals::silent();
        let life = self.prepare(&sinks, Until::Drained, &signals);
        let portal = ScriptedPortal::new(&self.shared, &self.queue, self.life, self.mode);
        let run = async { life.open(Box::new(portal)).await?.run().await };
        let ended = timeout(DRAIN_MAX, run).await;
        assert!(matches!(ended, Ok(Ok(Ending::Clean))), "a drain of nothing: {ended:?}");
        let mut world = self.shared.lock();
        world.count.drains += 1;
        world.judge_end(false, now_ms());
    }

    /// The next life, and its place in the books.
    fn prepare(&mut self, sinks: &[SinkPlan], until: Until, signals: &Signals) -> Life {
        self.life += 1;
        let mut world = self.shared.lock();
        world.catch_up(None);
        world.enrol(sinks, self.life);
        let mut delivery = world.plan.delivery;
        delivery.mode = self.mode;
        if world.is_quiet() {
            // Somebody has looked after the dead.
            delivery.dead_letters.max_size = 1 << 30;
        }
        let source = source(&world.plan);
        let store = world.store.clone();
        drop(world);
        let sinks = sinks.iter().map(|plan| {
            let sink: Arc<dyn Sink> = Arc::new(ScriptedSink::new(&self.shared, plan));
            (sink_config(plan), sink)
        });
        Life { source, sinks: sinks.collect(), delivery, store, signals: signals.clone(), until }
    }
}

impl World {
    /// A life with `sinks` begins.
    fn enrol(&mut self, sinks: &[SinkPlan], life: u64) {
        self.calls.in_life = 0;
        self.ledgers.goal = None;
        self.calls.justify(now_ms(), 12);
        self.crash = tokio_util::sync::CancellationToken::new();
        self.fuse = None;
        let view = self.view();
        let received = view.received;
        let waiting: BTreeSet<u64> = self.queue.waiting().range(received..).copied().collect();
        for ledger in self.ledgers.sinks.values_mut() {
            ledger.is_configured = false;
        }
        // Of a sink that has never settled anything nothing is on record.
        let is_there =
            |name: &str| view.lanes.contains_key(name) || sinks.iter().any(|sink| sink.name == name);
        self.ledgers.sinks.retain(|name, _| is_there(name));
        for plan in sinks {
            if let Some(ledger) = self.ledgers.sinks.get_mut(plan.name) {
                ledger.is_configured = true;
                continue;
            }
            self.count.sinks_returned += u64::from(life > 1);
            let ledger = Ledger::new(plan, waiting.clone(), life == 1);
            self.ledgers.sinks.insert(plan.name, ledger);
        }
    }

    /// The operator has put all checkpoints at `offset`.
    fn offset_was_set(&mut self, offset: u64) {
        self.tell(format_args!("operator: offset set to {offset}"));
        self.count.offsets_set += 1;
        self.ledgers.last = None;
        self.ledgers.is_offset_set = true;
        self.ledgers.abandoned_below = offset;
        for ledger in self.ledgers.sinks.values_mut() {
            ledger.is_tallied = false;
            ledger.open = ledger.open.split_off(&offset);
            let again = ledger.accepted.range(offset..).map(|(id, _)| *id);
            ledger.credits.extend(again);
        }
    }

    /// A drain says that all is done: what could be seen before it began has been settled, and nothing more
    /// can appear below it.
    fn judge_drain(&self) {
        for (name, ledger) in self.ledgers.sinks.iter().filter(|(_, ledger)| ledger.is_configured) {
            let left =
                ledger.open.iter().find(|id| self.queue.row(**id).is_some_and(|row| row.shown.is_some()));
            assert!(left.is_none(), "a drain left {left:?} to `{name}`");
        }
        let goal = self.ledgers.goal.unwrap_or(0);
        let late = self.queue.rows().find(|row| row.plan.id < goal && row.fate == Fate::Unborn);
        let late = late.filter(|_| !self.forgives_dates()).map(|row| row.plan.id);
        assert!(late.is_none(), "a drain has seen {goal}, and did not wait for {late:?}");
    }

    /// A life ended with `error`.
    fn judge_error(&self, error: &RelayError) {
        match error {
            RelayError::SinkClosed { .. } => {}
            RelayError::Store(StoreError::Unavailable { .. }) if self.calls.in_life == 0 => {
                assert!(self.disk_failed_ms.is_some(), "{error}");
            }
            _ => panic!("the life ended with an error: {error}"),
        }
    }
}

impl Plan {
    /// How long a life may go on after a stop was asked for: what is under way is finished.
    fn longest_stop(&self) -> Duration {
        let slow = self.sinks.iter().map(|sink| {
            let attempt_ms = if sink.troubles.is_empty() { 2 * sink.latency_ms } else { 10_000 };
            attempt_ms * self.events.len() as u64
        });
        Duration::from_millis(20_000 + slow.max().unwrap_or(0) + 100 * self.disk.latency_ms)
    }
}

fn names(sinks: &[SinkPlan]) -> Vec<&'static str> {
    sinks.iter().map(|sink| sink.name).collect()
}

fn source(plan: &Plan) -> SourceConfig {
    let webhook = WebhookUrl::parse("https://portal.example/rest/1/secret/").expect("a webhook");
    SourceConfig {
        name: SOURCE.to_owned(),
        kind: KindConfig::User,
        access: AccessConfig::Webhook(webhook),
        poll: PollConfig {
            idle: plan.idle,
            idle_max: plan.idle * 6,
            busy: plan.busy,
            limit: plan.limit,
            timeout: Duration::from_secs(30),
        },
        confirm_lag: plan.lag,
    }
}

fn sink_config(plan: &SinkPlan) -> SinkConfig {
    SinkConfig {
        name: plan.name.to_owned(),
        target: TargetConfig::Stdout(StdoutConfig { format: StdoutFormat::Json }),
        sources: None,
        events: plan.kinds.as_ref().map(|kinds| kinds.iter().map(|kind| (*kind).to_owned()).collect()),
        retry: RetryConfig { min: Duration::from_millis(100), max: plan.retry_max },
        max_event_age: plan.max_age,
        start: if plan.starts_now { StartConfig::Now } else { StartConfig::Oldest },
        flow: plan.flow,
    }
}
