//! A state file with a history: checkpoints, ids above them, a journal with a backlog, dead letters and a login. A kill
//! has left it with its log and the log's index.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use b24relay::event::Queue;
use b24relay::event::Seq;
use b24relay::store::{NewDeadLetter, Progress, Store, Tally};
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};
use serde_json::json;

use crate::support::portal::sandbox::Portal;
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::{Answer, Receiver};

pub(crate) const STATE: &str = "b24relay.db";
const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];

/// The relevant columns of every table.
const DECIDING: [&str; 6] = [
    "SELECT 'source', name, identity, generation, next_seq, open_seq, confirmed, grown, floor, marks, covered_ms, has_odd_dates,
         journal_bytes FROM source",
    "SELECT 'lane', source, sink, next, above, start_ms, mark, inherited FROM lane",
    "SELECT 'batch', source, first, count, generation, ids, body FROM batch ORDER BY source, first",
    "SELECT 'dead letter', sink, source, queue, id, kind, date, data FROM dead_letter ORDER BY number",
    "SELECT 'gap', source, number, from_ms, to_ms FROM gap",
    "SELECT 'memory', key, value FROM memory",
];

pub(crate) struct PopulatedState {
    pub portal: Portal,
    pub receiver: Receiver,
    pub setup: Setup,
    /// The state file, its log and the log's index.
    pub files: [Vec<u8>; 3],
}

impl PopulatedState {
    /// Two sources, one of them with a login; one of two sinks is down.
    pub(crate) async fn of_mode(mode: &str) -> Self {
        let (portal, receiver) = (Portal::start().await, Receiver::start().await);
        let setup = Setup::new()
            .with(&format!("[delivery]\nmode = \"{mode}\""))
            .with_lag("10s")
            .with_source(&portal)
            .with_login(&portal, "office")
            .with_file()
            .with_receiver(&receiver);
        setup.log_in(&portal, "office", 2).await;
        receiver.script(std::iter::repeat_n(Answer::Status(200), 10));
        receiver.answer_always(Some(500));
        let populated = Self { portal, receiver, setup, files: Default::default() };
        populated.work(12).await;
        populated.bury(2).await;
        populated.work(10).await;
        let files = SUFFIXES.map(|suffix| fs::read(populated.state_and(suffix)).unwrap());
        Self { files, ..populated }
    }

    fn state_and(&self, suffix: &str) -> std::path::PathBuf {
        self.setup.path(&format!("{STATE}{suffix}"))
    }

    /// Lets the relay file more events, and kills it.
    async fn work(&self, count: usize) {
        let before = self.setup.filed_count();
        self.portal.record_as(json!({"user": 1, "count": count, "bytes": 1500})).await;
        self.portal.record(2, count).await;
        let mut relay = self.setup.run();
        until("all are filed", async || self.setup.filed_count() >= before + 2 * count).await;
        until("all that can be is on record", async || self.is_on_record(before + 2 * count)).await;
        relay.kill();
    }

    /// Whether both lanes of `crm` have failed, and those of the file have committed.
    fn is_on_record(&self, count: usize) -> bool {
        let Ok(report) = Store::report(&self.setup.path(STATE)) else { return false };
        let failing = report.lanes.iter().filter(|lane| lane.sink == "crm" && !lane.trouble.is_empty());
        let filed = report.lanes.iter().filter(|lane| lane.sink == "archive").map(|lane| lane.delivered);
        failing.count() == 2 && filed.sum::<u64>() == count as u64
    }

    /// Turns the first unsettled events of `crm` into dead letters.
    async fn bury(&self, count: usize) {
        let store = Store::open(&self.setup.path(STATE)).unwrap();
        let queue = self.queue("support");
        let lane = store.bind(&queue).await.unwrap().lanes.remove("crm").unwrap();
        let mut checkpoint = lane.checkpoint;
        let (entries, _) = store.read_journal(&queue, checkpoint.next(), usize::MAX).await.unwrap();
        let unsettled: Vec<_> = entries.into_iter().filter(|entry| !checkpoint.covers(entry.seq)).collect();
        let new_letters = unsettled.into_iter().take(count).map(|entry| {
            checkpoint.settle(entry.seq);
            let (event, reason) = (entry.event, "the receiver answered 422".to_owned());
            NewDeadLetter { event, reason, status: Some(422), answer: "no".into(), attempts: 3, first_ms: 1 }
        });
        let new_letters: Vec<_> = new_letters.collect();
        let tally = Tally { buried: new_letters.len() as u64, ..Tally::default() };
        let (mark, start_ms) = (lane.mark, lane.start_ms);
        let progress = Progress { checkpoint, tally, new_letters, mark, start_ms };
        store.commit("support", "crm", progress).await.unwrap();
    }

    /// The recorded queue of a source.
    pub(crate) fn queue(&self, source: &str) -> Arc<Queue> {
        let user = if source == "support" { 1 } else { 2 };
        Arc::new(Queue::new(source, &format!("{}/user/{user}", self.portal.sandbox.address())))
    }

    /// The same state in `folder`.
    pub(crate) fn put_into(&self, folder: &Path) {
        for (suffix, bytes) in SUFFIXES.iter().zip(&self.files) {
            fs::write(folder.join(format!("{STATE}{suffix}")), bytes).unwrap();
        }
    }

    /// The content of the state, read from a copy.
    pub(crate) fn truth(&self) -> Vec<Vec<Value>> {
        let folder = tempfile::tempdir().unwrap();
        self.put_into(folder.path());
        deciding(&folder.path().join(STATE)).unwrap()
    }
}

/// The relevant content of the state file at `path`.
pub(crate) fn deciding(path: &Path) -> rusqlite::Result<Vec<Vec<Value>>> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut all = Vec::new();
    for sql in DECIDING {
        let mut select = connection.prepare(sql)?;
        let columns = select.column_count();
        let rows = select.query_map([], |row| (0..columns).map(|column| row.get(column)).collect())?;
        all.extend(rows.collect::<rusqlite::Result<Vec<_>>>()?);
    }
    Ok(all)
}

/// Every event of a source's journal, as a relay reads it.
pub(crate) async fn read_journal(store: &Store, queue: &Arc<Queue>) -> Result<Vec<(u64, String)>, String> {
    let (entries, _) =
        store.read_journal(queue, Seq::FIRST, usize::MAX).await.map_err(|error| error.to_string())?;
    Ok(entries.into_iter().map(|entry| (entry.event.id.get(), entry.event.data.get().to_owned())).collect())
}
