//! Reads `[sinks.NAME]`: the keys of all sinks, then the keys of its type.

use std::time::Duration;

use crate::config::parse::enums::SinkType;
use crate::config::parse::table::Table;
use crate::config::parse::value;
use crate::config::rules::event_types;
use crate::config::secrets::secret_file::SecretFiles;
use crate::config::section::sinks::filter;
#[cfg(test)]
use crate::config::section::sinks::payload::body;
use crate::config::section::sinks::retry;
use crate::config::section::sinks::throughput;
use crate::config::section::sinks::webhook;
use crate::config::{
    CompressConfig, FileConfig, FilterConfig, RetryConfig, RotateConfig, SinkConfig, StartConfig,
    StdoutConfig, StdoutFormat, TargetConfig, ThroughputConfig,
};

const SHORTEST_EVENT_AGE: Duration = Duration::from_secs(1);
const LONGEST_EVENT_AGE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

const FILE_MODE: u32 = 0o640;

const SMALLEST_ROTATE_SIZE: u64 = 1 << 10;
const LARGEST_ROTATE_SIZE: u64 = 1 << 40;
const SHORTEST_PERIOD: Duration = Duration::from_secs(60);
const LONGEST_PERIOD: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const MOST_KEPT: u16 = 10_000;

/// A sink as read, perhaps incomplete.
pub(crate) struct RawSink {
    pub(crate) name: String,
    pub(crate) target: Option<TargetConfig>,
    pub(crate) sources: Option<Vec<String>>,
    events: Option<Vec<String>>,
    filter: FilterConfig,
    retry: RetryConfig,
    max_event_age: Option<Duration>,
    start: StartConfig,
    flow: ThroughputConfig,
}

impl RawSink {
    /// The sink, if no part is missing.
    pub(crate) fn complete(self) -> Option<SinkConfig> {
        Some(SinkConfig {
            name: self.name,
            target: self.target?,
            sources: self.sources,
            events: self.events,
            filter: self.filter,
            retry: self.retry,
            max_event_age: self.max_event_age,
            start: self.start,
            flow: self.flow,
        })
    }

    /// Whether it takes events of the source called `source`.
    pub(crate) fn takes_source(&self, source: &str) -> bool {
        self.sources.as_ref().is_none_or(|names| names.iter().any(|name| name == source))
    }
}

/// Reads one sink and reports violations.
pub(crate) fn read(name: &str, table: &mut Table<'_>, files: &SecretFiles) -> RawSink {
    let hint = "set it to `stdout`, `file` or `webhook`";
    let sink_type = table.require("type", hint, value::choice::<SinkType>);
    let events = table.take("events", event_types::read);
    let taken = events.clone();
    let is_taken = |kind: &str| event_types::are_taken(taken.as_deref(), kind);
    let is_concurrent = table.has("concurrency");
    let mut raw = RawSink {
        name: name.to_owned(),
        sources: table.take("sources", value::list),
        filter: filter::read(table, is_taken),
        events,
        retry: table.table("retry", retry::read),
        max_event_age: table.take("max_event_age", value::duration(SHORTEST_EVENT_AGE, LONGEST_EVENT_AGE)),
        start: table.take_or("start", value::choice, StartConfig::Oldest),
        flow: if sink_type == Some(SinkType::Webhook) {
            throughput::read(table)
        } else {
            ThroughputConfig::STRICT
        },
        target: read_target(sink_type, table, files, &is_taken),
    };
    if let Some(TargetConfig::Webhook(webhook)) = &raw.target
        && let Some(service) = webhook.payload.body.service()
    {
        throughput::limit_to(service, &mut raw.flow, is_concurrent);
    }
    refuse_single(table, &raw);
    notice_unknown(table, &raw);
    raw
}

/// Adds a notice for unknown event types: the portal may have new ones, or the name may be misspelled.
fn notice_unknown(table: &Table<'_>, raw: &RawSink) {
    for event in raw.events.iter().flatten().filter(|event| !event_types::is_known(event)) {
        let text =
            format!("`{event}` is no event type that b24relay knows: known are {}", event_types::listed());
        table.notice("events", text);
    }
}

/// Refuses batches in a format that holds only one event.
fn refuse_single(table: &Table<'_>, raw: &RawSink) {
    if let Some(TargetConfig::Webhook(webhook)) = &raw.target
        && raw.flow.batch.is_some()
        && !webhook.payload.body.holds_batches()
    {
        table.report(
            "batch",
            "is not for a `format` that holds one event: set `cloudevents-batch`, or remove it",
        );
    }
}

