//! Reads `[delivery]`, `[memory]`, `[journal]`, `[dead_letters]` and `[retention]`.

use std::fmt;
use std::time::Duration;

use config::{Value, ValueKind};

use crate::config::parse::quote;
use crate::config::parse::table::Table;
use crate::config::parse::value;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const MIB: u64 = 1024 * 1024;

/// Even the smallest size holds several pages of ordinary events.
const SIZES: std::ops::RangeInclusive<u64> = MIB..=1024 * 1024 * MIB;
const LONGEST_AGE: Duration = Duration::from_secs(365 * 24 * 3600);

/// The portal deletes events after 24 hours. The last hour is reserved for polling the events that were held.
const LONGEST_HOLD: Duration = Duration::from_secs(23 * 3600);
const FOREVER: &str = "forever";

/// `[delivery]` and the sections that belong to it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct DeliveryConfig {
    /// `delivery.hold`: how long the portal keeps events that some sink has not received.
    pub hold: Hold,
    /// `delivery.gap_events`: the relay reports gaps to sinks as events.
    pub gap_events: bool,
    /// `memory.max`: the limit for events in memory, across all sources, in bytes.
    pub memory_max: u64,
    /// `[journal]`.
    pub journal: JournalConfig,
    /// `[dead_letters]`.
    pub dead_letters: DeadLettersConfig,
    /// `[retention]`.
    pub retention: RetentionConfig,
}

/// `delivery.hold`: how long the portal keeps events that some sink has not received.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Hold {
    /// For this long. Then the event goes into the state file, and the portal may delete it.
    For(Duration),
    /// Until every sink has it, or the portal deletes it after 24 hours.
    Forever,
}

/// `delivery.mode`, replaced by `delivery.hold`.
#[derive(Clone, Copy, Hash)]
pub(crate) enum DeliveryMode {
    /// The portal may delete an event after every sink has settled it.
    Direct,
    /// The portal may delete an event after it is in the journal.
    Journal,
}

/// `[journal]`: limits for the events that the state file keeps between polling and delivery.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct JournalConfig {
    /// `max_size`, in bytes of events.
    pub max_size: u64,
    /// `max_age` of an event that some sink has not settled.
    pub max_age: Duration,
    /// `keep`: how long events stay after all sinks have settled them.
    pub keep: Duration,
}

/// `[dead_letters]`: how many rejected events each sink keeps.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct DeadLettersConfig {
    /// `max_size` of one sink's letters, in bytes.
    pub max_size: u64,
    /// `max_age`: older letters are warned of.
    pub max_age: Duration,
    /// `when_full`: the action at `max_size`.
    pub when_full: WhenFull,
}

/// `dead_letters.when_full`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum WhenFull {
    /// The rejected event waits until there is room.
    Wait,
    /// The oldest dead letters of the sink are deleted.
    DropOldest,
}

/// `[retention]`: the age of the oldest unconfirmed event at which the relay alerts the operator. The portal
/// deletes events after 24 hours.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RetentionConfig {
    /// `warning`.
    pub warning: Duration,
    /// `error`; at least `warning`.
    pub error: Duration,
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::For(duration) => f.write_str(&value::spelled(*duration)),
            Self::Forever => f.write_str(FOREVER),
        }
    }
}

impl DeliveryMode {
    fn hold(self) -> Hold {
        match self {
            Self::Direct => Hold::Forever,
            Self::Journal => Hold::For(Duration::ZERO),
        }
    }
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        Self {
            hold: Hold::For(Duration::from_secs(30)),
            gap_events: false,
            memory_max: 64 * MIB,
            journal: JournalConfig { max_size: 1024 * MIB, max_age: 7 * DAY, keep: Duration::ZERO },
            dead_letters: DeadLettersConfig {
                max_size: 256 * MIB,
                max_age: 30 * DAY,
                when_full: WhenFull::Wait,
            },
            retention: RetentionConfig { warning: 6 * HOUR, error: 18 * HOUR },
        }
    }
}

/// Reads the sections and reports violations.
pub(crate) fn read(root: &mut Table<'_>) -> DeliveryConfig {
    let usual = DeliveryConfig::default();
    let (hold, gap_events) = root.table("delivery", |table| {
        (read_hold(table, usual.hold), table.take_or("gap_events", value::boolean, usual.gap_events))
    });
    DeliveryConfig {
        hold,
        gap_events,
        memory_max: root.table("memory", |table| table.take_or("max", value::size(SIZES), usual.memory_max)),
        journal: root.table("journal", |table| read_journal(table, usual.journal)),
        dead_letters: root.table("dead_letters", |table| read_dead_letters(table, usual.dead_letters)),
        retention: root.table("retention", |table| read_retention(table, usual.retention)),
    }
}

/// Reads `hold`, or derives it from the deprecated `mode`.
fn read_hold(table: &mut Table<'_>, usual: Hold) -> Hold {
    let is_given = table.has("hold");
    if !table.has("mode") {
        return table.take_or("hold", hold, usual);
    }
    let mode = table.take("mode", value::choice::<DeliveryMode>);
    let hold = table.take_or("hold", hold, mode.map_or(usual, DeliveryMode::hold));
    if is_given {
        table.report("mode", "`hold` has replaced it, and is given too: remove `mode`");
    } else if let Some(mode) = mode {
        let text = format!("is deprecated: replace `mode = \"{mode}\"` with `hold = \"{hold}\"`");
        table.notice("mode", text);
    }
    hold
}

fn hold(value: &Value) -> Result<Hold, String> {
    match &value.kind {
        ValueKind::String(text) if text == FOREVER => Ok(Hold::Forever),
        _ => value::duration(Duration::ZERO, LONGEST_HOLD)(value).map(Hold::For).map_err(|_| {
            let longest = value::spelled(LONGEST_HOLD);
            let shown = quote::value(value);
            format!("must be a duration from 0s to {longest}, such as \"30s\", or \"{FOREVER}\", not {shown}")
        }),
    }
}

fn read_journal(table: &mut Table<'_>, usual: JournalConfig) -> JournalConfig {
    JournalConfig {
        max_size: table.take_or("max_size", value::size(SIZES), usual.max_size),
        max_age: table.take_or("max_age", value::duration(HOUR, LONGEST_AGE), usual.max_age),
        keep: table.take_or("keep", value::duration(Duration::ZERO, LONGEST_AGE), usual.keep),
    }
}

fn read_dead_letters(table: &mut Table<'_>, usual: DeadLettersConfig) -> DeadLettersConfig {
    DeadLettersConfig {
        max_size: table.take_or("max_size", value::size(SIZES), usual.max_size),
        max_age: table.take_or("max_age", value::duration(HOUR, LONGEST_AGE), usual.max_age),
        when_full: table.take_or("when_full", value::choice, usual.when_full),
    }
}

/// If only `warning` is given and it is above the default `error`, `error` becomes equal to it.
fn read_retention(table: &mut Table<'_>, usual: RetentionConfig) -> RetentionConfig {
    let range = || value::duration(Duration::from_secs(60), DAY);
    let warning = table.take_or("warning", range(), usual.warning);
    let error = table.take_or("error", range(), usual.error.max(warning));
    if error < warning {
        let (warning, error) = (value::spelled(warning), value::spelled(error));
        table.report("error", format!("must not be below `warning` ({warning}), not {error}"));
    }
    RetentionConfig { warning, error }
}
