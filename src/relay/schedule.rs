//! Which events of a lane may be attempted now, and which together. Pure.
//!
//! Keeps G3: an event is not attempted while one that must come before it is unsettled, which is every
//! earlier one (`strict`), every earlier one of its chat (`chat`), or none (`none`). An event that belongs to every
//! chat waits for all earlier ones, and all later ones wait for it: the schedule is cut into stretches there, and a
//! stretch begins when all before it is settled.

use std::collections::{BTreeSet, HashMap, VecDeque};

use tokio::time::Instant;

use crate::chat;
use crate::config::{OrderingConfig, RetryConfig};
use crate::event::{Event, EventId};
use crate::retry::Backoff;
use crate::wall_clock;

/// The events of one attempt, ascending, and what became of earlier attempts with them.
pub struct Parcel<'e> {
    /// What is to be delivered; never empty while it is attempted.
    pub events: Vec<&'e Event>,
    /// How often it was attempted.
    pub tries: u32,
    /// How often it was rejected.
    pub rejections: u32,
    /// When it was attempted first, in Unix milliseconds.
    pub first_ms: i64,
    /// The delays between its attempts.
    pub backoff: Backoff,
    places: Vec<usize>,
    ready_at: Option<Instant>,
}

/// How much one parcel holds.
#[derive(Clone, Copy, Debug)]
pub struct ParcelMax {
    /// At most so many events.
    pub events: usize,
    /// At most so many bytes of payload, unless a single event is larger.
    pub bytes: u64,
}

/// Events that wait for all before them.
struct Stretch {
    /// The place of the first.
    start: usize,
    /// The places that wait for nothing else.
    heads: Vec<usize>,
}

/// See the top of this file.
pub struct Schedule<'e> {
    events: Vec<&'e Event>,
    /// By place: the place of the event that waits for it.
    next: Vec<Option<usize>>,
    /// Places that wait for nothing.
    ready: BTreeSet<usize>,
    /// The stretches that have not begun.
    later: VecDeque<Stretch>,
    /// Parcels that failed.
    failed: Vec<Parcel<'e>>,
    /// By place.
    is_settled: Vec<bool>,
    /// Everything before it is settled.
    lowest: usize,
    retry: RetryConfig,
}

impl<'e> Parcel<'e> {
    /// The event that is settled first.
    pub fn first(&self) -> Option<&'e Event> {
        self.events.first().copied()
    }

    fn is_ready(&self, now: Instant) -> bool {
        self.ready_at.is_none_or(|at| at <= now)
    }
}

impl<'e> Schedule<'e> {
    /// A schedule of `events`, ascending.
    pub fn new(events: Vec<&'e Event>, ordering: OrderingConfig, retry: RetryConfig) -> Self {
        let (next, later) = plan(&events, ordering);
        let is_settled = vec![false; events.len()];
        let mut schedule = Self {
            events,
            next,
            ready: BTreeSet::new(),
            later,
            failed: Vec::new(),
            is_settled,
            lowest: 0,
            retry,
        };
        schedule.advance();
        schedule
    }

    /// The lowest id that is not settled; `None` when everything is.
    pub fn lowest(&self) -> Option<EventId> {
        self.events.get(self.lowest).map(|event| event.id)
    }

    /// Whether a parcel waits to be repeated.
    pub fn has_failed(&self) -> bool {
        !self.failed.is_empty()
    }

    /// Whether there is something to attempt at `now`.
    pub fn is_ready(&self, now: Instant) -> bool {
        !self.ready.is_empty() || self.failed.iter().any(|parcel| parcel.is_ready(now))
    }

    /// When the next of the failed parcels becomes ready that is not ready at `now`.
    pub fn ready_after(&self, now: Instant) -> Option<Instant> {
        self.failed.iter().filter_map(|parcel| parcel.ready_at).filter(|at| *at > now).min()
    }