fn read_target(
    sink_type: Option<SinkType>,
    table: &mut Table<'_>,
    files: &SecretFiles,
    is_taken: &dyn Fn(&str) -> bool,
) -> Option<TargetConfig> {
    let foreign = SinkType::ALL.into_iter().filter(|other| Some(*other) != sink_type);
    for other in foreign {
        match sink_type {
            Some(own) => refuse_foreign(table, own, other),
            None => table.skip(keys_of(other)),
        }
    }
    match sink_type? {
        SinkType::Stdout => Some(TargetConfig::Stdout(read_stdout(table))),
        SinkType::File => read_file(table).map(TargetConfig::File),
        SinkType::Webhook => {
            webhook::read(table, files, is_taken).map(|config| TargetConfig::Webhook(Box::new(config)))
        }
    }
}

fn refuse_foreign(table: &mut Table<'_>, own: SinkType, other: SinkType) {
    let is_own = |key: &&str| keys_of(own).contains(key);
    let keys: Vec<&str> = keys_of(other).iter().copied().filter(|key| !is_own(key)).collect();
    table.refuse(
        &keys,
        &format!("belongs to a sink of type `{other}`, and this one is `{own}`: remove it, or change `type`"),
    );
}

/// The keys that belong only to a sink of this type.
fn keys_of(sink_type: SinkType) -> &'static [&'static str] {
    match sink_type {
        SinkType::Stdout => &["format"],
        SinkType::File => &["path", "mode", "rotate", "compress"],
        SinkType::Webhook => webhook::KEYS,
    }
}

fn read_stdout(table: &mut Table<'_>) -> StdoutConfig {
    StdoutConfig { format: table.take_or("format", value::choice, StdoutFormat::Json) }
}

fn read_file(table: &mut Table<'_>) -> Option<FileConfig> {
    let path = table.require("path", "set it to the file that events are appended to", value::path);
    let mode = table.take_or("mode", value::file_mode, FILE_MODE);
    let is_rotated = table.has("rotate");
    let rotate = table.table("rotate", |table| read_rotate(table, is_rotated));
    let compress = table.take_or("compress", value::choice, CompressConfig::None);
    if compress != CompressConfig::None && !is_rotated {
        let text = "is for files that were rotated: set `rotate` as well, or remove it";
        table.report("compress", text);
    }
    Some(FileConfig { path: path?, mode, rotate, compress })
}

fn read_rotate(table: &mut Table<'_>, is_given: bool) -> Option<RotateConfig> {
    let has_moment = table.has("size") || table.has("every");
    let size = table.take("size", value::size(SMALLEST_ROTATE_SIZE..=LARGEST_ROTATE_SIZE));
    let every = table.take("every", value::duration(SHORTEST_PERIOD, LONGEST_PERIOD));
    let keep = table.take("keep", value::integer(1..=MOST_KEPT));
    if every.is_some_and(|every| every.subsec_nanos() > 0) {
        table.report("every", "must be whole seconds, such as \"1h\" or \"1d\"");
    }
    if is_given && !has_moment {
        table.report_self("says not when to rotate: set `size`, `every` or both, or remove it");
    }
    is_given.then_some(RotateConfig { size, every, keep })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse::findings::Findings;

    /// Keeps [`keys_of`] in sync with the keys that are read for each type.
    #[test]
    fn every_key_of_a_type_is_read_for_that_type_and_refused_for_the_others() {
        let others = [
            "events",
            "max_event_age",
            "retry.give_up",
            "retry.max",
            "retry.min",
            "sources",
            "start",
            "type",
        ];
        let common = [&others[..], &filter::KEYS].concat();
        for sink_type in SinkType::ALL {
            let findings = Findings::default();
            let tree = config::Value::new(
                None,
                config::Map::from([("type".to_owned(), config::Value::from(sink_type.to_string()))]),
            );
            Table::read_root(tree, &findings, |table| read("a", table, &SecretFiles::default()));
            let mut expected: Vec<&str> = [&common[..], keys_of(sink_type)].concat();
            // These are tables; the list has the keys inside them.
            expected.retain(|key| !["rotate", "breaker", "batch", "auth", "tls"].contains(key));
            expected.extend(match sink_type {
                SinkType::Stdout => [].as_slice(),
                SinkType::File => &["rotate.every", "rotate.keep", "rotate.size"],
                SinkType::Webhook => &[
                    "breaker.failures",
                    "tls.ca_file",
                    "tls.client_cert_file",
                    "tls.client_key_file",
                    "tls.min_version",
                ],
            });
            // The operator chooses the keys in these tables.
            expected.retain(|key| !["outcomes", "headers"].contains(key));
            // The default `format` does not ask for these.
            expected.retain(|key| !body::KEYS.contains(key));
            expected.sort_unstable();
            assert_eq!(findings.asked(), expected);
        }
    }
}
