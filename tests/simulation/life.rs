//! The runs of one seed: starts, crashes, stops and drains, and the operator's actions between them.

use std::sync::Arc;
use std::time::Duration;

use b24relay::event::Offset;
use b24relay::relay::simulation::{Host, Run};
use b24relay::relay::{Ending, RelayError, Until};
use b24relay::service::Telemetry;
use b24relay::shutdown::Signals;
use b24relay::store::StoreError;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::operator::{operate, other_hold};
use crate::plan::{Plan, one_in};
use crate::scene::Scene;
use crate::scripted::queue::Fate;
use crate::setting::{Setting, owner};
use crate::world::{SOURCES, Shared, World, Worlds, now_ms, pass};

/// How long the world may take to come to rest after the faults have ended.
const REST_MAX: Duration = Duration::from_secs(3600);

/// How long a drain may take without faults.
const DRAIN_MAX: Duration = Duration::from_secs(60);

/// The time for a stop without a grace period.
const NOTICE: Duration = Duration::from_millis(500);

/// The planned end of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Exit {
    Crash,
    Stop,
    Drain,
}

/// The course of one seed.
pub(crate) struct Course {
    worlds: Worlds,
    life: u64,
    /// The configuration by the operator.
    setting: Setting,
}

/// One process.
struct Process {
    life: Run,
    scene: Arc<Scene>,
    signals: Signals,
    crash: CancellationToken,
}

/// Runs the worlds.
pub(crate) async fn run(worlds: &Worlds) {
    let setting = Setting::first(&worlds.first().lock().plan);
    let mut course = Course { worlds: worlds.clone(), life: 0, setting };
    while !course.first().lock().is_quiet() {
        course.intervene().await;
        course.live().await;
        let pause_ms = course.first().lock().dice.u64(0..3000);
        sleep(Duration::from_millis(pause_ms)).await;
    }
    Box::pin(course.rest()).await;
}

impl Course {
    fn first(&self) -> &Shared {
        self.worlds.first()
    }

    /// The operator's actions between two runs.
    async fn intervene(&mut self) {
        let (switches, sets_offset) = {
            let mut world = self.first().lock();
            let world = &mut *world;
            (
                self.life > 0 && world.plan.switches_mode && world.dice.bool(),
                self.life > 0
                    && world.plan.changes > 0
                    && one_in(&mut world.dice, 40)
                    && world.plan.restores.is_empty(),
            )
        };
        if switches {
            self.first().lock().count.mode_switches += 1;
            self.setting.delivery.hold = other_hold(self.setting.delivery.hold);
        }
        // Another user's queue would end a start.
        self.setting.sources[0].user = owner(0);
        if sets_offset {
            self.set_offset().await;
        }
    }

