//! Starts a configured source: finds its queue, and the records of that queue in the state file. A source without a
//! login waits here.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tracing::{debug, error, info};

use crate::config::{AccessConfig, KindConfig, SinkConfig, SourceConfig};
use crate::log_code;
use crate::portal::CallError;
use crate::relay::context::Common;
use crate::relay::lane::limiter::Gate;
use crate::relay::outcome::Ending;
use crate::relay::outcome::RelayError;
use crate::relay::outcome::Until;
use crate::relay::supervisor::build::{Opened, assemble};
use crate::relay::supervisor::queue_identity::adopt;
use crate::shutdown::{Signals, Wake};
use crate::store::{Health, StoreError};

/// How often a source without a login checks for one. This reads only the state file.
const LOGIN_INTERVAL: Duration = Duration::from_secs(5);

/// The start of one source.
pub struct Opening {
    config: SourceConfig,
    sinks: Vec<(SinkConfig, Arc<Gate>)>,
    common: Common,
}

impl Opening {
    /// Creates the start of the source of `config`, whose events go to `sinks`.
    pub fn new(config: SourceConfig, sinks: Vec<(SinkConfig, Arc<Gate>)>, common: Common) -> Self {
        Self { config, sinks, common }
    }

    /// The source's name.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// The signals that end this source alone: its lanes first, and then its polling.
    pub fn end_signals(&self) -> &Signals {
        &self.common.lane_signals
    }

    /// Opens the source, or returns the reason why it cannot be opened yet.
    pub async fn open(&self) -> Result<Result<Opened, CallError>, RelayError> {
        let identity = match self.common.callers.identity(&self.config).await {
            Ok(identity) => identity,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let owner = match self.owner().await {
            Ok(owner) => owner,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Err(refusal) = self.claim(owner) {
            return Ok(Err(refusal));
        }
        let (queue, adopted) = adopt(&self.common.store, &self.config.name, &identity).await?;
        let Common { surroundings, callers, .. } = &self.common;
        let upstream = surroundings.upstream(&self.config, Arc::new(queue), callers);
        let upstream = upstream.map_err(RelayError::NoClient)?;
        assemble(upstream, owner, adopted, &self.config, &self.sinks, &self.common).await.map(Ok)
    }

    /// Waits until the source can be opened, then runs it. `refusal` is why it could not be opened so far.
    pub async fn run(self, mut refusal: CallError) -> Result<Ending, RelayError> {
        let name = &self.config.name;
        let figures = self.common.witness.figures.source(name);
        loop {
            let cure = refusal.cure_for(name);
            error!(code = %log_code::SOURCE_NOT_SERVED, source = name, error = %refusal, cure, "the source cannot be polled");
            let trouble = format!("{refusal}; {cure}");
            let health = Health::refused(trouble.clone());
            // This is a note for `status`. If it fails, the log still has the information.
            if let Err(failure) = self.common.store.note_source(name, health).await {
                debug!(source = name, error = %failure, "cannot note the source's health");
            }
            figures.need_person(true);
            self.common.witness.vitals.tried(name);
            if self.common.until == Until::Drained {
                return Ok(Ending::Refused);
            }
            // Report the same reason only once.
            while format!("{refusal}; {}", refusal.cure_for(name)) == trouble {
                let seen = self.common.lane_signals.nudge_count();
                if self.common.lane_signals.pause(LOGIN_INTERVAL, seen).await == Wake::Stopping {
                    return Ok(Ending::Clean);
                }
                match self.reopen().await? {
                    Ok(_) if self.common.lane_signals.stop.is_cancelled() => return Ok(Ending::Clean),
                    Ok(opened) => {
                        info!(source = name, "the source can be polled now");
                        drop(figures);
                        return opened.run().await;
                    }
                    Err(other) => refusal = other,
                }
            }
        }
    }

    /// Like [`Opening::open`], at a start. A login that opens another queue parks a daemon's source, and so does TLS
    /// that cannot be set up. A drain ends with the error, and so does a mistake in the configuration.
    pub async fn open_first(&self) -> Result<Result<Opened, CallError>, RelayError> {
        match self.open().await {
            Err(error @ (RelayError::NoClient(_) | RelayError::Store(StoreError::OtherQueue { .. })))
                if self.common.until == Until::Stopped && !self.is_mistaken(&error) =>
            {
                self.wait_out(error).map(Err)
            }
            outcome => outcome,
        }
    }

    /// Whether `error` is a mistake in the configuration, for which a reload is refused. A login that opens another
    /// queue is not one: the authorization server decides that.
    pub fn is_mistaken(&self, error: &RelayError) -> bool {
        match error {
            RelayError::Setup(_) => true,
            RelayError::Store(StoreError::OtherQueue { .. }) => {
                matches!(self.config.access, AccessConfig::Webhook(_))
            }
            _ => false,
        }
    }

    /// Like [`Opening::open`], while other sources run: an error of this source alone becomes a reason to wait.
    pub async fn reopen(&self) -> Result<Result<Opened, CallError>, RelayError> {
        match self.open().await {
            Err(error) => self.wait_out(error).map(Err),
            outcome => outcome,
        }
    }

    /// Returns `error` as a reason to wait, if it concerns this source alone.
    pub fn wait_out(&self, error: RelayError) -> Result<CallError, RelayError> {
        let cure = match &error {
            RelayError::Store(StoreError::OtherQueue { .. }) | RelayError::Setup(_) => {
                "b24relay looks again every 5 seconds"
            }
            RelayError::NoClient(_) | RelayError::Store(StoreError::Unavailable { .. }) => {
                "correct that: b24relay tries again every 5 seconds"
            }
            RelayError::Store(_)
            | RelayError::NoMemory(_)
            | RelayError::SinkClosed { .. }
            | RelayError::Panicked(_) => return Err(error),
        };
        debug!(source = self.config.name, error = %error, "the source waits");
        Ok(CallError::operator("profile", error.to_string(), cure))
    }

    /// The user whose events are in the queue, if there is one.
    async fn owner(&self) -> Result<Option<u64>, CallError> {
        if self.config.reads_user() {
            self.common.callers.user_id(&self.config).await.map(Some)
        } else {
            Ok(None)
        }
    }

    fn claim(&self, owner: Option<u64>) -> Result<(), CallError> {
        let portal = self.config.portal().authority();
        let bot = match &self.config.kind {
            KindConfig::Bot(bot) => Some(format!("{portal}/bot/{}", bot.id)),
            KindConfig::User => None,
        };
        let mut claims = self.common.claims.0.lock().unwrap_or_else(PoisonError::into_inner);
        for queue in bot.into_iter().chain(owner.map(|owner| format!("{portal}/user/{owner}"))) {
            let holder = claims.entry(queue.clone()).or_insert_with(|| self.config.name.clone());
            if *holder != self.config.name {
                let reason = format!(
                    "the source `{holder}` reads the queue `{queue}` already, they would take each other's events"
                );
                return Err(CallError::operator(
                    "profile",
                    reason,
                    "remove one of them, or log in as another user",
                ));
            }
        }
        Ok(())
    }
}
