//! Tests the confirm window with a portal whose clock runs like ours.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::*;
use crate::event::Queue;

const LAG: Duration = Duration::from_secs(10);

fn id(id: u64) -> EventId {
    EventId::try_new(id).unwrap()
}

fn event(number: u64, second: i64, text: &str) -> Event {
    let date = jiff::Timestamp::from_second(1_700_000_000 + second).unwrap();
    Event {
        queue: Arc::new(Queue::new("support", "example.bitrix24.com/user/12")),
        id: id(number),
        kind: "ONIMV2MESSAGEADD".into(),
        date: RawValue::from_string(format!("\"{date}\"")).unwrap(),
        data: RawValue::from_string(format!("\"{text}\"")).unwrap(),
    }
}

fn batch(events: &[(u64, i64)], has_more: bool) -> Batch {
    let events = events.iter().map(|(number, second)| event(*number, *second, "x")).collect();
    Batch { events, has_more, ..Batch::default() }
}

/// A window with a portal whose clock runs like ours.
struct Trial {
    window: ConfirmWindow,
    clock: PortalClock,
    began: Instant,
}

impl Trial {
    fn begin(hold: Hold) -> Self {
        let trial = Self {
            window: ConfirmWindow::new(LAG, hold, Reading::beginning(), &[], false),
            clock: PortalClock::default(),
            began: Instant::now(),
        };
        trial.clock.note(1_700_000_000_000);
        trial
    }

    fn second(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_secs()).unwrap()
    }

    fn read(&mut self, batch: Batch, offset: u64) -> WindowView {
        let offset = Offset::try_new(offset).unwrap();
        self.window.send(offset);
        self.window.read(batch, offset, Instant::now(), &self.clock)
    }

    fn offset(&self, delivered: u64) -> u64 {
        self.window.offset(Seq::try_new(delivered).unwrap(), self.window.reading.next).get()
    }
}

fn ids(shown: &WindowView) -> Vec<u64> {
    shown.fresh.iter().map(|event| event.id.get()).collect()
}

#[tokio::test(start_paused = true)]
async fn an_id_is_confirmed_when_it_is_old_and_delivered_or_held_for_long_enough() {
    let mut trial = Trial::begin(Hold::For(Duration::from_secs(30)));
    trial.read(batch(&[], false), 1);
    assert_eq!(ids(&trial.read(batch(&[(5, 0), (7, 0)], false), 1)), [5, 7]);
    assert_eq!(trial.offset(3), 1, "young");
    tokio::time::advance(LAG).await;
    assert_eq!(trial.offset(3), 1, "old, but no poll has shown what may lie below since");
    assert_eq!(ids(&trial.read(batch(&[(5, 0), (6, 0), (7, 0)], false), 1)), [6]);
    assert_eq!(trial.offset(4), 8);
    assert_eq!(trial.offset(3), 6, "the third was not delivered");
    assert_eq!(trial.offset(1), 1);
    tokio::time::advance(Duration::from_secs(20)).await;
    assert_eq!(trial.offset(1), 6, "the sixth was read later");
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(trial.offset(1), 8);
    trial.read(batch(&[], false), 8);
    assert_eq!((trial.window.reading().confirmed.get(), trial.offset(1)), (8, 1), "nothing is left");
}

#[tokio::test(start_paused = true)]
async fn an_id_that_shows_after_all_around_it_was_confirmed_is_an_ordinary_one() {
    let mut trial = Trial::begin(Hold::For(Duration::ZERO));
    trial.read(batch(&[(5, 0), (7, 0)], false), 1);
    tokio::time::advance(2 * LAG).await;
    trial.read(batch(&[(5, 0), (7, 0)], false), 1);
    assert_eq!(trial.offset(1), 8);
    trial.read(batch(&[], false), 8);
    let shown = trial.read(batch(&[(6, 0)], false), 1);
    assert_eq!((ids(&shown), shown.restored), (vec![6], None));
    assert_eq!(ids(&trial.read(batch(&[(6, 0)], false), 1)), Vec::<u64>::new());
    tokio::time::advance(LAG).await;
    trial.read(batch(&[(6, 0)], false), 1);
    assert_eq!(trial.offset(1), 7);
}

