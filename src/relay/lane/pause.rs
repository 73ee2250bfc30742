//! A paused lane: its sink wants no more events, and the lane stands still until the operator resumes it.
//!
//! Neither a restart nor SIGHUP makes an attempt: the pause is in the state file before anything else is done, and only
//! `b24relay resume` removes it.

use std::time::Duration;

use tracing::{debug, error, info};

use crate::config::Hold;
use crate::log_code;
use crate::relay::context::EngineContext;
use crate::relay::outcome::Halt;
use crate::relay::outcome::RelayError;
use crate::relay::outcome::Until;
use crate::relay::state_retry::Disk;
use crate::shutdown::{Signals, Wake};
use crate::store::Store;

/// How often a paused lane checks whether the operator has resumed it. This reads only the state file.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// The pause of one lane.
pub(crate) struct Pause {
    source: String,
    sink: String,
    /// The reason and the hint, while the pause lasts.
    trouble: Option<String>,
    is_told: bool,
    is_durable: bool,
    hold: Hold,
    store: Store,
    signals: Signals,
    until: Until,
    disk: Disk,
}

impl Pause {
    /// Creates the pause of the lane from `source` to `sink`. `trouble` is why an earlier run paused the lane, if it
    /// did.
    pub(crate) fn new(source: &str, sink: &str, trouble: Option<String>, context: &EngineContext) -> Self {
        Self {
            source: source.to_owned(),
            sink: sink.to_owned(),
            is_durable: trouble.is_some(),
            trouble,
            is_told: false,
            hold: context.delivery.hold,
            store: context.store.clone(),
            signals: context.signals.clone(),
            until: context.until,
            disk: context.disk(),
        }
    }

    /// Whether no attempt may be made until [`Pause::wait`] has returned.
    pub(crate) fn is_on(&self) -> bool {
        self.trouble.is_some()
    }

    /// Pauses the lane because the sink wants no more events, for `reason`. Logs this and makes it durable.
    pub(crate) async fn begin(&mut self, reason: &str) -> Result<(), RelayError> {
        self.trouble = Some(format!("{reason}; `b24relay resume {}`", self.sink));
        (self.is_told, self.is_durable) = (false, false);
        self.tell();
        self.write().await
    }

    /// Waits until the operator resumes the lane. A drain does not wait.
    pub(crate) async fn wait(&mut self) -> Result<(), Halt> {
        self.tell();
        self.write().await?;
        if !self.is_durable || self.until == Until::Drained {
            return Err(Halt::Stopped);
        }
        let hold_up = format!("waits for the sink `{0}`, which is paused: `b24relay resume {0}`", self.sink);
        if self.hold == Hold::Forever {
            self.hold_up("", &hold_up).await;
        }
        loop {
            let nudges_seen = self.signals.nudge_count();
            if self.is_over().await? {
                break;
            }
            if self.signals.pause(LOOK_INTERVAL, nudges_seen).await == Wake::Stopping {
                return Err(Halt::Stopped);
            }
        }
        if self.hold == Hold::Forever {
            self.hold_up(&hold_up, "").await;
        }
        (self.trouble, self.is_told) = (None, false);
        info!(source = self.source, sink = self.sink, "sink is resumed");
        Ok(())
    }

    /// Logs the pause, once in each pause and each process.
    fn tell(&mut self) {
        if self.is_told {
            return;
        }
        self.is_told = true;
        let waits = match self.hold {
            Hold::Forever => "the sink, and with it its source, as `delivery.hold` is \"forever\"",
            Hold::For(_) => "the sink alone",
        };
        let (source, sink, error) = (&self.source, &self.sink, self.trouble.as_deref().unwrap_or_default());
        error!(
            code = %log_code::SINK_PAUSED,
            source,
            sink, waits, error, "sink is paused: nothing is lost, and nothing is sent until it is resumed"
        );
    }

    /// Makes the pause durable. A stop may come before the disk accepts it.
    async fn write(&mut self) -> Result<(), RelayError> {
        if self.is_durable {
            return Ok(());
        }
        let (store, source, sink) = (&self.store, &self.source, &self.sink);
        let trouble = self.trouble.as_deref().unwrap_or_default();
        let written = self.disk.persist("pause", move || store.pause(source, sink, trouble));
        self.is_durable = Halt::unless_stopped(written.await)?.is_some();
        Ok(())
    }

    /// Whether the operator has resumed the lane. If the state cannot be read, the lane is assumed to be still paused.
    async fn is_over(&self) -> Result<bool, RelayError> {
        use crate::store::StoreError::Unavailable;
        match self.store.is_paused(&self.source, &self.sink).await {
            Ok(is_paused) => Ok(!is_paused),
            Err(failure @ Unavailable { .. }) => {
                debug!(source = self.source, sink = self.sink, error = %failure, "cannot look for a resumption");
                Ok(false)
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// Notes for `status` what holds the source up. If that fails, the log still has it.
    async fn hold_up(&self, before: &str, after: &str) {
        if let Err(failure) = self.store.note_hold_up(&self.source, before, after).await {
            debug!(source = self.source, error = %failure, "cannot note what holds the source up");
        }
    }
}