    /// The lowest of what is to be attempted at `now`.
    pub fn take(&mut self, now: Instant, max: ParcelMax) -> Option<Parcel<'e>> {
        let failed = self.failed.iter().enumerate().filter(|(_, parcel)| parcel.is_ready(now));
        let failed = failed.map(|(index, parcel)| (parcel.places.first().copied(), index)).min();
        match (failed, self.ready.first().copied()) {
            (Some((place, index)), fresh) if fresh.is_none() || place < fresh => {
                Some(self.failed.swap_remove(index))
            }
            (_, Some(_)) => Some(self.compose(max)),
            (_, None) => None,
        }
    }

    /// Every failed parcel is attempted as soon as may be.
    pub fn hasten(&mut self) {
        for parcel in &mut self.failed {
            parcel.ready_at = None;
        }
    }

    /// `parcel` is to be attempted again, but not before `ready_at`.
    pub fn repeat(&mut self, mut parcel: Parcel<'e>, ready_at: Option<Instant>) {
        parcel.ready_at = ready_at;
        self.failed.push(parcel);
    }

    /// All of `parcel` is settled.
    pub fn settle(&mut self, parcel: &Parcel<'e>) {
        for place in &parcel.places {
            self.is_settled[*place] = true;
            self.ready.extend(self.next[*place].filter(|next| parcel.places.binary_search(next).is_err()));
        }
        self.advance();
    }

    /// Lets go of what of `parcel` `is_wanted` leaves out, which is settled with that; returns it.
    pub fn retain(
        &mut self,
        parcel: &mut Parcel<'e>,
        is_wanted: impl Fn(&'e Event) -> bool,
    ) -> Vec<&'e Event> {
        if parcel.events.iter().all(|event| is_wanted(event)) {
            return Vec::new();
        }
        let (mut kept, mut dropped) = (Vec::new(), Vec::new());
        for place in &parcel.places {
            if is_wanted(self.events[*place]) {
                kept.push(*place);
                continue;
            }
            dropped.push(self.events[*place]);
            self.is_settled[*place] = true;
            let follower = self.next[*place];
            // What waited for it waits for what it has waited for itself.
            match kept.iter().find(|before| self.next[**before] == Some(*place)) {
                Some(before) => self.next[*before] = follower,
                None => self.ready.extend(follower.filter(|next| parcel.places.binary_search(next).is_err())),
            }
        }
        parcel.events = kept.iter().map(|place| self.events[*place]).collect();
        parcel.places = kept;
        self.advance();
        dropped
    }

    /// The first half of `parcel` is attempted by itself, the other half anew.
    pub fn halve(&mut self, mut parcel: Parcel<'e>) {
        let rest = parcel.places.split_off(parcel.places.len().div_ceil(2));
        let heads = |place: &usize| {
            !parcel.places.iter().chain(&rest).any(|before| self.next[*before] == Some(*place))
        };
        let heads: Vec<usize> = rest.iter().copied().filter(heads).collect();
        self.ready.extend(heads);
        parcel.events.truncate(parcel.places.len());
        // Other events, another request: its attempts count anew.
        (parcel.tries, parcel.rejections) = (0, 0);
        self.repeat(parcel, None);
    }

    fn compose(&mut self, max: ParcelMax) -> Parcel<'e> {
        let (mut places, mut bytes) = (Vec::new(), 0);
        while let Some(place) = self.ready.first().copied() {
            bytes += self.events[place].data.get().len() as u64;
            if !places.is_empty() && (places.len() >= max.events || bytes > max.bytes) {
                break;
            }
            self.ready.remove(&place);
            places.push(place);
            // In one parcel with it, what comes after it need not wait.
            self.ready.extend(self.next[place]);
        }
        for place in &places {
            if let Some(next) = &self.next[*place] {
                self.ready.remove(next);
            }
        }
        Parcel {
            events: places.iter().map(|place| self.events[*place]).collect(),
            tries: 0,
            rejections: 0,
            first_ms: wall_clock::now_ms(),
            backoff: Backoff::jittered(self.retry.min, self.retry.max),
            places,
            ready_at: None,
        }
    }

    fn advance(&mut self) {
        while self.is_settled.get(self.lowest).is_some_and(|is_settled| *is_settled) {
            self.lowest += 1;
        }
        while self.later.front().is_some_and(|stretch| stretch.start <= self.lowest) {
            self.ready.extend(self.later.pop_front().into_iter().flat_map(|stretch| stretch.heads));
        }
    }
}