    async fn set_offset(&self) {
        let (offset, sinks) = {
            let mut world = self.first().lock();
            world.catch_up(None);
            // No run has got so far that the state contains the source.
            if world.examine().lanes.is_empty() {
                return;
            }
            let seen = world.queue.rows().filter(|row| row.fate != Fate::Unborn);
            let ids: Vec<u64> = seen.map(|row| row.plan.key).collect();
            let Some(last) = ids.len().checked_sub(1) else { return };
            let id = ids[world.dice.usize(0..=last)];
            (id, world.ledgers.sinks.keys().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        };
        let store = self.first().lock().store.clone();
        let at = Offset::try_new(offset).unwrap();
        while store.set_offset(SOURCES[0], sinks.clone(), at).await.is_err() {
            sleep(Duration::from_secs(1)).await;
        }
        self.first().lock().offset_was_set(offset);
    }

    /// Selects the sinks of the next run. The operator may have to forget the others.
    async fn choose_sinks(&mut self) {
        let mut forgotten = Vec::new();
        for sink in self.setting.sinks.iter_mut().filter(|sink| sink.plan.comes_and_goes) {
            let mut world = self.worlds.first().lock();
            if world.dice.u64(..100) >= world.plan.changes {
                continue;
            }
            sink.is_there = !sink.is_there;
            if !sink.is_there {
                world.count.sinks_removed += 1;
                if world.dice.bool() {
                    forgotten.push(sink.plan.name);
                }
            }
        }
        for sink in forgotten {
            self.forget(sink).await;
        }
    }

    async fn forget(&self, sink: &'static str) {
        let store = self.first().lock().store.clone();
        while store.forget_sink(sink).await.is_err() {
            sleep(Duration::from_secs(1)).await;
        }
        for shared in self.worlds.all() {
            let mut world = shared.lock();
            world.tell(format_args!("operator: forgets {sink}"));
            world.ledgers.sinks.remove(sink);
            world.ledgers.last = None;
        }
        self.first().lock().count.sinks_forgotten += 1;
    }

    async fn live(&mut self) {
        self.choose_sinks().await;
        let exit = {
            let mut world = self.first().lock();
            match world.dice.u64(..10) {
                0..6 => Exit::Crash,
                6..8 => Exit::Stop,
                _ => Exit::Drain,
            }
        };
        let until = if exit == Exit::Drain { Until::Drained } else { Until::Stopped };
        let process = self.begin(until);
        let duration = {
            let mut world = self.first().lock();
            let world = &mut *world;
            world.fuse = one_in(&mut world.dice, 2).then(|| world.dice.u64(1..200));
            let longest_ms = world.plan.life_ms * 2;
            world.tell(format_args!("life {}: {}, then {exit:?}", self.life, self.setting.summary()));
            Duration::from_millis(world.dice.u64(0..=longest_ms))
        };
        self.run_life(&process, exit, duration).await;
        // A start uses the last written configuration, unless it is invalid.
        self.setting = process.scene.written().unwrap_or_else(|| process.scene.in_force());
    }

    async fn run_life(&self, process: &Process, exit: Exit, duration: Duration) {
        let mut run = Box::pin(process.life.run());
        let is_daemon = exit != Exit::Drain;
        let ended = tokio::select! {
            biased;
            () = process.crash.cancelled(), if exit == Exit::Crash => None,
            ended = &mut run => Some(ended),
            () = sleep(duration), if is_daemon => None,
            () = operate(&self.worlds, &process.scene, &process.signals), if is_daemon => unreachable!(),
            () = sleep(REST_MAX) => panic!("the drain does not end"),
        };
        let stopped_ms = now_ms();
        // All sources were refused at the start, which ends like a stop with the grace period.
        let mut was_cut = matches!(ended, Some(Ok(Ending::Refused)));
        let ended = match ended {
            None if exit == Exit::Stop => {
                process.signals.stop.cancel();
                self.first().lock().tell("operator: stop");
                let ended = run.as_mut().await;
                let took = Duration::from_millis(now_ms() - stopped_ms);
                was_cut = took >= process.scene.least_grace().max(NOTICE);
                let longest = self.first().lock().plan.longest_stop();
                assert!(was_cut || took < longest, "the stop takes {took:?}");
                Some(ended)
            }
            ended => ended,
        };
        drop(run);
        self.bury(process).await;
        self.conclude(ended, exit, was_cut, stopped_ms).await;
    }

    /// Lets the runtime drop the remaining tasks of `process`.
    async fn bury(&self, process: &Process) {
        while self.worlds.all().any(|shared| shared.lock().is_read) {
            tokio::task::yield_now().await;
        }
        process.scene.conclude();
    }

    async fn conclude(
        &self,
        ended: Option<Result<Ending, RelayError>>,
        exit: Exit,
        was_cut: bool,
        stopped_ms: u64,
    ) {
        let was_crash = was_cut || !matches!(ended, Some(Ok(_)));
        for shared in self.worlds.all() {
            shared.lock().judge_end(was_crash, stopped_ms);
        }
        let removed = {
            let mut world = self.first().lock();
            world.tell(format_args!("life {} ends: {ended:?}", self.life));
            world.count.crashes += u64::from(was_crash);
            world.count.crashes_in_writes += u64::from(was_crash && world.writes_until_ms > stopped_ms);
            match ended {
                Some(Ok(Ending::Clean)) if exit == Exit::Drain => {
                    world.count.drains += 1;
                    world.judge_drain();
                    None
                }
                // All sources were refused at the start, or the time was up.
                Some(Ok(Ending::Refused)) | None => None,
                Some(Ok(_)) if exit == Exit::Drain => None,
                Some(Ok(_)) => {
                    assert!(exit == Exit::Stop, "the life ended by itself");
                    world.count.stops += 1;
                    None
                }
                Some(Err(error @ (RelayError::Setup(_) | RelayError::KeyValue(_)))) => {
                    Some(error.to_string())
                }
                Some(Err(error)) => {
                    world.judge_error(&error);
                    None
                }
            }
        };
        if let Some(reason) = removed {
            let mut sinks = self.setting.sinks.iter().map(|sink| sink.plan.name);
            let sink = sinks.find(|name| reason.starts_with(&format!("sinks.{name}:")));
            match sink {
                Some(sink) => self.forget(sink).await,
                // The stored address of the portal is unreadable.
                None => assert!(self.first().lock().disk_failed_ms.is_some(), "{reason}"),
            }
        }
    }

    /// After the end of the faults, all work must finish, a stop must succeed, and a drain must find nothing.
    async fn rest(&mut self) {
        let has_sales = self.first().lock().plan.has_sales;
        self.setting.sources[1].is_there = has_sales;
        self.setting.sources[0].user = owner(0);
        for number in 0..self.setting.sinks.len() {
            self.setting.sinks[number].only = None;
            if !self.setting.sinks[number].is_there {
                self.forget(self.setting.sinks[number].plan.name).await;
            }
        }
        let process = self.begin(Until::Stopped);
        self.first().lock().tell(format_args!("life {}: {}, in peace", self.life, self.setting.summary()));
        let mut run = Box::pin(process.life.run());
        let ended = tokio::select! {
            biased;
            ended = &mut run => Some(ended),
            () = self.until_rest(&process) => None,
        };
        assert!(ended.is_none(), "the life ended by itself: {ended:?}");
        process.signals.stop.cancel();
        let ended = timeout(Duration::from_secs(5), &mut run).await;
        assert!(matches!(ended, Ok(Ok(Ending::Clean))), "a stop in peace: {ended:?}");
        drop(run);
        self.bury(&process).await;
        self.worlds.all().for_each(|shared| shared.lock().judge_end(false, now_ms()));
        Box::pin(self.drain()).await;
        let keep = self.setting.delivery.journal.keep;
        self.worlds.all().for_each(|shared| shared.lock().judge_rest(keep));
        self.first().lock().count.lives += self.life;
    }

    async fn until_rest(&self, process: &Process) {
        self.reload_twice(process).await;
        let deadline = now_ms() + u64::try_from(REST_MAX.as_millis()).unwrap();
        loop {
            sleep(Duration::from_millis(500)).await;
            let is_late = now_ms() >= deadline;
            if self.worlds.all().filter(|shared| !shared.lock().is_at_rest(is_late)).count() == 0 {
                break;
            }
        }
        // No event may come twice.
        sleep(Duration::from_secs(5)).await;
        assert!(process.scene.is_read(), "a SIGHUP during a reload was overheard");
    }

    /// Reloads a second time, possibly during the first reload.
    async fn reload_twice(&self, process: &Process) {
        if self.first().lock().plan.reload_ms.is_none() {
            return;
        }
        let mut setting = self.setting.clone();
        for code in ["another", "secret"] {
            setting.sources[0].code = code;
            process.scene.write(Some(setting.clone()));
            process.signals.nudge();
            self.first().lock().count.reloads += 1;
            let pause = self.first().lock().delay(60);
            pass(pause).await;
        }
    }

    async fn drain(&mut self) {
        let process = self.begin(Until::Drained);
        let ended = timeout(DRAIN_MAX, process.life.run()).await;
        assert!(matches!(ended, Ok(Ok(Ending::Clean))), "a drain of nothing: {ended:?}");
        self.bury(&process).await;
        self.first().lock().count.drains += 1;
        self.worlds.all().for_each(|shared| shared.lock().judge_end(false, now_ms()));
    }

    /// Starts the next process.
    fn begin(&mut self, until: Until) -> Process {
        self.life += 1;
        if self.first().lock().is_quiet() {
            // The operator has handled the dead letters, and there is time.
            self.setting.delivery.dead_letters.max_size = 1 << 30;
            self.setting.grace = Duration::from_secs(30);
        }
        let (crash, signals, telemetry) = (CancellationToken::new(), Signals::silent(), Telemetry::default());
        self.worlds.all().for_each(|shared| shared.lock().awake(&crash));
        let scene = Arc::new(Scene::new(&self.worlds, &self.setting, &telemetry));
        let life = Run {
            config: self.setting.config(),
            host: Arc::clone(&scene) as Arc<dyn Host>,
            store: self.first().lock().store.clone(),
            signals: signals.clone(),
            until,
            telemetry,
        };
        Process { life, scene, signals, crash }
    }
}

impl World {
    /// Whether all work is finished; asserts it if `is_late`.
    fn is_at_rest(&mut self, is_late: bool) -> bool {
        self.catch_up(Some(self.life));
        if !is_late && (!self.queue.waiting().is_empty() || self.queue.is_anything_unborn()) {
            return false;
        }
        self.examine();
        let is_open =
            self.ledgers.sinks.values().any(|ledger| ledger.is_configured && !ledger.open.is_empty());
        if !is_open && self.queue.waiting().is_empty() && !self.queue.is_anything_unborn() {
            return true;
        }
        if is_late {
            let open: Vec<_> = self.ledgers.sinks.iter().map(|(name, ledger)| (name, &ledger.open)).collect();
            let waiting = self.queue.waiting();
            panic!("liveness: still to be settled {open:?}, still at the portal {waiting:?}");
        }
        false
    }

