//! The configuration by the operator: the sources and sinks of a run, and their settings.

use std::collections::BTreeMap;
use std::time::Duration;

use b24relay::config::{
    AccessConfig, Config, ConnectionConfig, DeliveryConfig, FilterConfig, GiveUp, Keys, LogConfig, LogFormat,
    LogLevel, PollConfig, PortalConfig, QueueKind, RateConfig, RetryConfig, SinkConfig, SourceConfig,
    StartConfig, StdoutConfig, StdoutFormat, TargetConfig, WebhookUrl,
};

use crate::plan::{Plan, SinkPlan};
use crate::world::SOURCES;

/// Longer than any world lasts.
const GIVE_UP_AFTER: Duration = Duration::from_secs(2 * 3600);

/// The configuration by the operator.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub delivery: DeliveryConfig,
    pub grace: Duration,
    pub is_enterprise: bool,
    /// One for each of [`SOURCES`].
    pub sources: Vec<SourceSetting>,
    /// All sinks of the plan, configured or not.
    pub sinks: Vec<SinkSetting>,
}

/// One source.
#[derive(Clone, Debug)]
pub(crate) struct SourceSetting {
    pub is_there: bool,
    pub user: u64,
    pub code: &'static str,
    pub idle: Duration,
    pub busy: Duration,
    pub limit: u16,
    pub lag: Duration,
}

/// One sink.
#[derive(Clone, Debug)]
pub(crate) struct SinkSetting {
    pub is_there: bool,
    pub plan: SinkPlan,
    /// The only source whose events it gets, or `None` for all.
    pub only: Option<&'static str>,
    pub format: StdoutFormat,
}

impl Setting {
    /// The first configuration of a world.
    pub(crate) fn first(plan: &Plan) -> Self {
        let source = |number: usize| SourceSetting {
            is_there: number == 0,
            user: owner(number),
            code: "secret",
            idle: plan.idle,
            busy: plan.busy,
            limit: plan.limit,
            lag: plan.lag,
        };
        let sink = |plan: &SinkPlan| SinkSetting {
            is_there: !plan.comes_and_goes,
            plan: plan.clone(),
            only: None,
            format: StdoutFormat::Json,
        };
        Self {
            delivery: plan.delivery,
            grace: plan.grace,
            is_enterprise: false,
            sources: (0..SOURCES.len()).map(source).collect(),
            sinks: plan.sinks.iter().map(sink).collect(),
        }
    }

    /// The same as a `Config`.
    pub(crate) fn config(&self) -> Config {
        let rate = (String::from("portal.example"), PortalConfig::with_rate(Some(RateConfig::ENTERPRISE)));
        let sources = self.sources.iter().zip(SOURCES).filter(|(source, _)| source.is_there);
        Config {
            state: "b24relay.db".into(),
            shutdown_grace: self.grace,
            log: LogConfig { format: LogFormat::Text, level: LogLevel::Debug },
            delivery: self.delivery,
            http: None,
            sources: sources.map(|(source, name)| source.config(name)).collect(),
            sinks: self.sinks.iter().filter(|sink| sink.is_there).map(SinkSetting::config).collect(),
            portals: if self.is_enterprise { BTreeMap::from([rate]) } else { BTreeMap::new() },
            // It is used for the log alone.
            keys: Keys::default(),
        }
    }

    /// The sinks that get the events of `source`.
    pub(crate) fn takers(&self, source: &str) -> Vec<SinkPlan> {
        let takers = self.sinks.iter().filter(|sink| sink.is_there);
        let takers = takers.filter(|sink| sink.only.is_none_or(|only| only == source));
        takers.map(|sink| sink.plan.clone()).collect()
    }

    /// Whether a change from this to `other` affects `source`.
    pub(crate) fn concerns(&self, other: &Self, source: &str) -> bool {
        let made_of = |setting: &Self| {
            let config = setting.config();
            let takers = config.sinks.iter().filter(|sink| sink.takes_source(source));
            let takers = takers.map(|sink| SinkConfig { sources: None, ..sink.clone() });
            let takers: Vec<SinkConfig> = takers.collect();
            (config.sources.iter().find(|known| known.name == source).cloned(), takers)
        };
        made_of(self) != made_of(other)
            || self.delivery != other.delivery
            || self.is_enterprise != other.is_enterprise
    }

    /// Whether `source` is configured.
    pub(crate) fn has(&self, source: &str) -> bool {
        let mut sources = self.sources.iter().zip(SOURCES);
        sources.any(|(setting, name)| name == source && setting.is_there)
    }

    /// A summary for the trace.
    pub(crate) fn summary(&self) -> String {
        let sources = self.sources.iter().zip(SOURCES).filter(|(source, _)| source.is_there);
        let sources: Vec<String> =
            sources.map(|(source, name)| format!("{name} of {} by {}", source.user, source.code)).collect();
        let sinks = self.sinks.iter().filter(|sink| sink.is_there);
        let sinks: Vec<String> = sinks
            .map(|sink| {
                let SinkPlan { name, kinds, flow, .. } = &sink.plan;
                format!(
                    "{name} {:?} {:?} {kinds:?} {:?}x{}",
                    sink.format, sink.only, flow.ordering, flow.concurrency
                )
            })
            .collect();
        format!("{:?}, sources {sources:?}, sinks {sinks:?}", self.delivery.hold)
    }

    /// The plan of the sink with this configuration.
    pub(crate) fn plan_of(&self, config: &SinkConfig) -> Option<&SinkPlan> {
        self.sinks.iter().find(|sink| sink.config() == *config).map(|sink| &sink.plan)
    }
}

impl SourceSetting {
    fn config(&self, name: &str) -> SourceConfig {
        let url = format!("https://portal.example/rest/{}/{}/", self.user, self.code);
        SourceConfig {
            name: name.to_owned(),
            kind: QueueKind::User,
            access: AccessConfig::Webhook(WebhookUrl::parse(&url).expect("a webhook")),
            poll: PollConfig {
                idle: self.idle,
                idle_max: self.idle * 6,
                busy: self.busy,
                limit: self.limit,
                timeout: Duration::from_secs(30),
            },
            confirm_lag: self.lag,
            connection: ConnectionConfig::default(),
        }
    }
}

impl SinkSetting {
    fn config(&self) -> SinkConfig {
        let plan = &self.plan;
        SinkConfig {
            name: plan.name.to_owned(),
            target: TargetConfig::Stdout(StdoutConfig { format: self.format }),
            sources: self.only.map(|only| vec![only.to_owned()]),
            events: plan.kinds.as_ref().map(|kinds| kinds.iter().map(|kind| (*kind).to_owned()).collect()),
            filter: FilterConfig::default(),
            retry: RetryConfig {
                min: Duration::from_millis(100),
                max: plan.retry_max,
                give_up: if plan.gives_up { GiveUp::After(GIVE_UP_AFTER) } else { GiveUp::Never },
            },
            max_event_age: plan.max_age,
            start: if plan.starts_now { StartConfig::Now } else { StartConfig::Oldest },
            flow: plan.flow,
        }
    }
}

/// The user whose queue the source with this index reads.
pub(crate) fn owner(number: usize) -> u64 {
    number as u64 + 1
}
