//! Paused lanes: only the operator ends this state, even across restarts.

use rusqlite::params;

use crate::store::error::StoreError;
use crate::store::handle::Store;
use crate::wall_clock::now_ms;

/// The result of resuming a sink.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Resumed {
    /// There is no record of such a sink.
    Unknown,
    /// It continues with these sources; empty when it was not paused.
    Lanes(Vec<String>),
}

impl Store {
    /// Pauses a lane because of `trouble`. No note and no restart changes that, only [`Store::resume`].
    pub async fn pause(&self, source: &str, sink: &str, trouble: &str) -> Result<(), StoreError> {
        let (source, sink, trouble) = (source.to_owned(), sink.to_owned(), trouble.to_owned());
        self.run(move |connection| {
            connection.execute(
                "INSERT INTO lane (source, sink, next, committed_ms, state, since_ms, trouble)
                 VALUES (?1, ?2, 1, ?3, 'paused', ?3, ?4)
                 ON CONFLICT DO UPDATE SET since_ms = iif(state = 'paused', since_ms, excluded.since_ms),
                     state = 'paused', next_ms = NULL, trouble = excluded.trouble",
                params![source, sink, now_ms(), trouble],
            )
        })
        .await
        .map(|_| ())
    }

    /// Whether a lane is still paused. Another process may have resumed it.
    pub async fn is_paused(&self, source: &str, sink: &str) -> Result<bool, StoreError> {
        let (source, sink) = (source.to_owned(), sink.to_owned());
        self.read(move |connection| {
            connection.query_row(
                "SELECT EXISTS (SELECT 1 FROM lane WHERE source = ?1 AND sink = ?2 AND state = 'paused')",
                [source, sink],
                |row| row.get(0),
            )
        })
        .await
    }

    /// Resumes a sink for one source, or for all of them, at the operator's command. A running daemon checks for it.
    pub async fn resume(&self, sink: &str, source: Option<&str>) -> Result<Resumed, StoreError> {
        let (sink, source) = (sink.to_owned(), source.map(str::to_owned));
        self.run(move |connection| {
            let lanes = "sink = ?1 AND (?2 IS NULL OR source = ?2)";
            let is_known: bool = connection.query_row(
                &format!("SELECT EXISTS (SELECT 1 FROM lane WHERE {lanes})"),
                params![sink, source],
                |row| row.get(0),
            )?;
            if !is_known {
                return Ok(Resumed::Unknown);
            }
            let mut update = connection.prepare(&format!(
                "UPDATE lane SET state = 'flowing', since_ms = ?3, next_ms = NULL, trouble = ''
                 WHERE {lanes} AND state = 'paused' RETURNING source"
            ))?;
            let resumed = update.query_map(params![sink, source, now_ms()], |row| row.get(0))?;
            let mut resumed = resumed.collect::<rusqlite::Result<Vec<String>>>()?;
            resumed.sort();
            Ok(Resumed::Lanes(resumed))
        })
        .await
    }

    /// Notes for `status` that a source does not poll for the reason `after` instead of `before`; empty means no
    /// reason. A note of its polls takes precedence.
    pub async fn note_hold_up(&self, source: &str, before: &str, after: &str) -> Result<(), StoreError> {
        let (source, before, after) = (source.to_owned(), before.to_owned(), after.to_owned());
        self.run(move |connection| {
            connection.execute(
                "UPDATE source SET trouble = ?3 WHERE name = ?1 AND trouble = ?2",
                [source, before, after],
            )
        })
        .await
        .map(|_| ())
    }
}
