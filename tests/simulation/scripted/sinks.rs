//! Sinks that accept, fail and reject according to the plan, and record the accepted events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use b24relay::config::{OrderingConfig, SinkConfig};
use b24relay::event::Event;
use b24relay::sink::{DeliverError, Mark, Sink};

use crate::plan::{SinkPlan, TroubleKind};
use crate::scripted::queue::chat_of;
use crate::world::{World, Worlds, now_ms, pass};

/// The timeout of a sink.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The events of the attempts in flight to each sink, with their source. This includes attempts of the sink from before
/// a reload.
pub(crate) type InFlight = Arc<Mutex<BTreeMap<&'static str, Vec<(String, Vec<u64>)>>>>;

/// One sink in one process, or until it is changed.
pub(crate) struct ScriptedSink {
    worlds: Worlds,
    config: SinkConfig,
    plan: SinkPlan,
    in_flight: InFlight,
}

/// The outcome of an attempt.
struct Attempt {
    before: Duration,
    after: Duration,
    takes: bool,
    failure: Option<DeliverError>,
}

impl ScriptedSink {
    pub(crate) fn new(worlds: &Worlds, config: &SinkConfig, plan: &SinkPlan, in_flight: &InFlight) -> Self {
        let config = config.clone();
        Self { worlds: worlds.clone(), config, plan: plan.clone(), in_flight: Arc::clone(in_flight) }
    }

    /// Checks an attempt against the other attempts in flight.
    fn begin(&self, source: &str, ids: &[u64]) {
        let name = self.plan.name;
        let mut in_flight = self.in_flight.lock().expect("no panic");
        let in_flight = in_flight.entry(name).or_default();
        let flow = self.plan.flow;
        assert!(in_flight.len() < usize::from(flow.concurrency), "`{name}` got too many attempts at once");
        let chats = |ids: &[u64]| ids.iter().map(|id| chat_of(*id)).collect::<BTreeSet<_>>();
        let mut others = in_flight.iter().filter(|(other, _)| other == source).map(|(_, ids)| ids);
        let under_way: BTreeSet<u64> = others.clone().flat_map(|ids| chats(ids)).collect();
        let is_free = match flow.ordering {
            OrderingConfig::Strict => others.next().is_none(),
            OrderingConfig::Chat => chats(ids).is_disjoint(&under_way),
            OrderingConfig::None => true,
        };
        assert!(is_free, "G3: `{name}` got {ids:?} beside {in_flight:?}");
        in_flight.push((source.to_owned(), ids.to_vec()));
    }

    /// Checks that the sink's settings are those with which the source was opened.
    fn judge_way(&self, world: &World) {
        let name = self.plan.name;
        let setting = world.sinks.iter().find(|sink| sink.name == name);
        let way = |sink: &SinkConfig| (sink.target.clone(), sink.retry, sink.flow);
        assert!(
            setting.map(way) == Some(way(&self.config)),
            "`{name}` is reached as before a reload: {:?}, and not {setting:?}",
            self.config
        );
    }

    fn draw(&self, world: &mut World, first: u64) -> Attempt {
        let (before, after) = (world.delay(self.plan.latency_ms), world.delay(self.plan.latency_ms));
        let fine = Attempt { before, after, takes: true, failure: None };
        let trouble = self.trouble(world);
        if trouble == Some(TroubleKind::Rejecting)
            || (self.plan.rejects > 0 && first.is_multiple_of(self.plan.rejects))
        {
            let ledger = world.ledgers.sinks.get_mut(self.plan.name).expect("a ledger");
            *ledger.rejections.entry(first).or_default() += 1;
            let failure = DeliverError::Rejected {
                reason: "no".into(),
                status: Some(400),
                answer: "no".into(),
                is_final: false,
            };
            return Attempt { takes: false, failure: Some(failure), ..fine };
        }
        let transient = |wait| Some(DeliverError::Transient { reason: "not now".into(), wait });
        match trouble {
            None | Some(TroubleKind::Rejecting) => fine,
            Some(TroubleKind::Transient) => Attempt { takes: false, failure: transient(None), ..fine },
            Some(TroubleKind::Overwhelmed) => {
                let wait = Duration::from_secs(world.dice.u64(1..20));
                Attempt { takes: false, failure: transient(Some(wait)), ..fine }
            }
            Some(TroubleKind::Unheard) => Attempt { failure: transient(None), ..fine },
            Some(TroubleKind::Held) => Attempt {
                takes: false,
                failure: Some(DeliverError::Held { reason: "locked".into(), wait: None }),
                ..fine
            },
            Some(TroubleKind::Slow) => {
                Attempt { before: Duration::from_millis(world.dice.u64(0..5000)), ..fine }
            }
            Some(TroubleKind::Hanging) => {
                Attempt { after: TIMEOUT, takes: world.dice.bool(), failure: transient(None), ..fine }
            }
            Some(TroubleKind::Closed) => Attempt {
                takes: false,
                failure: Some(DeliverError::Closed { reason: "gone".into() }),
                ..fine
            },
        }
    }

    fn trouble(&self, world: &mut World) -> Option<TroubleKind> {
        let now = now_ms();
        let trouble =
            *self.plan.troubles.iter().find(|trouble| (trouble.from_ms..trouble.to_ms).contains(&now))?;
        (world.dice.u64(..100) < trouble.share && !world.is_quiet()).then_some(trouble.kind)
    }
}

#[async_trait]
impl Sink for ScriptedSink {
    fn attempt_max(&self) -> usize {
        self.plan.attempt_max
    }

    async fn deliver(&self, events: &[&Event]) -> Result<Option<Mark>, DeliverError> {
        let name = self.plan.name;
        assert!(events.len() <= self.plan.attempt_max, "`{name}` got {} events at once", events.len());
        let source = &*events.first().expect("an event").queue.source;
        let shared = self.worlds.of(source);
        let ids: Vec<u64> = {
            let mut world = shared.lock();
            events.iter().map(|event| world.recognise(name, event)).collect()
        };
        self.begin(source, &ids);
        let attempt = {
            let mut world = shared.lock();
            self.judge_way(&world);
            let attempt = self.draw(&mut world, ids[0]);
            world.judge_row(name, &ids);
            world.tell(format_args!("{name}: attempt with {ids:?}"));
            attempt
        };
        pass(attempt.before).await;
        if attempt.takes {
            let mut world = shared.lock();
            for id in &ids {
                world.accept(name, *id);
            }
            world.tell(format_args!("{name}: takes {ids:?}"));
            if attempt.failure.is_some() {
                world.ledgers.sinks.get_mut(name).expect("a ledger").credits.extend(&ids);
            }
            world.step();
        }
        pass(attempt.after).await;
        if let Some(in_flight) = self.in_flight.lock().expect("no panic").get_mut(name) {
            in_flight.retain(|(other, others)| other != source || *others != ids);
        }
        let Some(failure) = attempt.failure else { return Ok(None) };
        let mut world = shared.lock();
        world.count.retries += 1;
        world.tell(format_args!("{name}: {failure:?}"));
        Err(failure)
    }
}
