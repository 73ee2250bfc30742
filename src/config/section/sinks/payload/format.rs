//! `format` of a webhook where it sends the event itself.

/// A webhook's `format` that sends the event itself.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum PayloadFormat {
    /// The event as in a line of the file sink.
    #[default]
    Json,
    /// The event as the portal's queue had it.
    Raw,
    /// A `CloudEvent` in structured mode.
    CloudEvents,
    /// A `CloudEvent` in binary mode: the attributes are headers, the body is `data`.
    CloudEventsBinary,
    /// A batch of `CloudEvents`, even for one event.
    CloudEventsBatch,
}

impl PayloadFormat {
    /// True if one request can hold several events.
    pub fn holds_batches(self) -> bool {
        match self {
            Self::Json | Self::Raw | Self::CloudEventsBatch => true,
            Self::CloudEvents | Self::CloudEventsBinary => false,
        }
    }
}
