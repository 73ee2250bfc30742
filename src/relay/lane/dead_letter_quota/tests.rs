//! Tests the quota with a state file, and the log lines with a paused clock.

use std::io;
use std::sync::Mutex;

use serde_json::value::RawValue;
use tempfile::TempDir;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::checkpoint::Checkpoint;
use crate::event::Seq;
use crate::event::{Event, EventId, Queue};
use crate::store::{DeadLetterFilter, Progress, Tally};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

/// The size of each letter. The limit has room for four of them.
const SIZE: usize = 1000;
const LIMITS: DeadLettersConfig =
    DeadLettersConfig { max_size: 4 * SIZE as u64, max_age: HOUR, when_full: WhenFull::Wait };

/// Captures the log while it is alive.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Logged {
    fn begin() -> (Self, DefaultGuard) {
        let logged = Self::default();
        let log = tracing_subscriber::fmt().with_writer(logged.clone()).with_ansi(false).finish();
        (logged, tracing::subscriber::set_default(log))
    }

    /// The lines since the last call that contain `words`.
    fn take(&self, words: &str) -> Vec<String> {
        let text = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
        text.lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
    }
}

impl io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Logged {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// A new dead letter of the event `id` of `source`, of `SIZE` bytes.
fn new_letter(source: &str, id: u64) -> NewDeadLetter {
    let raw = |text: String| RawValue::from_string(text).unwrap();
    let (kind, date, reason) = ("MESSAGE", "\"now\"", "no such field");
    let rest = SIZE - kind.len() - date.len() - reason.len() - 2;
    NewDeadLetter {
        event: Event {
            queue: Arc::new(Queue::new(source, &format!("portal/user/{source}"))),
            id: EventId::try_new(id).unwrap(),
            kind: kind.into(),
            date: raw(date.into()),
            data: raw(format!("\"{}\"", "x".repeat(rest))),
        },
        reason: reason.into(),
        status: Some(422),
        answer: String::new(),
        attempts: 3,
        first_ms: 1,
    }
}

struct Folder {
    place: TempDir,
    store: Store,
    log: DeadLetterLog,
}

impl Folder {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let store = Store::open(&place.path().join("b24relay.db")).unwrap();
        Self { place, store, log: DeadLetterLog::default() }
    }

    fn of(&self, sink: &str, limits: DeadLettersConfig) -> DeadLetterQuota {
        DeadLetterQuota::new(sink, limits, &self.store, &self.log)
    }

    async fn bury(&self, sink: &str, source: &str, ids: impl IntoIterator<Item = u64>) {
        for id in ids {
            let queue = Queue::new(source, "example.bitrix24.com/user/12");
            let stored = self.store.bind(&queue).await.unwrap();
            let checkpoint =
                stored.lanes.get(sink).map_or(Checkpoint::at(Seq::FIRST), |lane| lane.checkpoint.clone());
            let (tally, new_letters) =
                (Tally { buried: 1, ..Tally::default() }, vec![new_letter(source, id)]);
            let progress = Progress { checkpoint, tally, new_letters, mark: None, start_ms: None };
            self.store.commit(source, sink, progress).await.unwrap();
        }
    }

    /// The letters of `sink`, by source and event, in the order of their storage.
    fn letters(&self, sink: &str) -> Vec<(String, u64)> {
        let filter = DeadLetterFilter { sinks: vec![sink.to_owned()], ..DeadLetterFilter::default() };
        let letters = Store::letters_at(&self.place.path().join("b24relay.db"), &filter).unwrap();
        letters.into_iter().map(|letter| (letter.source, letter.event_id)).collect()
    }
}

#[tokio::test]
async fn each_sink_has_a_limit_of_its_own() {
    let folder = Folder::new();
    assert_eq!(new_letter("a", 1).size(), SIZE as u64);
    folder.bury("crm", "a", 1..=4).await;
    let (crm, wiki) = (folder.of("crm", LIMITS), folder.of("wiki", LIMITS));
    let reason = crm.refuses(&new_letter("a", 5)).await.unwrap();
    for words in ["no room for another dead letter", "5000 bytes", "is 4000", "--sink crm"] {
        assert!(reason.contains(words), "{reason}");
    }
    assert_eq!(wiki.refuses(&new_letter("a", 5)).await, None);
    folder.bury("wiki", "a", 1..=3).await;
    assert_eq!(wiki.refuses(&new_letter("a", 4)).await, None);
    assert_eq!(folder.letters("crm").len(), 4, "nothing is dropped");
}