    /// Records that the operator has set all checkpoints to `offset`.
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

    /// Checks a finished drain: all events that were visible before it began are settled, and no others can appear
    /// below them.
    fn judge_drain(&self) {
        for (name, ledger) in self.ledgers.sinks.iter().filter(|(_, ledger)| ledger.is_configured) {
            let left =
                ledger.open.iter().find(|id| self.queue.row(**id).is_some_and(|row| row.shown.is_some()));
            assert!(left.is_none(), "a drain left {left:?} to `{name}`");
        }
        let goal = self.ledgers.goal.unwrap_or(0);
        let late = self.queue.rows().find(|row| row.plan.key < goal && row.fate == Fate::Unborn);
        let late = late.filter(|_| !self.forgives_dates()).map(|row| row.plan.key);
        assert!(late.is_none(), "a drain has seen {goal}, and did not wait for {late:?}");
    }

    /// Checks the `error` that ended a run.
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
    /// How long a run may continue after a stop was requested, because current attempts are finished.
    fn longest_stop(&self) -> Duration {
        let slow = self.sinks.iter().map(|sink| {
            let attempt_ms = if sink.troubles.is_empty() { 2 * sink.latency_ms } else { 10_000 };
            attempt_ms * self.events.len() as u64
        });
        Duration::from_millis(20_000 + slow.max().unwrap_or(0) + 100 * self.disk.longest_ms())
    }
}
