//! How events go to a sink: their order, the concurrency, the rate limit, and the reaction to failures.

use std::time::Duration;

use crate::config::Messenger;
use crate::config::parse::quote;
use crate::config::parse::table::Table;
use crate::config::parse::value;

const CONCURRENCY: u16 = 8;
const CONCURRENCY_MAX: u16 = 64;

const BATCH_EVENTS: u16 = 100;
const BATCH_EVENTS_MAX: u16 = 1000;
const BATCH_BYTES: u64 = 1 << 20;
const BATCH_BYTES_MIN: u64 = 1 << 10;
const BATCH_BYTES_MAX: u64 = 64 << 20;
const BATCH_WAIT_MAX: Duration = Duration::from_secs(60);

const BREAKER_FAILURES: u16 = 10;
const BREAKER_FAILURES_MAX: u16 = 1000;

const HOLD_AFTER_REJECTIONS: u32 = 10;
const HOLD_AFTER_REJECTIONS_MAX: u32 = 1_000_000;

const RATE_MAX: u32 = 10_000;

/// How events go to one sink.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ThroughputConfig {
    /// `ordering`: which events wait for each other.
    pub ordering: OrderingConfig,
    /// `concurrency`: the number of parallel attempts, at least 1; always 1 with strict ordering.
    pub concurrency: u16,
    /// `batch`: several events in one attempt; `None` sends each event alone.
    pub batch: Option<BatchConfig>,
    /// `breaker.failures`: after this many failures in a row, only one attempt is made at a time; at least 1.
    pub breaker_failures: u16,
    /// `hold_after_rejections`: after this many rejected events in a row, the sink is held; at least 1.
    pub hold_after_rejections: u32,
    /// `rate`: the shortest time between two attempts.
    pub interval: Option<Duration>,
}

/// A sink's `ordering`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OrderingConfig {
    /// `"strict"`: every event waits for all earlier ones.
    Strict,
    /// `"chat"`: an event waits for those before it in its chat.
    Chat,
    /// `"none"`: no event waits for another.
    None,
}

/// A sink's `batch`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchConfig {
    /// The maximum number of events.
    pub events: u16,
    /// The maximum payload in bytes. A single event may be larger.
    pub bytes: u64,
    /// How long an incomplete batch waits for more events.
    pub wait: Duration,
}

impl ThroughputConfig {
    /// One event after the other, for example for a file.
    pub const STRICT: Self = Self {
        ordering: OrderingConfig::Strict,
        concurrency: 1,
        batch: None,
        breaker_failures: 1,
        hold_after_rejections: HOLD_AFTER_REJECTIONS,
        interval: None,
    };
}

/// Reads the keys and reports violations.
pub(crate) fn read(table: &mut Table<'_>) -> ThroughputConfig {
    let ordering = table.take_or("ordering", value::choice, OrderingConfig::Chat);
    let usual = if ordering == OrderingConfig::Strict { 1 } else { CONCURRENCY };
    let concurrency = table.take_or("concurrency", value::integer(1..=CONCURRENCY_MAX), usual);
    if ordering == OrderingConfig::Strict && concurrency > 1 {
        let text = "must be 1 where `ordering` is `strict`: remove it, or set `ordering = \"chat\"`";
        table.report("concurrency", text);
    }
    ThroughputConfig {
        ordering,
        concurrency,
        batch: read_batch(table),
        breaker_failures: table.table("breaker", |table| {
            table.take_or("failures", value::integer(1..=BREAKER_FAILURES_MAX), BREAKER_FAILURES)
        }),
        hold_after_rejections: table.take_or(
            "hold_after_rejections",
            value::integer(1..=HOLD_AFTER_REJECTIONS_MAX),
            HOLD_AFTER_REJECTIONS,
        ),
        interval: table.take("rate", |value| interval(&value::text(value)?)),
    }
}

/// Keeps to the limits of `service` where the operator has set none: it takes messages one by one, and few of them.
pub(crate) fn limit_to(service: Messenger, flow: &mut ThroughputConfig, is_concurrent: bool) {
    let interval = match service {
        // One a second for each webhook, and for each chat.
        Messenger::Slack => Duration::from_secs(1),
        Messenger::Mattermost => Duration::from_millis(100),
        // 30 a minute for each webhook.
        Messenger::Discord => Duration::from_secs(2),
        // 20 a minute for a group.
        Messenger::Telegram => Duration::from_secs(3),
        // 4 a second for each webhook.
        Messenger::Teams => Duration::from_millis(250),
    };
    flow.interval.get_or_insert(interval);
    if !is_concurrent {
        flow.concurrency = 1;
    }
}

fn read_batch(table: &mut Table<'_>) -> Option<BatchConfig> {
    table.given_table("batch", |table| BatchConfig {
        events: table.take_or("events", value::integer(1..=BATCH_EVENTS_MAX), BATCH_EVENTS),
        bytes: table.take_or("bytes", value::size(BATCH_BYTES_MIN..=BATCH_BYTES_MAX), BATCH_BYTES),
        wait: table.take_or("wait", value::duration(Duration::ZERO, BATCH_WAIT_MAX), Duration::ZERO),
    })
}

/// Parses a rate such as `50/s`, `600/m` or `100/h` into the time between two attempts.
fn interval(text: &str) -> Result<Duration, String> {
    let rule = format!(
        "must be attempts in a second, minute or hour, such as \"50/s\", \"600/m\" or \"100/h\", at most {RATE_MAX}, not {}",
        quote::text(text)
    );
    let (count, unit) = text.split_once('/').ok_or_else(|| rule.clone())?;
    let unit = match unit.trim() {
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(3600),
        _ => return Err(rule),
    };
    match count.trim().parse::<u32>() {
        Ok(count @ 1..=RATE_MAX) => Ok(unit / count),
        Ok(_) | Err(_) => Err(rule),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_becomes_the_time_between_two_attempts() {
        assert_eq!(interval("50/s"), Ok(Duration::from_millis(20)));
        assert_eq!(interval("600 / m"), Ok(Duration::from_millis(100)));
        assert_eq!(interval("1/h"), Ok(Duration::from_secs(3600)));
        for text in ["", "50", "50/d", "0/s", "-1/s", "1.5/s", "10001/s", "/s", "s/50"] {
            assert!(interval(text).unwrap_err().contains(text), "{text}");
        }
    }
}
