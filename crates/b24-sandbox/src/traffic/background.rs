//! Background traffic: random events at the configured rate.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::http::state::AppState;
use crate::queue::owner::Reader;
use crate::state::portal::{Account, Portal};
use crate::traffic::event_data::{EventData, EventKind};
use crate::wire::payload;

/// How often the loop checks whether an event is due.
const BEAT: Duration = Duration::from_millis(25);

/// The maximum rate in events per second, whatever the switch says.
const RATE_MAX: f64 = 100_000.0;

/// Generates events at the rate in the switches, until the stop.
pub(crate) async fn chat(app_state: Arc<AppState>) {
    let mut due = 0.0;
    let mut last = Instant::now();
    while app_state.stop.run_until_cancelled(tokio::time::sleep(BEAT)).await.is_some() {
        let rate = app_state.portal().switches.rate.clamp(0.0, RATE_MAX);
        // After a pause, at most one second's worth of events is made at once.
        due = f64::min(due + rate * last.elapsed().as_secs_f64(), rate);
        last = Instant::now();
        // The loop checks the stop signal even on a machine that is too slow for the rate.
        while due >= 1.0 && last.elapsed() < BEAT {
            // An event without subscribers counts too.
            let rows = u32::try_from(app_state.portal().live()).unwrap_or(u32::MAX);
            due -= f64::from(rows.max(1));
        }
    }
}

impl Portal {
    /// Generates an event in a random chat, with a row for each subscribed member. Returns the number of
    /// rows.
    pub(crate) fn live(&mut self) -> usize {
        let now_s = self.now().as_second();
        let event_data = self.generator.live(now_s);
        let newcomer = event_data.actor.as_ref().filter(|_| event_data.event_kind == EventKind::Join);
        let mut readers = event_data.chat.members.clone();
        readers.extend(newcomer.map(|person| person.id).filter(|id| !event_data.chat.members.contains(id)));
        readers.into_iter().filter(|reader| self.tell(&event_data, *reader, now_s)).count()
    }

    /// Adds the row of `event_data` to the queue of `reader`, if that user is subscribed.
    fn tell(&mut self, event_data: &EventData, reader: u64, now_s: i64) -> bool {
        let subscribed = |account: &Account| account.queue.is_subscribed();
        if !self.accounts.get(&reader).is_some_and(subscribed) {
            return false;
        }
        let data = self.payload(event_data, reader);
        let row = self.row(now_s, event_data.event_kind.wire_name().into(), data.into());
        self.write(Reader::User(reader), row).is_ok()
    }

    /// The payload of `event_data` for `reader`, as this portal renders it.
    pub(crate) fn payload(&self, event_data: &EventData, reader: u64) -> String {
        let action = if event_data.withdrawn { "delete" } else { "add" };
        payload::render(
            event_data,
            reader,
            self.switches.reaction_action.then_some(action),
            self.switches.loaded,
        )
    }
}
