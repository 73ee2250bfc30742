//! A portal that answers as described in PORTAL.md 2.3, and that refuses, delays and loses answers according to the
//! plan.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use b24_client::{CallError, Class};
use b24relay::config::Hold;
use b24relay::event::{Batch, Event, EventId, Offset, Queue};
use b24relay::relay::Upstream;
use serde_json::value::RawValue;

use crate::plan::{ClockPlan, EPOCH_MS};
use crate::scripted::events::id_of;
use crate::world::{Shared, World, now_ms, pass};

const METHOD: &str = "im.v2.Event.get";

/// The calls that an event can cause: after each event the pauses start from the beginning.
const CALLS_PER_EVENT: u64 = 8;

/// The portal in one turn of the source.
pub(crate) struct ScriptedPortal {
    shared: Shared,
    queue: Arc<Queue>,
    life: u64,
    hold: Hold,
    /// The highest offset whose answer has reached this run.
    confirmed: std::sync::atomic::AtomicU64,
}

/// The outcome of a call.
enum Outcome {
    Answered,
    /// Refused before any effect.
    Refused(CallError),
    /// Lost after its effect.
    Lost,
}

impl ScriptedPortal {
    pub(crate) fn new(shared: &Shared, queue: &Arc<Queue>, hold: Hold) -> Self {
        let life = {
            let mut world = shared.lock();
            world.is_read = true;
            world.life
        };
        Self { shared: shared.clone(), queue: Arc::clone(queue), life, hold, confirmed: 1.into() }
    }

    /// Starts a call; returns its outcome after some delay, and the further delay of its answer.
    async fn begin(&self, what: &str) -> (Outcome, Duration) {
        let (outcome, before, after) = {
            let mut world = self.shared.lock();
            let idle_ms = u64::try_from(world.plan.idle.as_millis()).unwrap();
            world.calls.note(now_ms(), idle_ms);
            let latency_ms = world.plan.portal.latency_ms;
            let (before, after) = (world.delay(latency_ms), world.delay(latency_ms));
            (draw(&mut world), before, after)
        };
        pass(before).await;
        let mut world = self.shared.lock();
        world.catch_up(Some(self.life));
        match &outcome {
            Outcome::Refused(refusal) => {
                world.count.refusals += 1;
                world.tell(format_args!("portal: {what} refused, {:?}", refusal.class));
            }
            Outcome::Lost => {
                world.count.lost_answers += 1;
                world.tell(format_args!("portal: the answer to {what} is lost"));
            }
            Outcome::Answered => world.tell(format_args!("portal: {what}")),
        }
        world.step();
        (outcome, after)
    }

    async fn end(&self, outcome: Outcome, after: Duration) -> Result<(), CallError> {
        pass(after).await;
        match outcome {
            Outcome::Answered => Ok(()),
            Outcome::Refused(refusal) => Err(refusal),
            Outcome::Lost => Err(refusal(Class::Retry)),
        }
    }

    fn event(&self, world: &World, key: u64) -> Event {
        let row = world.queue.row(key).expect("a row");
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        Event {
            queue: Arc::clone(&self.queue),
            id: EventId::try_new(id_of(key)).unwrap(),
            kind: row.plan.kind.to_owned(),
            date: raw(&row.date),
            data: raw(&row.data),
        }
    }
}

impl Drop for ScriptedPortal {
    fn drop(&mut self) {
        self.shared.lock().is_read = false;
    }
}

fn refusal(class: Class) -> CallError {
    let mut refusal = CallError::operator(METHOD, "as the script says", "wait");
    refusal.class = class;
    refusal
}

fn draw(world: &mut World) -> Outcome {
    let now = now_ms();
    if world.plan.portal.outages.iter().any(|(from, to)| (*from..*to).contains(&now)) {
        return Outcome::Refused(refusal(Class::Retry));
    }
    if world.is_quiet() || world.dice.u64(..1000) >= world.plan.portal.faults {
        return Outcome::Answered;
    }
    let class = match world.dice.u64(..100) {
        0..40 => return Outcome::Lost,
        40..60 => Class::Retry,
        60..68 => Class::RetryBounded,
        68..76 => Class::Rate,
        76..80 => Class::OpWait,
        80..85 => Class::Refresh,
        85..90 => Class::Unsubscribed,
        90..93 => Class::Operator,
        93..95 => Class::Bug,
        _ => Class::TooLarge,
    };
    let wait =
        matches!(class, Class::Rate | Class::OpWait).then(|| Duration::from_secs(world.dice.u64(0..30)));
    let mut refusal = refusal(class);
    refusal.wait = wait;
    Outcome::Refused(refusal)
}

#[async_trait]
impl Upstream for ScriptedPortal {
    fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    fn method(&self) -> &'static str {
        METHOD
    }

    fn needs_subscription(&self) -> bool {
        true
    }

    fn is_strained(&self) -> bool {
        false
    }

    fn has_login(&self) -> bool {
        false
    }

    fn epoch(&self) -> u64 {
        0
    }

    async fn is_superseded(&self) -> bool {
        false
    }

    async fn subscribe(&self) -> Result<(), CallError> {
        let (outcome, after) = self.begin("subscribe").await;
        self.end(outcome, after).await
    }

    async fn owner(&self) -> Result<u64, CallError> {
        let (outcome, after) = self.begin("profile").await;
        self.end(outcome, after).await.map(|()| self.shared.lock().owner)
    }

    async fn poll(&self, offset: Offset, limit: u16) -> Result<Batch, CallError> {
        use std::sync::atomic::Ordering::Relaxed;
        // A request may have had its effect, whatever the answer was.
        let confirmed = self.confirmed.fetch_max(offset.get(), Relaxed).max(offset.get());
        let (outcome, after) = self.begin(&format!("poll from {offset} on, up to {limit}")).await;
        if matches!(outcome, Outcome::Refused(_)) {
            return Err(self.end(outcome, after).await.err().unwrap_or_else(|| refusal(Class::Retry)));
        }
        let (page, portal_ms) = {
            let mut world = self.shared.lock();
            world.count.polls += 1;
            world.judge_poll(offset.get(), self.hold);
            let page = world.queue.carry_out(offset.get(), limit);
            world.judge_confirmed(&page.confirmed);
            (page, portal_ms(&world))
        };
        self.end(outcome, after).await?;
        let mut world = self.shared.lock();
        world.tell(format_args!("portal: answers {:?}, more: {}", page.ids, page.has_more));
        let fresh = world.judge_answer(&page.ids, page.has_more, confirmed, self.life);
        world.calls.justify(now_ms(), fresh * CALLS_PER_EVENT);
        let events = page.ids.iter().map(|id| self.event(&world, *id)).collect();
        Ok(Batch { events, has_more: page.has_more, portal_ms, ..Batch::default() })
    }

    async fn renew(&self, refusal: CallError) -> Result<(), CallError> {
        let is_fine = self.shared.lock().dice.bool();
        pass(Duration::from_millis(50)).await;
        if is_fine { Ok(()) } else { Err(refusal) }
    }
}

/// The time in an answer.
fn portal_ms(world: &World) -> Option<i64> {
    let portal = &world.plan.portal;
    match portal.clock {
        ClockPlan::Right => Some(portal.clock_ms(now_ms())),
        ClockPlan::Frozen => Some(EPOCH_MS + portal.ahead_ms),
        ClockPlan::Silent => None,
    }
}