#[tokio::test(start_paused = true)]
async fn a_portal_that_counts_anew_is_told_by_the_same_id_with_another_date() {
    let mut trial = Trial::begin(Hold::Forever);
    trial.read(batch(&[(4, 0), (5, 0), (7, 0)], false), 1);
    let mut again = batch(&[(4, 0), (5, 0), (6, 0)], false);
    again.events[1] = event(5, 60, "another");
    let shown = trial.read(again, 1);
    assert_eq!((ids(&shown), shown.stolen), (vec![5, 6], 0), "what it still shows of before is known");
    assert!(shown.restored.is_some());
    let Reading { generation, next, .. } = trial.window.reading();
    assert_eq!((*generation, next.get()), (2, 6));
}

#[tokio::test(start_paused = true)]
async fn a_portal_that_counts_anew_is_told_by_a_low_id_of_a_late_date() {
    let mut trial = Trial::begin(Hold::For(Duration::ZERO));
    trial.read(batch(&[(50, 0), (70, 0)], false), 1);
    tokio::time::advance(2 * LAG).await;
    trial.read(batch(&[(50, 0), (70, 0)], false), 1);
    trial.read(batch(&[], false), 71);
    tokio::time::advance(Duration::from_secs(60)).await;
    let second = trial.second();
    let shown = trial.read(batch(&[(20, second)], false), 1);
    assert!(shown.restored.is_some());
    assert_eq!((ids(&shown), trial.window.reading().confirmed), (vec![20], Offset::START));
    // Marks from the old generation must not start a third one.
    assert!(trial.read(batch(&[(20, second), (21, second)], false), 1).restored.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_unconfirmed_was_stolen_but_for_what_a_lost_answer_may_have_confirmed() {
    let mut trial = Trial::begin(Hold::For(Duration::ZERO));
    trial.read(batch(&[(5, 0), (6, 0), (7, 0)], false), 1);
    assert_eq!(trial.read(batch(&[(7, 0)], false), 1).stolen, 2);
    trial.window.send(Offset::try_new(8).unwrap());
    trial.window.doubt();
    assert_eq!(trial.offset(9), 1, "it looks first");
    assert_eq!(trial.read(batch(&[], false), 1).stolen, 0);
}

#[tokio::test(start_paused = true)]
async fn a_window_that_is_too_long_lets_go_of_the_oldest() {
    let mut trial = Trial::begin(Hold::For(Duration::from_secs(30)));
    let events: Vec<(u64, i64)> = (1..=400).map(|number| (number, 0)).collect();
    trial.read(batch(&events, false), 1);
    assert_eq!(trial.offset(1), 1, "what shows late would be lost");
    tokio::time::advance(SURPLUS_LAG).await;
    assert_eq!(trial.offset(1), 1, "nothing has shown what lies between them now");
    trial.read(batch(&events, false), 1);
    assert_eq!(trial.offset(1), 101);
    let mut trial = Trial::begin(Hold::Forever);
    trial.read(batch(&events, false), 1);
    tokio::time::advance(SURPLUS_LAG).await;
    trial.read(batch(&events, false), 1);
    assert_eq!((trial.offset(1), trial.offset(51)), (1, 51), "no sink goes without");
}

#[tokio::test(start_paused = true)]
async fn an_earlier_run_s_events_are_known_and_missing_ones_are_nobody_s_theft() {
    let open: Vec<Entry> = [(1, 5), (2, 7)]
        .map(|(seq, number)| Entry { seq: Seq::try_new(seq).unwrap(), event: event(number, 0, "x") })
        .into();
    let reading = Reading { next: Seq::try_new(3).unwrap(), ..Reading::beginning() };
    let mut window = ConfirmWindow::new(LAG, Hold::Forever, reading, &open, false);
    let clock = PortalClock::default();
    let shown = window.read(batch(&[(7, 0), (9, 0)], false), Offset::START, Instant::now(), &clock);
    assert_eq!((ids(&shown), shown.stolen, window.open().get()), (vec![9], 0, 2));
}
