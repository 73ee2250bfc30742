//! The request of a webhook sink: the format of its body and the secrets that sign it.

pub(crate) mod signing; // the signing secrets

use crate::config::parse::enums::words;
use crate::config::parse::table::Table;
use crate::config::parse::value;
use crate::config::secrets::secret_file::SecretFiles;
use signing::SigningConfig;

/// The format and the signing of a webhook's requests.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct PayloadConfig {
    /// `format`.
    pub format: PayloadFormat,
    /// `secrets` or `secrets_file`.
    pub signing: SigningConfig,
}

/// A webhook's `format`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
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

words!(PayloadFormat: "json" => Json, "raw" => Raw, "cloudevents" => CloudEvents,
    "cloudevents-binary" => CloudEventsBinary, or "cloudevents-batch" => CloudEventsBatch);

/// Reads the keys and reports violations.
pub(crate) fn read(table: &mut Table<'_>, files: &SecretFiles) -> PayloadConfig {
    PayloadConfig {
        format: table.take_or("format", value::choice, PayloadFormat::default()),
        signing: signing::read(table, files),
    }
}
