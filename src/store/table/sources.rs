//! What is noted of sources: how they are doing, what they have lost.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::params;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use crate::event::{Event, EventId, Queue};
use crate::store::error::StoreError;
use crate::store::handle::Store;
use crate::wall_clock::now_ms;

/// How a source is doing, for `status`, and up to when it has everything.
#[derive(Clone, Debug)]
pub struct Health {
    /// Its last poll finished just now.
    pub has_polled: bool,
    /// What it does.
    pub activity: Activity,
    /// As [`crate::store::table::checkpoints::Adopted::covered_ms`]; never moves back. `None` changes nothing.
    pub covered_ms: Option<i64>,
    /// By how much the portal's clock is ahead of this machine's, in milliseconds.
    pub skew_ms: i64,
}

impl Health {
    /// Of a source that cannot be polled at all.
    pub fn refused(trouble: String) -> Self {
        Self { has_polled: false, activity: Activity::Refused { trouble }, covered_ms: None, skew_ms: 0 }
    }
}

/// What a source does, as its daemon noted it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "activity", rename_all = "snake_case")]
pub enum Activity {
    /// Its polls are answered.
    Polling {
        /// When the next poll is due, in Unix milliseconds.
        due_ms: i64,
    },
    /// Its last poll failed, and it tries again.
    Retrying {
        /// Why.
        trouble: String,
    },
    /// Its portal refuses it, or it cannot be opened: a person must act.
    Refused {
        /// Why, and what to do.
        trouble: String,
    },
    /// It does not poll, because a sink is behind.
    Blocked {
        /// The sink; `None` when it is one that is no longer configured.
        sink: Option<String>,
        /// Why, and what to do.
        trouble: String,
    },
}

/// An [`Activity`] with the time at which it was noted. The column `trouble` holds it as JSON.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SourceNote {
    /// In Unix milliseconds; `None` in what an older version has noted.
    pub noted_ms: Option<i64>,
    /// What was noted.
    #[serde(flatten)]
    pub activity: Activity,
}

impl SourceNote {
    /// What the column holds: nothing, JSON, or a trouble in the words of an older version.
    pub fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| {
            let activity = match text {
                "" => Activity::Polling { due_ms: 0 },
                trouble => Activity::Retrying { trouble: trouble.to_owned() },
            };
            Self { noted_ms: None, activity }
        })
    }

    fn text(&self) -> String {
        json!(self).to_string()
    }
}

/// A stretch of time whose events the portal may have forgotten before they were read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gap {
    /// Counted from 1 in each source.
    pub number: u64,
    /// Its ends, in Unix milliseconds by the portal's clock.
    pub from_ms: i64,
    /// See `from_ms`.
    pub to_ms: i64,
}

/// The `type` of the event that tells sinks of a gap.
pub const GAP_KIND: &str = "B24RELAY_GAP";

impl Gap {
    /// The event that tells sinks of it, in `queue`; `None` when it has no number.
    pub fn event(&self, queue: Arc<Queue>) -> Option<Event> {
        let [from, to] = self.spelled();
        let raw = |value: Value| to_raw_value(&value).unwrap_or_else(|_| RawValue::NULL.to_owned());
        Some(Event {
            queue,
            id: EventId::try_new(self.number)?,
            kind: GAP_KIND.to_owned(),
            date: raw(json!(to)),
            data: raw(json!({ "from": from, "to": to })),
        })
    }

    /// Its ends, for people.
    pub fn spelled(&self) -> [String; 2] {
        [self.from_ms, self.to_ms].map(|ms| {
            let second = Timestamp::from_second(ms.div_euclid(1000)).unwrap_or_default();
            second.to_string()
        })
    }
}

impl Store {
    /// Notes for `status` how a source is doing.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn note_source(&self, source: &str, health: Health) -> Result<(), StoreError> {
        let source = source.to_owned();
        let Health { has_polled, activity, covered_ms, skew_ms } = health;
        let trouble = SourceNote { noted_ms: Some(now_ms()), activity }.text();
        self.run(move |connection| {
            let note = "INSERT INTO source (name, identity, adopted_ms, trouble) VALUES (?1, '', ?4, ?2)
                 ON CONFLICT DO UPDATE SET trouble = ?2, polled_ms = iif(?3, ?4, polled_ms),
                     covered_ms = iif(?5 > ifnull(covered_ms, ?5 - 1), ?5, covered_ms), skew_ms = ?6";
            let params = params![source, trouble, has_polled, now_ms(), covered_ms, skew_ms];
            connection.prepare_cached(note)?.execute(params)
        })
        .await
        .map(|_| ())
    }

    /// Counts that the portal had stopped recording for a source: there is a hole in what it has seen.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn note_loss(&self, source: &str) -> Result<(), StoreError> {
        self.update_source(source, "losses = losses + 1", 0).await
    }

    /// Counts events that disappeared from the portal though nobody here had confirmed them.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn note_theft(&self, source: &str, count: u64) -> Result<(), StoreError> {
        let update = format!("stolen = stolen + ?2, stolen_ms = {}", now_ms());
        self.update_source(source, &update, count).await
    }

    /// Notes that the portal's dates contradict its clock.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn note_odd_dates(&self, source: &str) -> Result<(), StoreError> {
        self.update_source(source, "has_odd_dates = 1", 0).await
    }

    async fn update_source(&self, source: &str, update: &str, count: u64) -> Result<(), StoreError> {
        let source = source.to_owned();
        // The second parameter may be unused by the update itself.
        let sql = format!("UPDATE source SET {update} WHERE name = ?1 AND ?2 >= 0");
        self.run(move |connection| connection.execute(&sql, params![source, count])).await.map(|_| ())
    }

    /// Records a gap, and that all before its end is covered: it is told once. Returns its number. Sinks are to be told of
    /// it only if `is_to_be_told`.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn note_gap(
        &self,
        source: &str,
        from_ms: i64,
        to_ms: i64,
        is_to_be_told: bool,
    ) -> Result<u64, StoreError> {
        let source = source.to_owned();
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            let number = transaction.query_row(
                "INSERT INTO gap (source, number, from_ms, to_ms, noted_ms, is_told)
                 VALUES (?1, (SELECT ifnull(max(number), 0) + 1 FROM gap WHERE source = ?1), ?2, ?3, ?4, NOT ?5)
                 RETURNING number",
                params![source, from_ms, to_ms, now_ms(), is_to_be_told],
                |row| row.get(0),
            )?;
            transaction
                .execute("UPDATE source SET covered_ms = ?2 WHERE name = ?1", params![source, to_ms])?;
            transaction.commit()?;
            Ok(number)
        })
        .await
    }
}
