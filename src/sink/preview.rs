//! Shows what a sink would send, without secrets, for `test`.

use crate::config::{SinkConfig, TargetConfig};
use crate::event::Event;
use crate::sink::contract::Preview;
use crate::sink::text_format;
use crate::sink::webhook;

/// What `sink` would send for `event`. `None` for standard output, which shows it itself.
///
/// # Errors
/// Says why nothing can be sent.
pub fn preview(sink: &SinkConfig, event: &Event) -> Result<Option<Preview>, String> {
    match &sink.target {
        TargetConfig::Stdout(_) => Ok(None),
        TargetConfig::File(file) => {
            let mut line = Vec::new();
            event.write_line(&mut line);
            let body = String::from_utf8_lossy(&text_format::for_terminal(&line)).trim_end().to_owned();
            let target = format!("append to `{}`", file.path.display());
            Ok(Some(Preview { target, headers: Vec::new(), body }))
        }
        TargetConfig::Webhook(config) => webhook::preview(config, event).map(Some),
    }
}
