//! The body of a request in any `format`.

use reqwest::header::HeaderValue;

use crate::config::BodyConfig;
use crate::sink::webhook::body::format::{self, Payload};
use crate::sink::webhook::body::messenger;

/// A body, before it is signed and compressed.
pub(crate) struct Written {
    pub(crate) content_type: HeaderValue,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

/// Writes `payload` as `config` says.
///
/// # Errors
/// Says why there is no such body, without content of the event.
pub(crate) fn write(config: &BodyConfig, payload: Payload<'_>) -> Result<Written, String> {
    let authored = |content_type, body| Written { content_type, headers: Vec::new(), body };
    match (config, payload) {
        (BodyConfig::Event(format), _) => {
            let encoded = format::write(*format, payload);
            let content_type = HeaderValue::from_static(encoded.content_type);
            Ok(Written { content_type, headers: encoded.headers, body: encoded.body })
        }
        (BodyConfig::Template(config), Payload::Single(event)) => {
            let body = config.template.render(event);
            let body =
                body.map_err(|reason| format!("`template` cannot be written for this event: {reason}"))?;
            Ok(authored(config.content_type.clone(), body))
        }
        (BodyConfig::Message(config), Payload::Single(event)) => {
            let body = messenger::write(config, event);
            Ok(authored(HeaderValue::from_static("application/json"), body))
        }
        // The configuration refuses `batch` for these.
        (BodyConfig::Template(_) | BodyConfig::Message(_), Payload::Batch(_)) => {
            Err("this `format` holds one event, and not a batch".to_owned())
        }
    }
}
