//! Shows which events of a file or of the journal a sink's filter lets pass, and why not the others.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use serde::Serialize;

use crate::cli::exit::UsageError;
use crate::cli::exit_code::Exit;
use crate::cli::output::print::{print, print_json, remark};
use crate::cli::output::table::{aligned, filled, table};
use crate::config::{Config, Origin, SinkConfig, SourceConfig};
use crate::event::line::EventLine;
use crate::event::{Event, Queue, Seq};
use crate::relay::{ContentFilter, ContentVerdict, FilterReason};
use crate::store::{GAP_KIND, Store};

/// How many events of the journal are judged, for each source.
const LATEST: u64 = 100;

/// The most events of a file.
const EVENTS_MAX: usize = 100_000;

/// The word for an event of a source that the sink does not take.
const SOURCES: &str = "sources";

/// The verdict on one event.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Judged {
    source: String,
    event_id: u64,
    #[serde(rename = "type")]
    kind: String,
    passes: bool,
    /// The key that leaves it out.
    left_out_by: Option<&'static str>,
    /// Why `filter` could not be evaluated.
    failure: Option<String>,
}

/// All verdicts, and their numbers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Verdicts {
    passed: usize,
    left_out: BTreeMap<&'static str, usize>,
    failed: usize,
    events: Vec<Judged>,
}

/// Judges the events of `file`.
pub(in crate::cli) fn of_file(
    file: &Path,
    sink: &SinkConfig,
    config: &Config,
    is_json: bool,
) -> anyhow::Result<Exit> {
    let events = read(file, sink, config)?;
    show(sink, &events, is_json)
}

/// Judges the latest events of the journal.
pub(in crate::cli) async fn of_journal(
    sink: &SinkConfig,
    config: &Config,
    is_json: bool,
) -> anyhow::Result<Exit> {
    let report = Store::report(&config.state)?;
    let store = Store::open_beside(&config.state)?;
    let mut events = Vec::new();
    for source in report.sources.iter().filter(|source| sink.takes_source(&source.name)) {
        let queue = Arc::new(Queue::new(&source.name, &source.identity));
        let mut from = Seq::try_new(source.next.saturating_sub(LATEST)).unwrap_or(Seq::FIRST);
        loop {
            let (entries, end) = store.read_journal(&queue, from, usize::MAX).await?;
            events.extend(entries.into_iter().map(|entry| entry.event));
            if end <= from {
                break;
            }
            from = end;
        }
    }
    if events.is_empty() {
        print(
            "the journal holds no events for this sink: `journal.keep` says how long it keeps events, and \
             `--from FILE` reads them from a file",
        )?;
        return Ok(Exit::Clean);
    }
    show(sink, &events, is_json)
}

/// The events of `file`: lines of a file sink, or of the portal's queue.
fn read(file: &Path, sink: &SinkConfig, config: &Config) -> anyhow::Result<Vec<Event>> {
    let shown = file.display();
    let lines = BufReader::new(File::open(file).with_context(|| format!("open `{shown}`"))?).lines();
    let mut queues = HashMap::new();
    let mut events = Vec::new();
    for (at, line) in lines.enumerate() {
        let line = line.with_context(|| format!("read `{shown}`"))?;
        if line.trim().is_empty() {
            continue;
        }
        if events.len() == EVENTS_MAX {
            let text =
                format!("`{shown}` has more than {EVENTS_MAX} events: cut it, for example with `tail`");
            return Err(UsageError(text).into());
        }
        let refuse = |error: String| UsageError(format!("`{shown}`, line {}: no event: {error}", at + 1));
        let line = EventLine::parse(&line).map_err(refuse)?;
        let name = line.source.clone().unwrap_or_else(|| source_of(sink, config));
        let queue = queues.entry(name).or_insert_with_key(|name| queue_of(name, config));
        events.extend(line.into_event(Arc::clone(queue)));
    }
    Ok(events)
}

/// The source of events that name none.
fn source_of(sink: &SinkConfig, config: &Config) -> String {
    let mut sources = config.sources.iter().filter(|source| sink.takes_source(&source.name));
    sources.next().map_or_else(String::new, |source| source.name.clone())
}

/// The queue of the source called `name`. For a user who logs in, the state file knows whose queue it is.
fn queue_of(name: &str, config: &Config) -> Arc<Queue> {
    let source = config.sources.iter().find(|source| source.name == name);
    let stored = || {
        let report = Store::report(&config.state).ok()?;
        report.sources.into_iter().find(|source| source.name == name).map(|source| source.identity)
    };
    let identity = stored().or_else(|| source.and_then(SourceConfig::identity)).unwrap_or_default();
    Arc::new(Queue::new(name, &identity))
}

fn show(sink: &SinkConfig, events: &[Event], is_json: bool) -> anyhow::Result<Exit> {
    let verdicts = judge(sink, events);
    if sink.filter.excluded.contains(&Origin::Own) && events.iter().any(has_no_owner) {
        remark("`own` is not judged: whose queue an event is from is known once its source was polled");
    }
    if is_json {
        print_json(&verdicts)?;
        return Ok(Exit::Clean);
    }
    let mut rows = table(&["SOURCE", "EVENT", "TYPE", "RESULT"]);
    for Judged { source, event_id, kind, left_out_by, failure, .. } in &verdicts.events {
        let result = match (left_out_by, failure) {
            (Some(key), _) => format!("left out by `{key}`"),
            (None, Some(failure)) => format!("passes: `filter` cannot be evaluated: {failure}"),
            (None, None) => "passes".to_owned(),
        };
        rows.add_row([&filled(source), &event_id.to_string(), &filled(kind), &result]);
    }
    print(&format!("{}\n\n{}", aligned(rows), summary(sink, &verdicts)))?;
    Ok(Exit::Clean)
}

fn has_no_owner(event: &Event) -> bool {
    event.queue.identity.is_empty()
}

fn summary(sink: &SinkConfig, verdicts: &Verdicts) -> String {
    let Verdicts { passed, left_out, failed, events } = verdicts;
    let keys: Vec<String> = left_out.iter().map(|(key, count)| format!("{count} by `{key}`")).collect();
    let left_out = if keys.is_empty() {
        "none is left out".to_owned()
    } else {
        format!("left out: {}", keys.join(", "))
    };
    let failed = if *failed == 0 {
        String::new()
    } else {
        format!("; {failed} of them only because `filter` cannot be evaluated")
    };
    format!("`{}` takes {passed} of {}{failed}; {left_out}", sink.name, events.len())
}

fn judge(sink: &SinkConfig, events: &[Event]) -> Verdicts {
    let filter = ContentFilter::new(sink);
    let mut verdicts = Verdicts { passed: 0, left_out: BTreeMap::new(), failed: 0, events: Vec::new() };
    for event in events {
        let ContentVerdict { reason, failure } = if event.kind == GAP_KIND {
            ContentVerdict { reason: None, failure: None }
        } else {
            filter.judge(event)
        };
        let is_taken = sink.takes_source(&event.queue.source);
        let left_out_by = if is_taken { reason.map(FilterReason::word) } else { Some(SOURCES) };
        match left_out_by {
            Some(key) => *verdicts.left_out.entry(key).or_default() += 1,
            None => verdicts.passed += 1,
        }
        verdicts.failed += usize::from(left_out_by.is_none() && failure.is_some());
        verdicts.events.push(Judged {
            source: event.queue.source.to_string(),
            event_id: event.id.get(),
            kind: event.kind.clone(),
            passes: left_out_by.is_none(),
            left_out_by,
            failure,
        });
    }
    verdicts
}
