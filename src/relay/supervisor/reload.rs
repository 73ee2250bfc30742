//! SIGHUP: the configuration is read again and applied as a whole, or not at all.
//!
//! It is checked before anything is touched. Then the affected sources end, as when the process stops, and start again
//! from their records (I1 to I6 hold as across a restart). All others run on. If one of them cannot be opened, for a
//! reason that would also prevent a start, the previous sources continue with the previous configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use b24_client::KeyValue;
use tokio::time::timeout;
use tracing::{error, info};

use crate::blocking;
use crate::config::{Config, ConfigError, SinkConfig, TargetConfig};
use crate::log_code;
use crate::relay::context::EngineContext;
use crate::relay::context::Shares;
use crate::relay::key_value::StoreKeyValue;
use crate::relay::lane::limiter::DeliveryLimiter;
use crate::relay::outcome::RelayError;
use crate::relay::portal_clients::PortalClients;
use crate::relay::supervisor::reload_plan::Plan;
use crate::relay::supervisor::start::{Opened, SourceStart};
use crate::relay::supervisor::tasks::{Checked, Sinks, Supervisor, build, openings};
use crate::service::{Metrics, Notifier, Server};
use crate::sink::Sink;
use crate::telemetry;

/// How long reading the configuration may take, including its secret files.
const LOADING_MAX: Duration = Duration::from_secs(30);

/// How a reload ended.
enum Outcome {
    /// The new configuration is active, with this many changes.
    Applied(usize),
    /// The previous configuration is still active, and the reason was logged.
    Refused,
    /// The process is stopping.
    Overtaken,
}

/// The parts of a new configuration that are built before anything is disturbed.
struct StagedReload {
    config: Config,
    clients: Arc<PortalClients>,
    /// The sinks that may turn out to be impossible to build.
    webhooks: BTreeMap<String, Arc<dyn Sink>>,
    /// The HTTP server for status and metrics, if `http.listen` is set.
    server: Option<Server>,
}

impl Supervisor {
    /// Applies the configuration as it is written now.
    ///
    /// # Errors
    /// Only errors that end the process. A configuration that cannot be used does not.
    pub(crate) async fn reload(&mut self) -> Result<(), RelayError> {
        info!("SIGHUP: reading the configuration again");
        // Before the daemon has reported that it is ready, this notice would report it.
        let notifier = self.context.telemetry.liveness.is_up().then_some(Notifier);
        notifier.inspect(Notifier::reloading);
        let outcome = self.try_reload().await?;
        notifier.inspect(Notifier::reloaded);
        conclude(&outcome, &self.context.telemetry.metrics);
        Ok(())
    }

    async fn try_reload(&mut self) -> Result<Outcome, RelayError> {
        let host = Arc::clone(&self.context.host);
        let loading = timeout(LOADING_MAX, host.load());
        let Some(loaded) = self.attend(loading).await? else { return Ok(Outcome::Overtaken) };
        match loaded {
            Ok(Ok(config)) => self.put_in_force(config).await,
            Err(_elapsed) => {
                Ok(refuse("it cannot be read in time: is it a pipe, or on a disk that is gone?"))
            }
            Ok(Err(error)) => {
                tell_mistakes(&error);
                Ok(Outcome::Refused)
            }
        }
    }

    async fn put_in_force(&mut self, mut config: Config) -> Result<Outcome, RelayError> {
        let plan = Plan::new(&self.config, &config);
        for change in &plan.changes {
            info!(%change, "the configuration has changed");
        }
        // The process keeps its state file, and the difference is reported again until the next start.
        config.keep_state(&self.config);
        let preparation = match self.prepare(config).await {
            Ok(preparation) => preparation,
            Err(error) => return Ok(refuse(&error.to_string())),
        };
        if let Some(reason) = self.hanging(&plan.ending) {
            return Ok(refuse(&reason));
        }
        self.end(&plan.ending).await?;
        if self.context.signals.stop.is_cancelled() {
            return Ok(Outcome::Overtaken);
        }
        self.change_over(preparation, &plan).await
    }

    /// Builds the parts of `config` that may turn out to be impossible.
    async fn prepare(&self, config: Config) -> Result<StagedReload, RelayError> {
        let key_value: Arc<dyn KeyValue> = Arc::new(StoreKeyValue(self.context.store.clone()));
        let clients = self.context.clients.renewed(&config, &config.sources, &key_value).await?;
        let mut webhooks = BTreeMap::new();
        for sink in config.sinks.iter().filter(|sink| matches!(sink.target, TargetConfig::Webhook(_))) {
            if self.limiter_of(sink).is_none() {
                webhooks.insert(sink.name.clone(), build(sink, &self.context)?);
            }
        }
        let server = self.context.telemetry.listener.prepare(config.http.as_ref()).await;
        let server = server.map_err(|error| RelayError::Setup(error.to_string()))?;
        Ok(StagedReload { config, clients: Arc::new(clients), webhooks, server })
    }

