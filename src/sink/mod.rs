//! Destinations: each takes events, in order, and says when it holds them for good.

mod contract; // what every sink promises
mod file;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod preview; // a request before it is sent, for `test`
mod probe; // can a sink be reached? for `check`
mod stdout;
pub mod text_format; // an event as a short text for a terminal
mod webhook;

use std::sync::Arc;

use crate::config::{SinkConfig, TargetConfig};
use crate::shutdown::Signals;
use crate::sink::file::sink;

pub use contract::{BuildError, DeliverError, Mark, Preview, ProbeError, Sink, cause};
pub use preview::preview;
pub use probe::{cautions, probe, proxy_to};

/// Builds the sink that `config` describes. It accesses no file or network before the first attempt, so a
/// missing disk or receiver delays deliveries but never the start.
pub fn build(config: &SinkConfig, signals: &Signals) -> Result<Arc<dyn Sink>, BuildError> {
    Ok(match &config.target {
        TargetConfig::Stdout(stdout) => Arc::new(stdout::StdoutSink::new(*stdout)),
        TargetConfig::File(file) => Arc::new(sink::FileSink::new(file.clone(), signals.clone())),
        TargetConfig::Webhook(webhook) => {
            let batch = config.flow.batch;
            Arc::new(webhook::WebhookSink::try_new(webhook.as_ref().clone(), batch, signals.clone())?)
        }
    })
}
