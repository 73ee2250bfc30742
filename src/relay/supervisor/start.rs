//! Starts a configured source: finds its queue, and the records of that queue in the state file. A source without a
//! login waits here.

use std::sync::{Arc, PoisonError};

use b24_client::CallError;
use tracing::{debug, error, info};

use crate::config::{AccessConfig, QueueKind, SinkConfig, SourceConfig};
use crate::log_code;
use crate::relay::context::EngineContext;
use crate::relay::lane::limiter::DeliveryLimiter;
use crate::relay::outcome::Ending;
use crate::relay::outcome::RelayError;
use crate::relay::outcome::Until;
use crate::relay::source::poller::LOGIN_INTERVAL;
use crate::relay::supervisor::build::{BoundQueue, ReadySource, assemble};
use crate::relay::supervisor::queue_identity::bind;
use crate::shutdown::{Signals, Wake};
use crate::store::{Health, StoreError};

/// The start of one source.
pub(crate) struct SourceStart {
    config: SourceConfig,
    sinks: Vec<(SinkConfig, Arc<DeliveryLimiter>)>,
    context: EngineContext,
}

/// The outcome of opening a source.
pub(crate) enum Opened {
    /// It can run.
    Ready(Box<ReadySource>),
    /// It must wait, for this reason.
    Waiting(CallError),
}

impl SourceStart {
    /// Creates the start of the source of `config`, whose events go to `sinks`.
    pub(crate) fn new(
        config: SourceConfig,
        sinks: Vec<(SinkConfig, Arc<DeliveryLimiter>)>,
        context: EngineContext,
    ) -> Self {
        Self { config, sinks, context }
    }

