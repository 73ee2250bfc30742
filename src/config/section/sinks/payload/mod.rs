//! The request of a webhook sink: its body and the secrets that sign it.

pub(crate) mod body; // the event, a template or a message
pub(crate) mod format; // the event as it is
pub(crate) mod signing; // the signing secrets

use crate::config::parse::table::Table;
use crate::config::secrets::secret_file::SecretFiles;
use body::BodyConfig;
use signing::SigningConfig;

/// The body and the signing of a webhook's requests.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct PayloadConfig {
    /// `format`, and what it needs.
    pub body: BodyConfig,
    /// `secrets` or `secrets_file`.
    pub signing: SigningConfig,
}

/// Reads the keys and reports violations. `is_taken` says which event types the sink takes.
pub(crate) fn read(
    table: &mut Table<'_>,
    files: &SecretFiles,
    is_taken: &dyn Fn(&str) -> bool,
) -> Option<PayloadConfig> {
    let body = body::read(table, files, is_taken);
    let signing = signing::read(table, files);
    Some(PayloadConfig { body: body?, signing })
}