#[tokio::test]
async fn the_age_of_a_letter_is_warned_of_once_an_hour_and_refuses_nothing() {
    let folder = Folder::new();
    let (logged, _guard) = Logged::begin();
    folder.bury("crm", "a", 1..=2).await;
    let limits = DeadLettersConfig { max_age: Duration::ZERO, max_size: 1 << 20, ..LIMITS };
    until_older_than_now(&folder).await;
    let lanes = [folder.of("crm", limits), folder.of("crm", limits)];
    for id in 3..20 {
        for lane in &lanes {
            assert_eq!(lane.has_no_room(&new_letter("a", id)).await, None);
        }
    }
    assert_eq!(logged.take("older than `dead_letters.max_age`").len(), 1);
    assert_eq!(folder.of("wiki", limits).has_no_room(&new_letter("a", 3)).await, None);
    assert_eq!(logged.take("older than").len(), 0, "it has none");
}

/// Waits until the oldest letter is older than now: dead letters are dated in milliseconds.
async fn until_older_than_now(folder: &Folder) {
    let oldest_ms = folder.store.stats("crm").await.unwrap().oldest_ms.unwrap();
    while wall_clock::now_ms() <= oldest_ms {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn dropping_the_oldest_begins_with_those_of_the_same_source_and_spares_other_sinks() {
    let folder = Folder::new();
    folder.bury("wiki", "b", 1..=4).await;
    folder.bury("crm", "a", 1..=2).await;
    folder.bury("crm", "b", 1..=2).await;
    let limits = DeadLettersConfig { when_full: WhenFull::DropOldest, ..LIMITS };
    let crm = folder.of("crm", limits);
    let letters =
        |expected: &[(&str, u64)]| expected.iter().map(|(source, id)| ((*source).to_owned(), *id)).collect();
    let expect = |expected: &[(&str, u64)]| -> Vec<(String, u64)> { letters(expected) };
    let (logged, _guard) = Logged::begin();
    for (id, left) in [(3, [("a", 1), ("a", 2), ("b", 2)]), (4, [("a", 1), ("a", 2), ("b", 3)])] {
        assert_eq!(crm.refuses(&new_letter("b", id)).await, None);
        assert_eq!(folder.letters("crm"), expect(&left));
        folder.bury("crm", "b", [id]).await;
    }
    // A source without letters displaces the oldest of all.
    assert_eq!(crm.refuses(&new_letter("c", 1)).await, None);
    assert_eq!(folder.letters("crm"), expect(&[("a", 2), ("b", 3), ("b", 4)]));
    assert_eq!(folder.letters("wiki").len(), 4);
    assert_eq!(logged.take("the oldest have been deleted").len(), 1, "one line a minute");

    let small = DeadLettersConfig { max_size: SIZE as u64 - 1, ..limits };
    assert!(folder.of("crm", small).refuses(&new_letter("b", 9)).await.is_some(), "it never fits");
    assert_eq!(folder.letters("crm").len(), 3);
}

#[tokio::test(start_paused = true)]
async fn new_dead_letters_are_one_line_a_minute_with_their_number() {
    let (logged, _guard) = Logged::begin();
    let logs = DeadLetterLog::default();
    let words = "they become dead letters";
    let (lane, other) = (logs.of("crm"), logs.of("crm"));
    lane.buried(&new_letter("a", 1));
    let said = logged.take(words);
    assert!(said.len() == 1 && said[0].contains("events=1 event_id=1"), "{said:?}");
    for id in 2..=50 {
        lane.buried(&new_letter("a", id));
        other.buried(&new_letter("b", id));
    }
    logs.of("wiki").buried(&new_letter("a", 1));
    assert_eq!(logged.take(words).len(), 1, "that of the other sink");
    tokio::time::sleep(MINUTE + Duration::from_millis(1)).await;
    let said = logged.take(words);
    assert!(said.len() == 1 && said[0].contains("events=98 event_id=50"), "{said:?}");
    assert!(said[0].contains("source=\"b\"") && said[0].contains("no such field"), "{said:?}");

    tokio::time::sleep(MINUTE).await;
    lane.buried(&new_letter("a", 60));
    assert_eq!(logged.take(words).len(), 1, "a minute without any has passed");
    lane.buried(&new_letter("a", 61));
    assert_eq!(logged.take(words).len(), 0);
    drop((lane, other, logs));
    let said = logged.take(words);
    assert!(said.len() == 1 && said[0].contains("events=1 event_id=61"), "{said:?}");
    tokio::time::sleep(2 * MINUTE).await;
    assert_eq!(logged.take(words).len(), 0);
}

#[tokio::test(start_paused = true)]
async fn warnings_are_repeated_every_hour() {
    let (logged, _guard) = Logged::begin();
    let log = DeadLetterLog::default().of("crm");
    for (elapsed, lines) in [(Duration::ZERO, 2), (59 * MINUTE, 0), (MINUTE, 2), (MINUTE, 0)] {
        tokio::time::advance(elapsed).await;
        log.nearly_full(90, 100);
        log.old(3 * HOUR, HOUR);
        assert_eq!(logged.take("WARN").len(), lines);
    }
}