/// By place the place of the event that waits for it, and the stretches.
fn plan(events: &[&Event], ordering: OrderingConfig) -> (Vec<Option<usize>>, VecDeque<Stretch>) {
    let groups: Vec<Option<usize>> = match ordering {
        OrderingConfig::None => (0..events.len()).map(Some).collect(),
        OrderingConfig::Strict => vec![Some(0); events.len()],
        OrderingConfig::Chat => chat::group(events),
    };
    let mut next = vec![None; events.len()];
    let (mut stretches, mut heads, mut start) = (VecDeque::new(), Vec::new(), 0);
    let mut last = HashMap::new();
    for (place, group) in groups.into_iter().enumerate() {
        let Some(group) = group else {
            stretches.push_back(Stretch { start, heads: std::mem::take(&mut heads) });
            stretches.push_back(Stretch { start: place, heads: vec![place] });
            last.clear();
            start = place + 1;
            continue;
        };
        match last.insert(group, place) {
            Some(before) => next[before] = Some(place),
            None => heads.push(place),
        }
    }
    stretches.push_back(Stretch { start, heads });
    (next, stretches)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;
    use crate::event::Queue;

    const RETRY: RetryConfig = RetryConfig {
        min: Duration::from_secs(1),
        max: Duration::from_secs(60),
        give_up: crate::config::GiveUp::Never,
    };
    const ALL: [OrderingConfig; 3] = [OrderingConfig::Strict, OrderingConfig::Chat, OrderingConfig::None];

    fn event(id: u64, data: String) -> Event {
        Event {
            queue: Arc::new(Queue::new("support", "example.bitrix24.com/user/12")),
            id: EventId::try_new(id).unwrap(),
            kind: "ONIMV2MESSAGEADD".into(),
            date: RawValue::NULL.to_owned(),
            data: RawValue::from_string(data).unwrap(),
        }
    }

    /// Which events must be settled, or stand before it in the same parcel, when `place` is attempted.
    fn comes_before(ordering: OrderingConfig, chats: &[u8], before: usize, place: usize) -> bool {
        before < place
            && match ordering {
                OrderingConfig::Strict => true,
                OrderingConfig::Chat => {
                    chats[before] == chats[place] || [before, place].iter().any(|at| is_end(chats[*at]))
                }
                OrderingConfig::None => false,
            }
    }

    /// Whether the event of this chat is the end of a bot, which belongs to every chat.
    fn is_end(chat: u8) -> bool {
        chat == 4
    }

    fn check(ordering: OrderingConfig, chats: &[u8], max: ParcelMax, steps: &[(u8, u8)]) {
        let events: Vec<Event> = chats
            .iter()
            .zip(1..)
            .map(|(chat, id)| Event {
                kind: if is_end(*chat) { "ONIMBOTV2DELETE" } else { "ONIMV2MESSAGEADD" }.into(),
                ..event(id, format!(r#"{{"chat":{{"id":{}}}}}"#, chat + 1))
            })
            .collect();
        let mut schedule = Schedule::new(events.iter().collect(), ordering, RETRY);
        let start = Instant::now();
        let (mut settled, mut flying) = (vec![false; chats.len()], Vec::<Parcel>::new());
        let place_of = |event: &Event| usize::try_from(event.id.get()).unwrap() - 1;
        // Whatever the dice say, everything comes to an end: the rest are successes.
        let steps = steps.iter().copied().chain(std::iter::repeat_n((0, 0), 4 * chats.len() + 4));
        for (index, (step, which)) in (0u32..).zip(steps) {
            let now = start + Duration::from_secs(u64::from(index));
            if (step % 2 == 0 || flying.is_empty())
                && let Some(mut parcel) = schedule.take(now, max)
            {
                for gone in schedule.retain(&mut parcel, |event| step % 7 != 3 || event.id.get() % 3 != 0) {
                    settled[place_of(gone)] = true;
                }
                assert!(parcel.events.len() <= max.events.max(1));
                for (index, event) in parcel.events.iter().enumerate() {
                    let place = place_of(event);
                    assert!(!settled[place], "{place} is attempted again");
                    for before in (0..place).filter(|before| comes_before(ordering, chats, *before, place)) {
                        let is_aboard = parcel.events[..index].iter().any(|other| place_of(other) == before);
                        assert!(settled[before] || is_aboard, "{place} is attempted before {before}");
                    }
                }
                if parcel.events.is_empty() { schedule.settle(&parcel) } else { flying.push(parcel) }
            }
            if flying.is_empty() {
                continue;
            }
            let parcel = flying.swap_remove(usize::from(which) % flying.len());
            match step % 5 {
                1 => schedule.repeat(parcel, Some(now + Duration::from_secs(u64::from(which % 4)))),
                2 if parcel.events.len() > 1 => schedule.halve(parcel),
                3 => flying.push(parcel),
                _ => {
                    parcel.events.iter().for_each(|event| settled[place_of(event)] = true);
                    schedule.settle(&parcel);
                }
            }
            let lowest = settled.iter().position(|is_settled| !is_settled).map(|place| events[place].id);
            assert_eq!(schedule.lowest(), lowest);
        }
        assert!(settled.iter().all(|is_settled| *is_settled), "{settled:?}");
        assert!(!schedule.is_ready(start + Duration::from_secs(9999)) && !schedule.has_failed());
    }

    proptest! {
        #[test]
        fn nothing_overtakes_what_it_must_wait_for_and_nothing_is_left(
            chats in prop::collection::vec(0u8..5, 1..30),
            ordering in 0usize..3,
            events in 1usize..6,
            bytes in prop::sample::select(vec![1u64, 40, 1000]),
            steps in prop::collection::vec((any::<u8>(), any::<u8>()), 0..80),
        ) {
            check(ALL[ordering], &chats, ParcelMax { events, bytes }, &steps);
        }
    }

    #[test]
    fn a_chat_that_fails_holds_back_nobody_else() {
        let events: Vec<Event> = [(1, 1), (2, 2), (3, 1), (4, 2)]
            .map(|(id, chat)| event(id, format!(r#"{{"chat":{{"id":{chat}}}}}"#)))
            .into();
        let mut schedule = Schedule::new(events.iter().collect(), OrderingConfig::Chat, RETRY);
        let (now, one) = (Instant::now(), ParcelMax { events: 1, bytes: 1 });
        let failing = schedule.take(now, one).unwrap();
        schedule.repeat(failing, Some(now + Duration::from_secs(60)));
        for id in [2, 4] {
            let parcel = schedule.take(now, one).unwrap();
            assert_eq!(parcel.first().unwrap().id.get(), id);
            schedule.settle(&parcel);
        }
        assert!(schedule.take(now, one).is_none());
        assert_eq!(schedule.lowest(), EventId::try_new(1));
        schedule.hasten();
        assert_eq!(schedule.take(now, one).unwrap().first().unwrap().id.get(), 1);
    }
}
