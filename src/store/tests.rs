//! The statements of a running relay: none costs more because the journal holds more, and a reader beside it sees no
//! damage.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::trace::{TraceEvent, TraceEventCodes};
use rusqlite::{Connection, StatementStatus};
use serde_json::value::RawValue;

use crate::checkpoint::Checkpoint;
use crate::event::{Event, EventId, Queue, Seq};
use crate::store::error::StoreError;
use crate::store::file::lock::Lock;
use crate::store::file::wal;
use crate::store::handle::Store;
use crate::store::paths::sibling_path;
use crate::store::table::activity::LaneActivity;
use crate::store::table::checkpoints::LaneNote;
use crate::store::table::checkpoints::Progress;
use crate::store::table::checkpoints::Tally;
use crate::store::table::dead_letters::NewDeadLetter;
use crate::store::table::journal::Append;
use crate::store::table::journal::Reading;

/// How many events a poll returns.
const PAGE: u64 = 5;

/// By file and statement: how many steps of SQLite's virtual machine its first run on a connection took.
static STEPS: Mutex<BTreeMap<(PathBuf, String), i32>> = Mutex::new(BTreeMap::new());

/// Counts the steps of the statements on `connection`, to the file at `path`.
pub(super) fn watch(connection: &mut Connection, path: &Path) {
    let path = path.to_owned();
    let note = move |event: TraceEvent<'_>| {
        if let TraceEvent::Profile(statement, _) = event {
            let key = (path.clone(), statement.sql().into_owned());
            let steps = statement.get_status(StatementStatus::VmStep);
            STEPS.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_insert(steps);
        }
    };
    connection.trace_v2(TraceEventCodes::SQLITE_TRACE_PROFILE, Some(note)).unwrap();
}

fn queue() -> Arc<Queue> {
    Arc::new(Queue::new("support", "example.bitrix24.com/user/12"))
}

fn event(id: u64) -> Event {
    Event {
        queue: queue(),
        id: EventId::try_new(id).unwrap(),
        kind: "ONIMV2MESSAGEADD".into(),
        date: RawValue::from_string("\"2025-01-15T10:30:00+02:00\"".into()).unwrap(),
        data: RawValue::from_string(r#"{"text":"hello"}"#.into()).unwrap(),
    }
}

/// The events that poll `number` returns.
fn page(number: u64) -> Append {
    let first = number * PAGE + 1;
    let events = (first..first + PAGE).map(event).collect();
    let next = Seq::try_new(first + PAGE).unwrap();
    Append { events, reading: Reading { next, ..Reading::beginning() } }
}

/// The progress of a sink that stands at `next` and rejects one event.
fn progress(next: u64) -> Progress {
    let reason = "receiver answered 422".to_owned();
    let new_letter = NewDeadLetter {
        event: event(next),
        reason,
        status: Some(422),
        answer: String::new(),
        attempts: 1,
        first_ms: 1,
    };
    let mut checkpoint = Checkpoint::at(Seq::try_new(next).unwrap());
    checkpoint.settle(Seq::try_new(next + 2).unwrap());
    Progress {
        checkpoint,
        tally: Tally::default(),
        new_letters: vec![new_letter],
        mark: None,
        start_ms: None,
    }
}

/// The steps of all statements of a running relay, with a journal of `pages` pages.
async fn steps_with(pages: u64) -> BTreeMap<String, i32> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap().join("b24relay.db");
    let store = Store::open(&path).unwrap();
    store.bind(&queue()).await.unwrap();
    for sink in ["crm", "archive"] {
        store.commit("support", sink, progress(1)).await.unwrap();
    }
    for number in 0..pages {
        store.append("support", Arc::new(page(number))).await.unwrap();
    }
    drop(store);

    let store = Store::open(&path).unwrap();
    // The statements of a start are not measured here.
    STEPS.lock().unwrap().retain(|(file, _), _| *file != path);
    store.bind(&queue()).await.unwrap();
    let middle = pages * PAGE / 2;
    store.append("support", Arc::new(page(pages))).await.unwrap();
    store.commit("support", "crm", progress(middle)).await.unwrap();
    store
        .note_lane(
            "support",
            "crm",
            LaneNote { state: LaneActivity::Retrying, next_ms: None, trouble: "down".into() },
        )
        .await
        .unwrap();
    let (entries, _) = store.read_journal(&queue(), Seq::try_new(middle).unwrap(), 100).await.unwrap();
    assert!(!entries.is_empty());
    assert!(store.received_ms("support", Seq::try_new(middle).unwrap()).await.unwrap().is_some());
    assert!(store.stats("crm").await.unwrap().bytes > 0);
    assert_eq!(
        store.trim_journal("support", Seq::try_new(PAGE + 1).unwrap(), Duration::ZERO).await.unwrap().0,
        1
    );
    store.shrink(0).await.unwrap();
    let report = store.reader().report().await.unwrap();
    assert_eq!(report.sources[0].journal_events, pages * PAGE);
    drop(store);
    let all = STEPS.lock().unwrap();
    all.iter().filter(|((file, _), _)| *file == path).map(|((_, sql), steps)| (sql.clone(), *steps)).collect()
}

#[tokio::test]
async fn a_log_that_a_daemon_writes_to_is_not_called_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let [path, copy] = ["b24relay.db", "copy.db"].map(|name| folder.path().join(name));
    let store = Store::open(&path).unwrap();
    store.bind(&queue()).await.unwrap();
    for number in 0..10 {
        store.append("support", Arc::new(page(number))).await.unwrap();
    }
    fs::copy(&path, &copy).unwrap();
    let mut log = fs::read(sibling_path(&path, "-wal")).unwrap();
    let middle = log.len() / 3;
    log[middle] ^= 1;
    fs::write(sibling_path(&copy, "-wal"), log).unwrap();
    assert!(matches!(wal::inspect_beside(&copy), Err(StoreError::Damaged { .. })));
    let _lock = Lock::acquire(&copy).unwrap();
    wal::inspect_beside(&copy).unwrap();
}

#[tokio::test]
async fn no_statement_costs_more_in_a_journal_that_holds_more() {
    let [few, many] = [steps_with(20).await, steps_with(500).await];
    assert!(few.len() > 20, "{few:#?}");
    for (sql, steps) in many {
        let Some(before) = few.get(&sql) else { panic!("only a long journal is asked {sql}") };
        assert!(steps <= before + 50, "{steps} steps instead of {before}: {sql}");
    }
}
