//! The size of the state file: delivered events leave neither bytes nor text in it, and a large file is checked while
//! the daemon already works.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use b24relay::event::{Event, EventId, Queue};
use b24relay::store::{Append, Progress, Store, Tally};
use rusqlite::Connection;
use serde_json::json;
use serde_json::value::RawValue;

use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::code;
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;
use crate::support::state::populated_state::STATE;

const MIB: u64 = 1024 * 1024;

fn size(setup: &Setup) -> u64 {
    setup.path(STATE).metadata().map_or(0, |metadata| metadata.len())
}

#[tokio::test]
async fn what_was_delivered_leaves_neither_bytes_nor_text_in_the_file() {
    let portal = Portal::start().await;
    let setup =
        Setup::new().with("[delivery]\nhold = \"0s\"").with_user(&portal, "support", 1, 100).with_file();
    for _ in 0..5 {
        portal.record_as(json!({"user": 1, "count": 100, "bytes": 100_000})).await;
    }
    let mut relay = setup.run();
    until("all are delivered", async || setup.filed_count() == 500).await;
    assert!(fs::metadata(setup.path("events.jsonl")).unwrap().len() > 45 * MIB);
    // Data in the log reaches the file a moment later.
    until("the journal is trimmed", async || setup.status_of("support").await["journal_bytes"] == 0).await;
    until("the file is small", async || size(&setup) < 4 * MIB).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert!(!setup.path("b24relay.db-wal").exists());
    assert!(size(&setup) < 4 * MIB, "{}", size(&setup));

    let text = fs::read_to_string(setup.path("events.jsonl")).unwrap();
    let state = fs::read(setup.path(STATE)).unwrap();
    for line in text.lines().take(500) {
        let middle = &line.as_bytes()[line.len() / 2..][..24];
        assert!(!state.windows(24).any(|window| window == middle), "{}", String::from_utf8_lossy(middle));
    }
}

#[tokio::test]
async fn a_small_file_that_cannot_shrink_is_rebuilt_once() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 5).await;
    setup.drain().await;
    let auto_vacuum = || -> u32 {
        let file = Connection::open(setup.path(STATE)).unwrap();
        file.query_row("PRAGMA auto_vacuum", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(auto_vacuum(), 2, "a new one can");
    Connection::open(setup.path(STATE)).unwrap().execute_batch("PRAGMA auto_vacuum = NONE; VACUUM").unwrap();
    assert_eq!(auto_vacuum(), 0);
    setup.drain().await;
    assert_eq!(auto_vacuum(), 2);
    portal.record(1, 5).await;
    setup.drain().await;
    assert_eq!(setup.filed_count(), 10);
}

/// A journal of 70 MiB that the only sink has settled, and that is kept.
async fn fill(setup: &Setup, queue: &Arc<Queue>) {
    let store = Store::open(&setup.path(STATE)).unwrap();
    let mut reading = store.bind(queue).await.unwrap().reading;
    for id in 1..=280 {
        let event = Event {
            queue: Arc::clone(queue),
            id: EventId::try_new(id).unwrap(),
            kind: "ONIMV2MESSAGEADD".into(),
            date: RawValue::from_string("\"2025-01-15T10:30:00+02:00\"".into()).unwrap(),
            data: RawValue::from_string(format!("\"{}\"", "x".repeat(256 * 1024))).unwrap(),
        };
        reading.next = reading.next.next();
        reading.open = reading.next;
        let append = Append { events: vec![event], reading: reading.clone() };
        store.append("support", Arc::new(append)).await.unwrap();
    }
    let checkpoint = b24relay::checkpoint::Checkpoint::at(reading.next);
    let tally = Tally { delivered: 280, ..Tally::default() };
    let progress = Progress { checkpoint, tally, new_letters: Vec::new(), mark: None, start_ms: None };
    store.commit("support", "archive", progress).await.unwrap();
}

#[tokio::test]
async fn damage_in_a_big_file_is_found_beside_the_work_and_ends_it() {
    let portal = Portal::start().await;
    let setup = Setup::new().with("[journal]\nkeep = \"1d\"").with_source(&portal).with_file();
    let queue = Arc::new(Queue::new("support", &format!("{}/user/1", portal.sandbox.address())));
    fill(&setup, &queue).await;
    assert!(size(&setup) > 64 * MIB);
    portal.record(1, 2).await;
    let mut relay = setup.run();
    until("it works", async || setup.filed_count() == 2).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert!(!setup.path("b24relay.db-wal").exists(), "the check has kept the log from being put away");

    let middle = size(&setup) / 2 / 4096 * 4096;
    let file = fs::File::options().write(true).open(setup.path(STATE)).unwrap();
    file.write_all_at(&[0; 4096], middle).unwrap();
    let mut relay = setup.run();
    relay.until_logged("source started").await;
    assert_eq!(relay.exit_code().await, 74, "{}", relay.log());
    assert!(relay.log().contains("is damaged"), "{}", relay.log());
    let check = crate::support::process::relay::finished(&["state", "check"], setup.folder()).await;
    assert_eq!(code(&check), 74);
}
