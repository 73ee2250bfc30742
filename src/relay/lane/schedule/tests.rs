//! No event overtakes one that it must wait for, whatever fails, and none is left over.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::GiveUp;
use crate::event::EventId;
use crate::event::tests;

const RETRY: RetryConfig =
    RetryConfig { min: Duration::from_secs(1), max: Duration::from_secs(60), give_up: GiveUp::Never };
const ALL: [OrderingConfig; 3] = [OrderingConfig::Strict, OrderingConfig::Chat, OrderingConfig::None];
const ONE: BatchLimit = BatchLimit { events: 1, bytes: 1 };

fn entry(number: u64, kind: &str, data: &str) -> Arc<Entry> {
    let event = Event { id: EventId::try_new(number).unwrap(), ..tests::event(kind, data) };
    Arc::new(Entry { seq: Seq::try_new(number).unwrap(), event })
}

/// Event `number` of `chat`. Chat 4 stands for the end of a bot, which belongs to every chat.
fn of_chat(number: u64, chat: u8) -> Arc<Entry> {
    let kind = if is_end(chat) { "ONIMBOTV2DELETE" } else { "ONIMV2MESSAGEADD" };
    entry(number, kind, &format!(r#"{{"chat":{{"id":{}}}}}"#, chat + 1))
}

/// Whether `before` must be settled, or stand before it in the same attempt batch, when `place` is attempted.
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

fn is_end(chat: u8) -> bool {
    chat == 4
}

/// A lane that reads on whenever there is room for `room` events, and treats them at random.
struct Trial {
    schedule: Schedule,
    entries: Vec<Arc<Entry>>,
    settled: Vec<bool>,
    flying: Vec<AttemptBatch>,
    cursor: usize,
    room: usize,
}

impl Trial {
    fn fill(&mut self) {
        if self.schedule.must_read_again() {
            self.cursor = self.settled.iter().position(|is_settled| !is_settled).unwrap_or(0);
        }
        if self.schedule.loaded.len() >= self.room && !self.schedule.has_ready() && self.flying.is_empty() {
            self.schedule.set_aside();
        }
        while self.cursor < self.entries.len()
            && self.schedule.is_open()
            && self.schedule.loaded.len() < self.room
        {
            let entry = &self.entries[self.cursor];
            if !self.settled[self.cursor] && !self.schedule.holds(entry.seq) {
                self.schedule.push(Arc::clone(entry));
            }
            self.cursor += 1;
        }
    }

    fn settle(&mut self, batch: &AttemptBatch) {
        batch.entries.iter().for_each(|entry| self.settled[place_of(entry)] = true);
        self.schedule.settle(batch);
    }
}

fn place_of(entry: &Entry) -> usize {
    usize::try_from(entry.seq.get()).unwrap() - 1
}

fn check(ordering: OrderingConfig, chats: &[u8], max: BatchLimit, room: usize, steps: &[(u8, u8)]) {
    let room = if ordering == OrderingConfig::Chat { room } else { usize::MAX };
    let mut trial = Trial {
        schedule: Schedule::new(ordering, RETRY),
        entries: (1..).zip(chats).map(|(number, chat)| of_chat(number, *chat)).collect(),
        settled: vec![false; chats.len()],
        flying: Vec::new(),
        cursor: 0,
        room,
    };
    let start = Instant::now();
    // After the random steps come successes only, so everything comes to an end.
    let steps = steps.iter().copied().chain(std::iter::repeat_n((0, 0), 6 * chats.len() + 6));
    for (index, (step, which)) in (0u32..).zip(steps) {
        trial.fill();
        let now = start + Duration::from_secs(u64::from(index));
        let purpose = if step % 11 == 4 { Purpose::Probe } else { Purpose::Delivery };
        if (step.is_multiple_of(2) || trial.flying.is_empty())
            && let Some(mut batch) = trial.schedule.take(now, max, purpose)
        {
            let is_wanted = |event: &Event| step % 7 != 3 || !event.id.get().is_multiple_of(3);
            for gone in trial.schedule.retain(&mut batch, is_wanted) {
                trial.settled[place_of(&gone)] = true;
            }
            assert!(batch.entries.len() <= max.events.max(1));
            for (index, entry) in batch.entries.iter().enumerate() {
                let place = place_of(entry);
                assert!(!trial.settled[place], "{place} is attempted again");
                for before in (0..place).filter(|before| comes_before(ordering, chats, *before, place)) {
                    let is_aboard = batch.entries[..index].iter().any(|other| place_of(other) == before);
                    assert!(trial.settled[before] || is_aboard, "{place} is attempted before {before}");
                }
            }
            if batch.entries.is_empty() { trial.settle(&batch) } else { trial.flying.push(batch) }
        }
        if trial.flying.is_empty() {
            continue;
        }
        let batch = trial.flying.swap_remove(usize::from(which) % trial.flying.len());
        match step % 5 {
            1 => {
                let ready_at = now + Duration::from_secs(u64::from(which % 4));
                trial.schedule.repeat(batch, Some(ready_at));
            }
            2 if batch.entries.len() > 1 => trial.schedule.halve(batch),
            3 => trial.flying.push(batch),
            _ => trial.settle(&batch),
        }
    }
    assert!(trial.settled.iter().all(|is_settled| *is_settled), "{:?}", trial.settled);
    let Schedule { bytes, fresh, ready, .. } = &trial.schedule;
    assert_eq!((*bytes, *fresh, ready.len()), (0, 0, 0));
    assert!(trial.schedule.is_empty() && !trial.schedule.has_failed());
}

proptest! {
    #[test]
    fn nothing_overtakes_what_it_must_wait_for_and_nothing_is_left(
        chats in prop::collection::vec(0u8..5, 1..30),
        ordering in 0usize..3,
        events in 1usize..6,
        bytes in prop::sample::select(vec![1u64, 40, 1000]),
        room in 1usize..12,
        steps in prop::collection::vec((any::<u8>(), any::<u8>()), 0..80),
    ) {
        check(ALL[ordering], &chats, BatchLimit { events, bytes }, room, &steps);
    }
}

fn chat_schedule(chats: &[u8]) -> Schedule {
    let mut schedule = Schedule::new(OrderingConfig::Chat, RETRY);
    for (number, chat) in (1..).zip(chats) {
        schedule.push(of_chat(number, *chat));
    }
    schedule
}

fn seq_of(batch: &AttemptBatch) -> u64 {
    batch.first().unwrap().seq.get()
}

#[test]
fn a_chat_that_fails_holds_back_nobody_else() {
    let mut schedule = chat_schedule(&[1, 2, 1, 2]);
    let now = Instant::now();
    let failing = schedule.take(now, ONE, Purpose::Delivery).unwrap();
    schedule.repeat(failing, Some(now + Duration::from_secs(60)));
    for seq in [2, 4] {
        let batch = schedule.take(now, ONE, Purpose::Delivery).unwrap();
        assert_eq!(seq_of(&batch), seq);
        schedule.settle(&batch);
    }
    assert!(schedule.take(now, ONE, Purpose::Delivery).is_none());
    assert!(schedule.waits_behind_failure(&of_chat(5, 1)) && !schedule.waits_behind_failure(&of_chat(5, 2)));
    schedule.retry_now();
    assert_eq!(seq_of(&schedule.take(now, ONE, Purpose::Delivery).unwrap()), 1);
}

#[test]
fn a_probe_is_made_with_another_chat_s_event_than_the_one_that_failed_last() {
    let mut schedule = chat_schedule(&[1, 2, 1]);
    let now = Instant::now();
    let mut probed = Vec::new();
    for _ in 0..4 {
        let batch = schedule.take(now, ONE, Purpose::Probe).unwrap();
        probed.push(seq_of(&batch));
        schedule.repeat(batch, Some(now + Duration::from_secs(60)));
    }
    assert_eq!(probed, [1, 2, 1, 2]);
}
