//! Unreadable events that the operator has given up: the events that may be passed, and the gap that they leave.

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use serde::{Deserialize, Serialize};

use crate::event::OddEvents;
use crate::store::error::StoreError;
use crate::store::handle::Store;
use crate::wall_clock::now_ms;

/// The operator's decision that the events between two good ones are lost.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Skip {
    /// The last good event before them; 0 at the beginning of the queue.
    pub after: u64,
    /// The first good event after them.
    pub before: u64,
    /// How many they are.
    pub count: usize,
    /// The number of the gap that records it.
    #[serde(default)]
    pub gap: u64,
    /// When it was made, in Unix milliseconds.
    #[serde(default)]
    pub said_ms: i64,
    /// An offset was set since: the same ids may mean other events now.
    #[serde(default)]
    pub is_over: bool,
}

impl Skip {
    /// Whether it applies to `odd`.
    pub fn covers(&self, odd: &OddEvents) -> bool {
        let is_after = odd.after.is_none_or(|after| after.get() == self.after);
        let is_before = odd.before.is_some_and(|before| before.get() == self.before);
        !self.is_over && is_after && is_before && odd.count == self.count
    }

    /// Describes the events that it lets pass.
    pub fn told(&self) -> String {
        let Self { after, before, count, .. } = self;
        let events =
            if *count == 1 { "1 unreadable event".to_owned() } else { format!("{count} unreadable events") };
        format!("{events} after event {after} and before event {before}")
    }
}

impl Store {
    /// Records `skip` and its gap, which lies between these times. Returns the number of the gap.
    pub async fn note_skip(
        &self,
        source: &str,
        skip: Skip,
        from_ms: i64,
        to_ms: i64,
    ) -> Result<u64, StoreError> {
        let source = source.to_owned();
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            let gap: u64 = transaction.query_row(
                "INSERT INTO gap (source, number, from_ms, to_ms, noted_ms)
                 VALUES (?1, (SELECT ifnull(max(number), 0) + 1 FROM gap WHERE source = ?1), ?2, ?3, ?4)
                 RETURNING number",
                params![source, from_ms, to_ms, now_ms()],
                |row| row.get(0),
            )?;
            let mut skips = select(&transaction, &source)?;
            skips.push(Skip { gap, said_ms: now_ms(), ..skip });
            write(&transaction, &source, &skips)?;
            transaction.commit()?;
            Ok(gap)
        })
        .await
    }

    /// All skips of `source`, in order.
    pub async fn skips(&self, source: &str) -> Result<Vec<Skip>, StoreError> {
        let source = source.to_owned();
        self.read(move |connection| select(connection, &source)).await
    }
}

/// The recorded skips of `source`.
pub(crate) fn select(connection: &Connection, source: &str) -> rusqlite::Result<Vec<Skip>> {
    let select = "SELECT value FROM memory WHERE key = ?1";
    let text: Option<String> = connection.query_row(select, [key(source)], |row| row.get(0)).optional()?;
    let skips = text.map(|text| serde_json::from_str(&text)).transpose();
    skips.map(Option::unwrap_or_default).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
    })
}

/// Ends the skips so far, because the source's offset was set.
pub(crate) fn end(transaction: &Transaction<'_>, source: &str) -> rusqlite::Result<()> {
    let mut skips = select(transaction, source)?;
    if skips.is_empty() {
        return Ok(());
    }
    for skip in &mut skips {
        skip.is_over = true;
    }
    write(transaction, source, &skips)
}

/// Deletes the skips, because the source reads another queue now.
pub(crate) fn forget(transaction: &Transaction<'_>, source: &str) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM memory WHERE key = ?1", [key(source)]).map(|_| ())
}

fn write(transaction: &Transaction<'_>, source: &str, skips: &[Skip]) -> rusqlite::Result<()> {
    let text = serde_json::to_string(skips)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    transaction
        .execute(
            "INSERT INTO memory (key, value, kept_ms) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET value = excluded.value, kept_ms = excluded.kept_ms",
            params![key(source), text, now_ms()],
        )
        .map(|_| ())
}

fn key(source: &str) -> String {
    format!("skips/{source}")
}
