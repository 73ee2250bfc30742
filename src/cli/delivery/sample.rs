//! Sends one sample event to a sink, and shows the request, the answer and what it would mean for a real event.

use std::fmt::Display;
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::cli::exit::{SetupError, UsageError};
use crate::cli::exit_code::Exit;
use crate::cli::output::print::{print, print_json};
use crate::config::{Outcome, SinkConfig};
use crate::event::{Event, EventId, Queue, line};
use crate::shutdown::Signals;
use crate::sink::{self, DeliverError, Preview};
use crate::wall_clock;

/// The source and queue of a sample. No real event has its `id`.
const SAMPLE: &str = "sample";

/// The type that most sinks take.
const KIND: &str = "ONIMV2MESSAGEADD";

/// The result of the test.
#[derive(Serialize)]
struct Tested {
    sink: String,
    id: String,
    request: Option<Preview>,
    answer: String,
    class: &'static str,
    /// What would happen to a real event.
    meaning: String,
}

/// Sends a sample of the type `kind` to `sink`.
pub(in crate::cli) async fn send(
    sink: &SinkConfig,
    kind: Option<&str>,
    is_json: bool,
    signals: &Signals,
) -> anyhow::Result<Exit> {
    let event = sample(kind)?;
    let setup = |reason: &dyn Display| SetupError(format!("sinks.{}: {reason}", sink.name));
    let built = sink::build(sink, signals).map_err(|error| setup(&error))?;
    let request = sink::preview(sink, &event).map_err(|reason| setup(&reason))?;
    let outcome = built.deliver(&[&event]).await.map(|_mark| ());
    let (class, meaning) = judged(&outcome, &sink.name);
    let answer = match &outcome {
        Ok(()) => "accepted".to_owned(),
        Err(failure) => failure.to_string(),
    };
    let id = event.queue.stable_id(event.id);
    let tested = Tested { sink: sink.name.clone(), id, request, answer, class, meaning };
    if is_json {
        print_json(&tested)?;
    } else {
        print(&told(&tested))?;
    }
    Ok(if outcome.is_ok() { Exit::Clean } else { Exit::Unavailable })
}

/// A sample with the time as its number, so that a receiver does not take a second one for a duplicate.
fn sample(kind: Option<&str>) -> Result<Event, UsageError> {
    let kind = kind.unwrap_or(KIND);
    let queue = Arc::new(Queue::new(SAMPLE, SAMPLE));
    let samples = line::samples(&queue);
    let known: Vec<String> = samples.iter().map(|event| event.kind.clone()).collect();
    let found = samples.into_iter().find(|event| event.kind.eq_ignore_ascii_case(kind));
    let event = found.ok_or_else(|| {
        UsageError(format!("there is no sample of the type `{kind}`, only of {}", known.join(", ")))
    })?;
    let now_ms = wall_clock::now_ms();
    let id = u64::try_from(now_ms).ok().and_then(EventId::try_new).unwrap_or(event.id);
    let date = jiff::Timestamp::from_millisecond(now_ms - now_ms.rem_euclid(1000)).unwrap_or_default();
    let date = RawValue::from_string(format!("\"{date}\"")).unwrap_or(event.date);
    Ok(Event { id, date, ..event })
}

/// The class of the outcome in the engine's words, and what it means for a real event.
fn judged(outcome: &Result<(), DeliverError>, sink: &str) -> (&'static str, String) {
    let (class, meaning) = match outcome {
        Ok(()) => (Outcome::Delivered, "is delivered and never sent again".to_owned()),
        Err(DeliverError::Transient { .. }) => {
            (Outcome::Transient, "waits and is tried again with a growing delay (`retry`)".to_owned())
        }
        Err(DeliverError::Rejected { is_final: true, .. }) => {
            (Outcome::Rejected, "becomes a dead letter at once".to_owned())
        }
        Err(DeliverError::Rejected { .. }) => {
            (Outcome::Rejected, "becomes a dead letter after three such answers".to_owned())
        }
        Err(DeliverError::Held { .. }) => (
            Outcome::Held,
            "waits: the sink is held and tried again slowly until an operator acts".to_owned(),
        ),
        Err(DeliverError::Paused { .. }) => {
            (Outcome::Paused, format!("waits: nothing is sent until `b24relay resume {sink}`"))
        }
        Err(DeliverError::Closed { .. }) => return ("closed", "ends b24relay: the sink is gone".to_owned()),
    };
    (class.word(), meaning)
}

fn told(tested: &Tested) -> String {
    let Tested { sink, id, request, answer, class, meaning } = tested;
    let request = request.as_ref().map_or_else(String::new, |Preview { target, headers, body }| {
        let headers = headers.iter().chain([body]).map(|line| ["\n  ", line.as_str()].concat());
        format!("Request: {target}{}\n", headers.collect::<String>())
    });
    format!(
        "Sample event `{id}` for the sink `{sink}`\n{request}Answer: {answer}\nClass: {class}\nA real event {meaning}."
    )
}
