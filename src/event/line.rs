//! Reads an event from a line of JSON: of the file sink, of standard output, or as the portal's queue has it.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::event::{Event, EventId, Queue};

/// The samples: one event of each known type, as a line with the portal's form.
const SAMPLES: &str = include_str!("samples.jsonl");

/// An event of a line, which does not know its queue yet.
#[derive(Deserialize)]
pub struct EventLine {
    /// The source, if the line names one.
    pub source: Option<String>,
    #[serde(rename = "eventId")]
    id: u64,
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    date: Option<Box<RawValue>>,
    data: Box<RawValue>,
}

impl EventLine {
    /// Parses `line`.
    ///
    /// # Errors
    /// Describes why it is no event.
    pub fn parse(line: &str) -> Result<Self, String> {
        let line: Self = serde_json::from_str(line).map_err(|error| error.to_string())?;
        if EventId::try_new(line.id).is_none() {
            return Err(format!("`eventId` is {}", line.id));
        }
        Ok(line)
    }

    /// The event in `queue`.
    pub fn into_event(self, queue: Arc<Queue>) -> Option<Event> {
        let Self { id, kind, date, data, .. } = self;
        let date = date.unwrap_or_else(|| RawValue::NULL.to_owned());
        Some(Event { queue, id: EventId::try_new(id)?, kind, date, data })
    }
}

/// A sample event of each known type, in `queue`.
pub fn samples(queue: &Arc<Queue>) -> Vec<Event> {
    let lines = SAMPLES.lines().filter_map(|line| EventLine::parse(line).ok());
    lines.filter_map(|line| line.into_event(Arc::clone(queue))).collect()
}

/// The sample of a gap event, which is in no queue of the portal.
pub fn gap_sample(queue: &Arc<Queue>) -> Option<Event> {
    const GAP: &str = r#"{"eventId":1,"type":"B24RELAY_GAP","date":"2026-01-15T10:30:00+03:00",
        "data":{"from":"2026-01-14T09:00:00+03:00","to":"2026-01-14T10:30:00+03:00"}}"#;
    EventLine::parse(GAP).ok()?.into_event(Arc::clone(queue))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_becomes_the_event_that_it_was_written_from() {
        let queue = Arc::new(Queue::new("support", "example.bitrix24.com/user/12"));
        let samples = samples(&queue);
        assert_eq!(samples.len(), SAMPLES.lines().count());
        for event in samples {
            let mut line = Vec::new();
            event.write_line(&mut line);
            let read = EventLine::parse(str::from_utf8(&line).unwrap()).unwrap();
            assert_eq!(read.source.as_deref(), Some("support"));
            let again = read.into_event(Arc::clone(&queue)).unwrap();
            let mut second = Vec::new();
            again.write_line(&mut second);
            assert_eq!(line, second);
        }
    }

    #[test]
    fn what_is_no_event_is_refused_with_the_reason() {
        for (line, reason) in [
            ("{}", "eventId"),
            (r#"{"eventId":0,"data":{}}"#, "`eventId` is 0"),
            (r#"{"eventId":7}"#, "data"),
            ("7", "expected"),
            ("", "EOF"),
        ] {
            let refused = EventLine::parse(line).err().unwrap();
            assert!(refused.contains(reason), "{line}: {refused}");
        }
    }
}
