//! What a lane does, as a word of the column `state`.

use std::str::FromStr;

use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};

/// What a lane does, as the daemon notes it for the operator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LaneActivity {
    /// Nothing prevents delivery.
    Flowing,
    /// An attempt failed, and is repeated automatically.
    Retrying,
    /// The operator must act. The lane probes the sink now and then.
    Held,
    /// The sink wants no more events until the operator resumes it.
    Paused,
    /// A stop was requested, and it finishes the attempts in flight.
    Draining,
}

impl LaneActivity {
    /// Each activity with its word in the column `state`.
    const WORDS: [(Self, &str); 5] = [
        (Self::Flowing, "flowing"),
        (Self::Retrying, "retrying"),
        (Self::Held, "held"),
        (Self::Paused, "paused"),
        (Self::Draining, "draining"),
    ];
}

impl ToSql for LaneActivity {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let word = Self::WORDS.iter().find(|(activity, _)| activity == self).map_or("", |(_, word)| word);
        Ok(word.into())
    }
}

impl FromStr for LaneActivity {
    type Err = FromSqlError;

    fn from_str(word: &str) -> Result<Self, FromSqlError> {
        let known = Self::WORDS.iter().find(|(_, known)| *known == word);
        known.map(|(activity, _)| *activity).ok_or(FromSqlError::InvalidType)
    }
}

impl FromSql for LaneActivity {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse()
    }
}
