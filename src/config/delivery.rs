//! `[delivery]`, `[journal]`, `[dead_letters]` and `[retention]`, from the tree.

use std::fmt;
use std::time::Duration;

use super::table::Table;
use super::{DeadLettersConfig, DeliveryConfig, DeliveryMode, JournalConfig, RetentionConfig, leaf};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const MIB: u64 = 1024 * 1024;

/// What fits into the smallest is still several pages of ordinary events.
const SIZES: std::ops::RangeInclusive<u64> = MIB..=1024 * 1024 * MIB;
const LONGEST_AGE: Duration = Duration::from_secs(365 * 24 * 3600);

impl fmt::Display for DeliveryMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Journal => "journal",
        })
    }
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        Self {
            mode: DeliveryMode::Direct,
            gap_events: false,
            journal: JournalConfig { max_size: 1024 * MIB, max_age: 7 * DAY, keep: Duration::ZERO },
            dead_letters: DeadLettersConfig { max_size: 256 * MIB, max_age: 30 * DAY },
            retention: RetentionConfig { warning: 6 * HOUR, error: 18 * HOUR },
        }
    }
}

/// Reads the sections; what is wrong is noted.
pub(super) fn read(root: &mut Table<'_>) -> DeliveryConfig {
    let usual = DeliveryConfig::default();
    let (mode, gap_events) = root.table("delivery", |table| {
        (table.take("mode", leaf::choice::<DeliveryMode>), table.take("gap_events", leaf::boolean))
    });
    DeliveryConfig {
        mode: mode.unwrap_or(usual.mode),
        gap_events: gap_events.unwrap_or(usual.gap_events),
        journal: root.table("journal", |table| read_journal(table, usual.journal)),
        dead_letters: root.table("dead_letters", |table| read_dead_letters(table, usual.dead_letters)),
        retention: root.table("retention", |table| read_retention(table, usual.retention)),
    }
}

fn read_journal(table: &mut Table<'_>, usual: JournalConfig) -> JournalConfig {
    JournalConfig {
        max_size: table.take("max_size", leaf::size(SIZES)).unwrap_or(usual.max_size),
        max_age: table.take("max_age", leaf::duration(HOUR, LONGEST_AGE)).unwrap_or(usual.max_age),
        keep: table.take("keep", leaf::duration(Duration::ZERO, LONGEST_AGE)).unwrap_or(usual.keep),
    }
}

fn read_dead_letters(table: &mut Table<'_>, usual: DeadLettersConfig) -> DeadLettersConfig {
    DeadLettersConfig {
        max_size: table.take("max_size", leaf::size(SIZES)).unwrap_or(usual.max_size),
        max_age: table.take("max_age", leaf::duration(HOUR, LONGEST_AGE)).unwrap_or(usual.max_age),
    }
}

/// A warning that is later than the usual error takes that along, when nothing else is said.
fn read_retention(table: &mut Table<'_>, usual: RetentionConfig) -> RetentionConfig {
    let range = || leaf::duration(Duration::from_secs(60), DAY);
    let warning = table.take("warning", range()).unwrap_or(usual.warning);
    let error = table.take("error", range());
    if let Some(error) = error.filter(|error| *error < warning) {
        let (warning, error) = (leaf::spelled(warning), leaf::spelled(error));
        table.report("error", format!("must not be below `warning` ({warning}), not {error}"));
    }
    RetentionConfig { warning, error: error.unwrap_or(usual.error.max(warning)) }
}
