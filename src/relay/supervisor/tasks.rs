//! Runs a task for each source, each with a separate stop, so that one source can end while the others run on.
//!
//! Keeps I7: a source ends on its own, after the work in progress.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, interval_at, sleep};
use tracing::{info, warn};

use crate::config::{Config, SinkConfig, SourceConfig, TargetConfig};
use crate::log_code;
use crate::relay::context::EngineContext;
use crate::relay::lane::limiter::DeliveryLimiter;
use crate::relay::outcome::Ending;
use crate::relay::outcome::RelayError;
use crate::relay::supervisor::start::{Opened, SourceStart};
use crate::shutdown::Signals;
use crate::sink::Sink;
use crate::store::SourceReport;

/// Each sink with its limiter, which all sources share.
pub(crate) type Sinks = Vec<(SinkConfig, Arc<DeliveryLimiter>)>;

/// The effect of SIGHUP on a run, besides a nudge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hangup {
    /// It reloads the configuration.
    Reloads,
    /// Nothing more.
    Nudges,
}

/// After how long a reload first logs which sinks it waits for, and how often it does so then.
const TOLD_AFTER: Duration = Duration::from_secs(5);
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// How long an attempt without a timeout may be in flight before a reload that would have to wait for it is refused.
const HANGS_AFTER: Duration = Duration::from_secs(30);

/// A source that was checked, and the reason if it cannot be polled yet.
pub(crate) struct Checked {
    pub start: SourceStart,
    pub outcome: Opened,
}

pub(crate) struct Supervisor {
    /// The active configuration.
    pub config: Config,
    pub context: EngineContext,
    pub sinks: Sinks,
    loops: JoinSet<(String, Result<Ending, RelayError>)>,
    /// `shutdown_grace`.
    pub grace: watch::Sender<Duration>,
    /// The running sources, with the signals that stop each alone.
    running: BTreeMap<String, Signals>,
    /// The worst ending of the sources that ended with the process.
    ending: Ending,
    /// The worst ending of the sources that ended alone, until others replace them.
    interim: Ending,
}

impl Supervisor {
    /// Opens every source of `config` and starts it. Each is checked before the first one calls its portal.
    pub(crate) async fn open(config: &Config, context: EngineContext) -> Result<Self, RelayError> {
        let sinks = config.sinks.iter().map(|sink| {
            let built = build(sink, &context)?;
            Ok((sink.clone(), DeliveryLimiter::new(built, sink, &context.telemetry.metrics)))
        });
        let sinks: Sinks = sinks.collect::<Result<_, RelayError>>()?;
        let telemetry = &context.telemetry;
        telemetry.metrics.bound_journal(config.delivery.journal.max_size);
        telemetry.active_config.enter(config);
        telemetry.liveness.expect(config.sources.iter().map(|source| source.name.clone()));
        let mut checked = Vec::new();
        for start in openings(config, &sinks, &context) {
            let outcome = start.open_first().await?;
            checked.push(Checked { start, outcome });
        }
        let mut supervisor = Self {
            config: config.clone(),
            context,
            sinks,
            loops: JoinSet::new(),
            grace: watch::Sender::new(config.shutdown_grace),
            running: BTreeMap::new(),
            ending: Ending::Clean,
            interim: Ending::Clean,
        };
        supervisor.begin(checked);
        supervisor.tell_left_behind().await;
        Ok(supervisor)
    }

    /// Waits until all sources have ended. `hangup` decides what SIGHUP does.
    pub(crate) async fn run(&mut self, hangup: Hangup) -> Result<Ending, RelayError> {
        let signals = self.context.signals.clone();
        // Do not begin with the current count: a nudge may have come after the configuration was first read.
        let mut seen = 0;
        while !self.loops.is_empty() {
            let may_reload = hangup == Hangup::Reloads && !signals.stop.is_cancelled();
            tokio::select! {
                biased;
                Some(joined) = self.loops.join_next() => self.note_end(joined)?,
                () = signals.nudged(seen), if may_reload => {
                    seen = signals.nudge_count();
                    self.reload().await?;
                }
            }
        }
        Ok(self.ending.max(self.interim))
    }

    /// Warns about sources that are no longer configured although some sink lacks events that the journal has. A state
    /// file that cannot be read is reported elsewhere.
    pub(crate) async fn tell_left_behind(&self) {
        let Ok(report) = self.context.store.reader().report().await else { return };
        for SourceReport { name: source, .. } in report.sources {
            let lanes = report.lanes.iter().filter(|lane| lane.source == source);
            let events = lanes.map(|lane| lane.pending).max().unwrap_or_default();
            if events > 0 && self.config.sources.iter().all(|other| other.name != source) {
                let hint = "put it back under this name, and they are delivered";
                warn!(
                    code = %log_code::SOURCE_REMOVED,
                    source,
                    events, hint, "source is no longer configured: the journal keeps its events"
                );
            }
        }
    }

    /// Starts the sources.
    pub(crate) fn begin(&mut self, checked: Vec<Checked>) {
        self.interim = Ending::Clean;
        for Checked { start, outcome } in checked {
            let name = start.name().to_owned();
            self.running.insert(name.clone(), start.end_signals().clone());
            self.loops.spawn(async move {
                let ending = match outcome {
                    Opened::Ready(ready) => ready.run().await,
                    Opened::Waiting(refusal) => Box::pin(start.run(refusal)).await,
                };
                (name, ending)
            });
        }
    }

