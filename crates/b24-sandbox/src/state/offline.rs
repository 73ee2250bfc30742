//! The offline queue: events that wait for an application to fetch them (PORTAL.md 4). Pure: no clock
//! of its own, no I/O.
//!
//! Keeps: of one application, connector, event and payload there is one row that nobody has reserved.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::state::clock::iso;
use crate::state::rng::Dice;

/// How long a row lives: the constant of the code, not the 30 days of the documentation.
const LIFETIME_S: i64 = 2_952_000;

/// One event that waits.
#[derive(Clone, Debug)]
pub struct OfflineRow {
    /// The portal's number for it.
    pub id: u64,
    /// For which application.
    pub client_id: String,
    /// For which source; empty is none.
    pub connector: String,
    /// The event's name.
    pub event: String,
    /// What came with it.
    pub data: Value,
    /// What tells it from others: 32 hexadecimal digits.
    pub message_id: String,
    /// Unix second of the latest change.
    pub changed_s: i64,
    /// Who has reserved it; empty is nobody.
    pub process_id: String,
    /// Marked as failed.
    pub failed: bool,
}

impl OfflineRow {
    /// The value of a column, for filters and orders; `None` when there is no such column.
    pub fn column(&self, name: &str) -> Option<Value> {
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

    /// As `event.offline.get` shows it; the number is text there (PORTAL.md 8).
    pub fn describe(&self) -> Value {
        json!({
            "ID": self.id.to_string(),
            "TIMESTAMP_X": iso(self.changed_s),
            "EVENT_NAME": self.event,
            "EVENT_DATA": self.data,
            "EVENT_ADDITIONAL": [],
            "MESSAGE_ID": self.message_id,
        })
    }

    /// As `event.offline.list` shows it.
    pub fn describe_fully(&self) -> Value {
        let mut row = self.describe();
        row["PROCESS_ID"] = json!(self.process_id);
        row["ERROR"] = json!(u8::from(self.failed).to_string());
        row
    }
}

/// All rows of the portal.
#[derive(Debug)]
pub struct OfflineQueue {
    rows: Vec<OfflineRow>,
    last_id: u64,
    dice: Dice,
}

impl OfflineQueue {
    /// A queue without rows.
    pub fn new(dice: Dice) -> Self {
        Self { rows: Vec::new(), last_id: 0, dice }
    }

    /// Writes a row, or refreshes the one that says the same; returns its id.
    pub fn record(&mut self, client_id: &str, connector: &str, event: &str, data: Value, now_s: i64) -> u64 {
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

    /// The rows of an application that are not too old yet, ascending by id.
    pub fn of<'a>(&'a mut self, client_id: &'a str, now_s: i64) -> impl Iterator<Item = &'a OfflineRow> {
        self.rows.retain(|row| now_s - row.changed_s < LIFETIME_S);
        self.rows.iter().filter(move |row| row.client_id == client_id)
    }

    /// Reserves the rows with `ids` under a new process id.
    pub fn reserve(&mut self, ids: &[u64]) -> String {
        let process_id = self.dice.code(32);
        for row in self.rows.iter_mut().filter(|row| ids.contains(&row.id)) {
            row.process_id.clone_from(&process_id);
        }
        process_id
    }

    /// Deletes the rows with `ids`.
    pub fn delete(&mut self, ids: &[u64]) {
        self.rows.retain(|row| !ids.contains(&row.id));
    }

    /// Marks the rows with `ids` as failed, which ends their reservation.
    pub fn fail(&mut self, ids: &[u64]) {
        for row in self.rows.iter_mut().filter(|row| ids.contains(&row.id)) {
            row.failed = true;
            row.process_id.clear();
        }
    }
}

/// 32 hexadecimal digits that look like the portal's md5.
fn fingerprint(parts: &[&str]) -> String {
    let digest = Sha256::digest(parts.join("\0").as_bytes());
    let number = digest.iter().take(16).fold(0, |number: u128, byte| number << 8 | u128::from(*byte));
    format!("{number:032x}")
}
