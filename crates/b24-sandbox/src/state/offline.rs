//! The offline queue: events that wait until an application fetches them (PORTAL.md 4). Pure: it has no clock
//! and does no I/O.
//!
//! For each application, connector, event and payload, there is at most one row that is not reserved.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::state::clock::iso;
use crate::state::rng::Rng;

/// The lifetime of a row: the constant in the code, not the 30 days of the documentation.
const LIFETIME_S: i64 = 2_952_000;

/// One event in the queue.
#[derive(Clone, Debug)]
pub(crate) struct OfflineRow {
    /// The portal's id of the row.
    pub id: u64,
    /// The application that has bound the event.
    pub client_id: String,
    /// The connector; empty for none.
    pub connector: String,
    /// The event's name.
    pub event: String,
    /// The payload.
    pub data: Value,
    /// A unique id: 32 hexadecimal digits.
    pub message_id: String,
    /// Unix time of the latest change, in seconds.
    pub changed_s: i64,
    /// The process that has reserved it; empty for none.
    pub process_id: String,
    /// True if it is marked as failed.
    pub failed: bool,
}

impl OfflineRow {
    /// The value of a column, for filters and orders; `None` if there is no such column.
    pub(crate) fn column(&self, name: &str) -> Option<Value> {
        Some(match name {
            "ID" => json!(self.id),
            "TIMESTAMP_X" => json!(iso(self.changed_s)),
            "EVENT_NAME" => json!(self.event),
            "MESSAGE_ID" => json!(self.message_id),
            "PROCESS_ID" => json!(self.process_id),
            "ERROR" => json!(u8::from(self.failed)),
            _ => return None,
        })
    }

    /// The row in the format of `event.offline.get`, in which the id is a text (PORTAL.md 8).
    pub(crate) fn describe(&self) -> Value {
        json!({
            "ID": self.id.to_string(),
            "TIMESTAMP_X": iso(self.changed_s),
            "EVENT_NAME": self.event,
            "EVENT_DATA": self.data,
            "EVENT_ADDITIONAL": [],
            "MESSAGE_ID": self.message_id,
        })
    }

    /// The row in the format of `event.offline.list`.
    pub(crate) fn describe_fully(&self) -> Value {
        let mut row = self.describe();
        row["PROCESS_ID"] = json!(self.process_id);
        row["ERROR"] = json!(u8::from(self.failed).to_string());
        row
    }
}

/// All rows of the portal.
#[derive(Debug)]
pub(crate) struct OfflineQueue {
    rows: Vec<OfflineRow>,
    last_id: u64,
    rng: Rng,
}

impl OfflineQueue {
    /// A queue without rows.
    pub(crate) fn new(rng: Rng) -> Self {
        Self { rows: Vec::new(), last_id: 0, rng }
    }

    /// Adds a row, or updates the row with the same content. Returns its id.
    pub(crate) fn record(
        &mut self,
        client_id: &str,
        connector: &str,
        event: &str,
        data: Value,
        now_s: i64,
    ) -> u64 {
        let message_id = fingerprint(&[client_id, connector, event, &data.to_string()]);
        let same = |row: &&mut OfflineRow| row.message_id == message_id && row.process_id.is_empty();
        if let Some(row) = self.rows.iter_mut().find(same) {
            row.changed_s = now_s;
            return row.id;
        }
        self.last_id += 1;
        self.rows.push(OfflineRow {
            id: self.last_id,
            client_id: client_id.into(),
            connector: connector.into(),
            event: event.into(),
            data,
            message_id,
            changed_s: now_s,
            process_id: String::new(),
            failed: false,
        });
        self.last_id
    }

    /// The rows of an application that have not expired, in ascending order of ids.
    pub(crate) fn of<'a>(
        &'a mut self,
        client_id: &'a str,
        now_s: i64,
    ) -> impl Iterator<Item = &'a OfflineRow> {
        self.rows.retain(|row| now_s - row.changed_s < LIFETIME_S);
        self.rows.iter().filter(move |row| row.client_id == client_id)
    }

    /// Reserves the rows with `ids` under a new process id.
    pub(crate) fn reserve(&mut self, ids: &[u64]) -> String {
        let process_id = self.rng.code(32);
        for row in self.rows.iter_mut().filter(|row| ids.contains(&row.id)) {
            row.process_id.clone_from(&process_id);
        }
        process_id
    }

    /// Deletes the rows with `ids`.
    pub(crate) fn delete(&mut self, ids: &[u64]) {
        self.rows.retain(|row| !ids.contains(&row.id));
    }

    /// Marks the rows with `ids` as failed, which ends their reservation.
    pub(crate) fn fail(&mut self, ids: &[u64]) {
        for row in self.rows.iter_mut().filter(|row| ids.contains(&row.id)) {
            row.failed = true;
            row.process_id.clear();
        }
    }
}

/// 32 hexadecimal digits that look like the portal's MD5.
fn fingerprint(parts: &[&str]) -> String {
    let digest = Sha256::digest(parts.join("\0").as_bytes());
    let number = digest.iter().take(16).fold(0, |number: u128, byte| number << 8 | u128::from(*byte));
    format!("{number:032x}")
}
