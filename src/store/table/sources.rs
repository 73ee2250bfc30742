//! The notes about sources: their health and their losses.

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

/// The health of a source, for `status`, and up to when all its events are stored.
#[derive(Clone, Debug)]
pub struct Health {
    /// Its last poll finished just now.
    pub has_polled: bool,
    /// What it does.
    pub activity: Activity,
    /// As [`crate::store::table::checkpoints::StoredSource::covered_ms`]; never moves back. `None` changes nothing.
    pub covered_ms: Option<i64>,
    /// By how much the portal's clock is ahead of this machine's, in milliseconds.
    pub skew_ms: i64,
}

impl Health {
    /// The health of a source that cannot be polled at all.
    pub fn refused(trouble: String) -> Self {
        Self { has_polled: false, activity: Activity::Refused { trouble }, covered_ms: None, skew_ms: 0 }
    }
}

/// The activity of a source, as its daemon noted it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "activity", rename_all = "snake_case")]
pub enum Activity {
    /// Its polls are answered.
    Polling {
        /// When the next poll is due, in Unix milliseconds.
        due_ms: i64,
    },
    /// Its last poll failed, and is retried.
    Retrying {
        /// Why.
        trouble: String,
    },
    /// Its portal refuses it, or it cannot be opened: the operator must act.
    Refused {
        /// Why, and what to do.
        trouble: String,
    },
    /// It does not poll, because a sink is behind.
    Blocked {
        /// The sink; `None` stands for one that is no longer configured.
        sink: Option<String>,
        /// Why, and what to do.
        trouble: String,
    },
}

/// An [`Activity`] with the time at which it was noted. The column `trouble` holds it as JSON.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SourceNote {
    /// The time in Unix milliseconds; `None` in the notes of an older version.
    pub noted_ms: Option<i64>,
    /// What was noted.
    #[serde(flatten)]
    pub activity: Activity,
}

impl SourceNote {
    /// Parses the column: empty, JSON, or the message of an older version.
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

/// A time range whose events the portal may have deleted before they were read.
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
    /// The event that reports it to sinks, in `queue`; `None` when its number is not a valid id.
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

    /// Its start and end, as text.
    pub fn spelled(&self) -> [String; 2] {
        [self.from_ms, self.to_ms].map(|ms| {
            let second = Timestamp::from_second(ms.div_euclid(1000)).unwrap_or_default();
            second.to_string()
        })
    }
}

impl Store {
    /// Notes the health of a source for `status`.
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

    /// Counts that the portal had stopped recording for a source, which leaves a hole in its events.
    pub async fn note_loss(&self, source: &str) -> Result<(), StoreError> {
        self.update_source(source, "losses = losses + 1", 0).await
    }

    /// Counts events that disappeared from the portal although no poll of ours had confirmed them.
    pub async fn note_theft(&self, source: &str, count: u64) -> Result<(), StoreError> {
        let update = format!("stolen = stolen + ?2, stolen_ms = {}", now_ms());
        self.update_source(source, &update, count).await
    }

    /// Notes that the portal's dates contradict its clock.
    pub async fn note_odd_dates(&self, source: &str) -> Result<(), StoreError> {
        self.update_source(source, "has_odd_dates = 1", 0).await
    }

    async fn update_source(&self, source: &str, update: &str, count: u64) -> Result<(), StoreError> {
        let source = source.to_owned();
        // The second parameter may be unused by the update itself.
        let sql = format!("UPDATE source SET {update} WHERE name = ?1 AND ?2 >= 0");
        self.run(move |connection| connection.execute(&sql, params![source, count])).await.map(|_| ())
    }

    /// Records a gap, and that all before its end is covered, so that it is reported once. Returns its number. Sinks
    /// receive a gap event only if `is_to_be_told`.
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