    /// The source's name.
    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }

    /// The signals that end this source alone: its lanes first, and then its polling.
    pub(crate) fn end_signals(&self) -> &Signals {
        &self.context.lane_signals
    }

    /// Opens the source, or returns the reason why it cannot be opened yet.
    pub(crate) async fn open(&self) -> Result<Opened, RelayError> {
        match self.identify().await {
            Ok((identity, owner)) => {
                self.bind_and_build(&identity, owner).await.map(|ready| Opened::Ready(Box::new(ready)))
            }
            Err(refusal) => Ok(Opened::Waiting(refusal)),
        }
    }

    /// The identity of the queue, and the user that owns it, if a user does.
    async fn identify(&self) -> Result<(String, Option<u64>), CallError> {
        let identity = self.context.clients.identity(&self.config).await?;
        let owner = self.owner().await?;
        self.request(owner)?;
        Ok((identity, owner))
    }

    async fn bind_and_build(&self, identity: &str, owner: Option<u64>) -> Result<ReadySource, RelayError> {
        let (queue, stored) = bind(&self.context.store, &self.config.name, identity).await?;
        let EngineContext { host, clients, .. } = &self.context;
        let upstream = host.upstream(&self.config, Arc::new(queue), clients)?;
        let queue = BoundQueue { upstream, owner, stored };
        assemble(queue, &self.config, &self.sinks, &self.context).await
    }

    /// Waits until the source can be opened, then runs it. `refusal` is why it could not be opened so far.
    pub(crate) async fn run(self, mut refusal: CallError) -> Result<Ending, RelayError> {
        let name = &self.config.name;
        let metrics = self.context.telemetry.metrics.source(name);
        loop {
            let hint = refusal.hint_for(name);
            error!(code = %log_code::SOURCE_NOT_SERVED, source = name, error = %refusal, hint, "the source cannot be polled");
            let trouble = format!("{refusal}; {hint}");
            let health = Health::refused(trouble.clone());
            // This is a note for `status`. If it fails, the log still has the information.
            if let Err(failure) = self.context.store.note_source(name, health).await {
                debug!(source = name, error = %failure, "cannot note the source's health");
            }
            metrics.need_person(true);
            self.context.telemetry.liveness.tried(name);
            if self.context.until == Until::Drained {
                return Ok(Ending::Refused);
            }
            // Report the same reason only once.
            while format!("{refusal}; {}", refusal.hint_for(name)) == trouble {
                let seen = self.context.lane_signals.nudge_count();
                if self.context.lane_signals.pause(LOGIN_INTERVAL, seen).await == Wake::Stopping {
                    return Ok(Ending::Clean);
                }
                match self.reopen().await? {
                    Opened::Ready(_) if self.context.lane_signals.stop.is_cancelled() => {
                        return Ok(Ending::Clean);
                    }
                    Opened::Ready(ready) => {
                        info!(source = name, "the source can be polled now");
                        drop(metrics);
                        return ready.run().await;
                    }
                    Opened::Waiting(other) => refusal = other,
                }
            }
        }
    }

    /// Like [`SourceStart::open`], at a start. A login that opens another queue parks a daemon's source, and so does TLS
    /// that cannot be set up. A drain ends with the error, and so does a mistake in the configuration.
    pub(crate) async fn open_first(&self) -> Result<Opened, RelayError> {
        match self.open().await {
            Err(error @ (RelayError::NoClient(_) | RelayError::Store(StoreError::OtherQueue { .. })))
                if self.context.until == Until::Stopped && !self.is_mistaken(&error) =>
            {
                self.wait_out(error).map(Opened::Waiting)
            }
            outcome => outcome,
        }
    }

    /// Whether `error` is a mistake in the configuration, for which a reload is refused. A login that opens another
    /// queue is not one: the authorization server decides that.
    pub(crate) fn is_mistaken(&self, error: &RelayError) -> bool {
        match error {
            RelayError::Setup(_) => true,
            RelayError::Store(StoreError::OtherQueue { .. }) => {
                matches!(self.config.access, AccessConfig::Webhook(_))
            }
            _ => false,
        }
    }

    /// Like [`SourceStart::open`], while other sources run: an error of this source alone becomes a reason to wait.
    pub(crate) async fn reopen(&self) -> Result<Opened, RelayError> {
        match self.open().await {
            Err(error) => self.wait_out(error).map(Opened::Waiting),
            outcome => outcome,
        }
    }

    /// Returns `error` as a reason to wait, if it concerns this source alone.
    pub(crate) fn wait_out(&self, error: RelayError) -> Result<CallError, RelayError> {
        let hint = match &error {
            RelayError::Store(StoreError::OtherQueue { .. }) | RelayError::Setup(_) => {
                "b24relay looks again every 5 seconds"
            }
            RelayError::NoClient(_) | RelayError::Store(StoreError::Unavailable { .. }) => {
                "correct that: b24relay tries again every 5 seconds"
            }
            RelayError::Store(_)
            | RelayError::KeyValue(_)
            | RelayError::SinkClosed { .. }
            | RelayError::Panicked(_) => return Err(error),
        };
        debug!(source = self.config.name, error = %error, "the source waits");
        Ok(CallError::operator("profile", error.to_string(), hint))
    }

    /// The user whose events are in the queue, if there is one.
    async fn owner(&self) -> Result<Option<u64>, CallError> {
        if self.config.reads_user() {
            self.context.clients.user_id(&self.config).await.map(Some)
        } else {
            Ok(None)
        }
    }

    fn request(&self, owner: Option<u64>) -> Result<(), CallError> {
        let portal = self.config.portal().authority();
        let bot = match &self.config.kind {
            QueueKind::Bot(bot) => Some(format!("{portal}/bot/{}", bot.id)),
            QueueKind::User => None,
        };
        let mut owners = self.context.owners.0.lock().unwrap_or_else(PoisonError::into_inner);
        for queue in bot.into_iter().chain(owner.map(|owner| format!("{portal}/user/{owner}"))) {
            let holder = owners.entry(queue.clone()).or_insert_with(|| self.config.name.clone());
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