    /// Starts the sources that the plan names, after the ending ones have ended.
    async fn change_over(&mut self, preparation: StagedReload, plan: &Plan) -> Result<Outcome, RelayError> {
        let StagedReload { config, clients, webhooks, server } = preparation;
        // Wait for pending token writes of the old login: the new one must find them.
        self.context.clients.rest_but_for(&clients).await;
        self.context.owners.release(&plan.ending);
        let sinks = self.sinks_of(&config, webhooks)?;
        let (delivery, shares) = (config.delivery, Shares::of(&config));
        let context = EngineContext { clients, delivery, shares, ..self.context.clone() };
        let mut checked = Vec::new();
        for start in concerned(openings(&config, &sinks, &context), &plan.beginning) {
            match start.open().await {
                Ok(outcome) => checked.push(Checked { start, outcome }),
                Err(error) if start.is_mistaken(&error) => {
                    let refused = refuse(&error.to_string());
                    // The previous sources are about to need the resources that these hold.
                    let made = (checked, sinks);
                    blocking::run(move || drop(made)).await;
                    self.go_back(plan).await?;
                    return Ok(refused);
                }
                Err(error) => {
                    let outcome = Opened::Waiting(start.wait_out(error)?);
                    checked.push(Checked { start, outcome });
                }
            }
        }
        self.grace.send_replace(config.shutdown_grace);
        let telemetry = &self.context.telemetry;
        telemetry.metrics.bound_journal(config.delivery.journal.max_size);
        telemetry.liveness.release(&plan.ending);
        telemetry.active_config.enter(&config);
        telemetry.show_through(server);
        telemetry::change(config.log);
        self.config = config;
        self.context = context;
        let before = std::mem::replace(&mut self.sinks, sinks);
        // A file of a previous sink may be the file of another sink now, so it is closed first.
        blocking::run(move || drop(before)).await;
        self.begin(checked);
        self.tell_left_behind().await;
        if !plan.changes.is_empty() {
            self.context.clients.warn_of_stretching(&self.config.sources);
        }
        Ok(Outcome::Applied(plan.changes.len()))
    }

    /// Restarts the sources that have ended, with the configuration that is still active.
    async fn go_back(&mut self, plan: &Plan) -> Result<(), RelayError> {
        self.context.owners.release(&plan.beginning);
        let mut checked = Vec::new();
        for start in concerned(openings(&self.config, &self.sinks, &self.context), &plan.ending) {
            let outcome = start.reopen().await?;
            checked.push(Checked { start, outcome });
        }
        self.begin(checked);
        Ok(())
    }

    /// The sinks of `config`. An unchanged sink keeps its limiter and everything behind it.
    fn sinks_of(
        &self,
        config: &Config,
        mut webhooks: BTreeMap<String, Arc<dyn Sink>>,
    ) -> Result<Sinks, RelayError> {
        let limiter = |sink: &SinkConfig| {
            if let Some(limiter) = self.limiter_of(sink) {
                return Ok((sink.clone(), Arc::clone(limiter)));
            }
            let built = match webhooks.remove(&sink.name) {
                Some(built) => built,
                None => build(sink, &self.context)?,
            };
            Ok((sink.clone(), DeliveryLimiter::new(built, sink, &self.context.telemetry.metrics)))
        };
        config.sinks.iter().map(limiter).collect()
    }

    /// The existing limiter to the destination of `sink`, if there is one.
    fn limiter_of(&self, sink: &SinkConfig) -> Option<&Arc<DeliveryLimiter>> {
        let known =
            self.sinks.iter().find(|(known, _)| known.name == sink.name && known.same_destination(sink));
        known.map(|(_, limiter)| limiter)
    }
}

fn concerned(openings: Vec<SourceStart>, names: &BTreeSet<String>) -> impl Iterator<Item = SourceStart> {
    openings.into_iter().filter(|start| names.contains(start.name()))
}

/// Logs all mistakes, as `check` does.
fn tell_mistakes(error: &ConfigError) {
    match error {
        ConfigError::Invalid { violations, .. } => {
            for violation in violations {
                error!(code = %log_code::CONFIG_INVALID, %violation, "the configuration cannot be used");
            }
        }
        ConfigError::NoFile { .. }
        | ConfigError::Unreadable { .. }
        | ConfigError::Untrusted { .. }
        | ConfigError::Syntax { .. } => {
            error!(code = %log_code::CONFIG_INVALID, %error, "the configuration cannot be used");
        }
    }
}

fn refuse(reason: &str) -> Outcome {
    error!(code = %log_code::CONFIG_NOT_APPLIED, reason, "the configuration cannot be applied");
    Outcome::Refused
}

/// Counts and logs the result of every reload.
fn conclude(outcome: &Outcome, metrics: &Metrics) {
    match outcome {
        Outcome::Applied(_) => metrics.reloaded("applied"),
        Outcome::Refused => metrics.reloaded("refused"),
        Outcome::Overtaken => {}
    }
    match outcome {
        Outcome::Applied(0) => info!("configuration reloaded: nothing has changed"),
        Outcome::Applied(changes) => info!(changes, "configuration reloaded"),
        Outcome::Refused => {
            error!(code = %log_code::RELOAD_REFUSED, "configuration not reloaded: the previous one stays active, and nothing is lost");
        }
        Outcome::Overtaken => info!("configuration not reloaded: b24relay is stopping"),
    }
}