    /// Runs `work` while the sources run. Returns `None` when a stop comes first.
    pub(crate) async fn attend<T>(&mut self, work: impl Future<Output = T>) -> Result<Option<T>, RelayError> {
        let stop = self.context.signals.stop.clone();
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                Some(joined) = self.loops.join_next() => self.note_end(joined)?,
                () = stop.cancelled() => return Ok(None),
                outcome = &mut work => return Ok(Some(outcome)),
            }
        }
    }

    /// Ends the sources called `names` and waits for that. As at a stop of the process, events that were read are
    /// delivered for up to `shutdown_grace`. After that no new attempt begins, and attempts in flight finish. Until
    /// then the sources are polled.
    pub(crate) async fn end(&mut self, names: &BTreeSet<String>) -> Result<(), RelayError> {
        let ending: Vec<Signals> = names.iter().filter_map(|name| self.running.get(name)).cloned().collect();
        for signals in &ending {
            signals.stop.cancel();
        }
        let grace = sleep(self.config.shutdown_grace);
        tokio::pin!(grace);
        let mut is_hurried = false;
        let mut late = interval_at(Instant::now() + TOLD_AFTER, TOLD_EVERY);
        while names.iter().any(|name| self.running.contains_key(name)) {
            tokio::select! {
                biased;
                Some(joined) = self.loops.join_next() => self.note_end(joined)?,
                () = &mut grace, if !is_hurried => {
                    is_hurried = true;
                    info!("sources are still ending: nothing new is delivered, what is under way comes to its end");
                    for signals in &ending {
                        signals.hurry.cancel();
                    }
                }
                _ = late.tick() => self.tell_waiting(names),
            }
        }
        Ok(())
    }

    /// Logs which sinks the end of the sources called `names` waits for.
    fn tell_waiting(&self, names: &BTreeSet<String>) {
        let running: Vec<&str> =
            names.iter().filter(|name| self.running.contains_key(*name)).map(String::as_str).collect();
        let takes = |sink: &SinkConfig| running.iter().any(|name| sink.takes_source(name));
        let busy =
            self.sinks.iter().filter(|(sink, limiter)| takes(sink) && !limiter.longest_attempt().is_zero());
        let sinks: Vec<&str> = busy.map(|(sink, _)| sink.name.as_str()).collect();
        let (sources, sinks) = (running.join(", "), sinks.join(", "));
        warn!(
            code = %log_code::RELOAD_WAITS,
            sources,
            sinks, "a reload waits for attempts in progress at these sinks; polling continues"
        );
    }

    /// Why the sources called `names` cannot be ended: a sink without a timeout that takes their events hangs.
    pub(crate) fn hanging(&self, names: &BTreeSet<String>) -> Option<String> {
        let has_timeout = |sink: &SinkConfig| matches!(sink.target, TargetConfig::Webhook(_));
        let concerned = self.sinks.iter().filter(|(sink, _)| !has_timeout(sink));
        let mut concerned = concerned.filter(|(sink, _)| names.iter().any(|name| sink.takes_source(name)));
        let (sink, limiter) = concerned.find(|(_, limiter)| limiter.longest_attempt() > HANGS_AFTER)?;
        Some(format!(
            "sinks.{}: an attempt has been under way for {} s, and the sources that it takes from cannot end before it \
             does: see who reads it, or whether its disk is there, and reload again",
            sink.name,
            limiter.longest_attempt().as_secs()
        ))
    }

    fn note_end(
        &mut self,
        joined: Result<(String, Result<Ending, RelayError>), JoinError>,
    ) -> Result<(), RelayError> {
        let (name, ending) = joined.map_err(|panic| RelayError::Panicked(panic.to_string()))?;
        let ending = ending?;
        let signals = self.running.remove(&name);
        let is_alone = signals.is_some_and(|signals| signals.stop.is_cancelled());
        if is_alone && !self.context.signals.stop.is_cancelled() {
            self.interim = self.interim.max(ending);
        } else {
            self.ending = self.ending.max(ending);
        }
        Ok(())
    }
}

/// Builds the sink of `config`.
///
/// # Errors
/// [`RelayError::Setup`].
pub(crate) fn build(config: &SinkConfig, context: &EngineContext) -> Result<Arc<dyn Sink>, RelayError> {
    let built = context.host.sink(config, &context.signals);
    built.map_err(|error| RelayError::Setup(format!("sinks.{}: {error}", config.name)))
}

/// Every source of `config` with those of `sinks` that take its events, and with separate stop signals.
pub(crate) fn openings(config: &Config, sinks: &Sinks, context: &EngineContext) -> Vec<SourceStart> {
    let start = |source: &SourceConfig| {
        let takers = sinks.iter().filter(|(sink, _)| sink.takes_source(&source.name)).cloned();
        let signals = context.signals.child();
        let context = EngineContext { lane_signals: signals.child(), signals, ..context.clone() };
        SourceStart::new(source.clone(), takers.collect(), context)
    };
    config.sources.iter().map(start).collect()
}
