//! Sinks that take, fail and reject as the plan says, and keep a ledger of what they took.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use b24relay::config::OrderingConfig;
use b24relay::event::Event;
use b24relay::sink::{DeliverError, Sink};

use crate::plan::{SinkPlan, TroubleKind};
use crate::queue::chat_of;
use crate::world::{Shared, World, now_ms, pass};

/// How long a sink's own timeout is.
const TIMEOUT: Duration = Duration::from_secs(10);

/// One sink in one life.
pub struct ScriptedSink {
    shared: Shared,
    plan: SinkPlan,
    /// The events of the attempts under way.
    in_flight: Mutex<Vec<Vec<u64>>>,
}

/// What an attempt will come to.
struct Attempt {
    before: Duration,
    after: Duration,
    takes: bool,
    failure: Option<DeliverError>,
}

impl ScriptedSink {
    pub fn new(shared: &Shared, plan: &SinkPlan) -> Self {
        Self { shared: shared.clone(), plan: plan.clone(), in_flight: Mutex::default() }
    }

    /// Holds an attempt against those that are under way.
    fn begin(&self, ids: &[u64]) {
        let name = self.plan.name;
        let mut in_flight = self.in_flight.lock().expect("no panic");
        let flow = self.plan.flow;
        assert!(in_flight.len() < usize::from(flow.concurrency), "`{name}` got too many attempts at once");
        let chats = |ids: &[u64]| ids.iter().map(|id| chat_of(*id)).collect::<BTreeSet<_>>();
        let under_way = chats(&in_flight.concat());
        let is_free = match flow.ordering {
            OrderingConfig::Strict => in_flight.is_empty(),
            OrderingConfig::Chat => chats(ids).is_disjoint(&under_way),
            OrderingConfig::None => true,
        };
        assert!(is_free, "G3: `{name}` got {ids:?} beside {in_flight:?}");
        in_flight.push(ids.to_vec());
    }

    fn draw(&self, world: &mut World, events: &[&Event]) -> Attempt {
        let (before, after) = (world.delay(self.plan.latency_ms), world.delay(self.plan.latency_ms));
        let fine = Attempt { before, after, takes: true, failure: None };
        let first = events.first().expect("an event").id.get();
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

    async fn deliver(&self, events: &[&Event]) -> Result<(), DeliverError> {
        let name = self.plan.name;
        let ids: Vec<u64> = events.iter().map(|event| event.id.get()).collect();
        assert!(ids.len() <= self.plan.attempt_max, "`{name}` got {} events at once", ids.len());
        assert!(ids.is_sorted_by(|one, next| one < next), "G3: `{name}` got {ids:?}");
        self.begin(&ids);
        let attempt = {
            let mut world = self.shared.lock();
            let attempt = self.draw(&mut world, events);
            world.tell(format_args!("{name}: attempt with {ids:?}"));
            attempt
        };
        pass(attempt.before).await;
        if attempt.takes {
            let mut world = self.shared.lock();
            for event in events {
                world.accept(name, event);
            }
            world.tell(format_args!("{name}: takes {ids:?}"));
            if attempt.failure.is_some() {
                world.ledgers.sinks.get_mut(name).expect("a ledger").credits.extend(&ids);
            }
            world.step();
        }
        pass(attempt.after).await;
        self.in_flight.lock().expect("no panic").retain(|other| *other != ids);
        let Some(failure) = attempt.failure else { return Ok(()) };
        let mut world = self.shared.lock();
        world.count.retries += 1;
        world.tell(format_args!("{name}: {failure:?}"));
        Err(failure)
    }
}
