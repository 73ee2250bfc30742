//! `b24relay check`: is the configuration correct, and do its portals and receivers answer?
//!
//! It changes nothing: it confirms no event, sends no event and creates no file.

mod account; // the credential
mod finding; // the result of one check
mod http; // `[http]`
mod machine; // files and ports
mod queue; // rate limit, subscription, backlog
mod record; // conflicts with the state file
mod source; // all checks of one source
mod state; // the state file
use std::slice;

use b24_client::foreign_text::plain;
use b24_client::http::ProxyError;
use clap::Args;
use finding::{Finding, State};
use futures_util::stream::{self, StreamExt as _};
use serde::Serialize;

use crate::blocking;
use crate::cli::exit_code::Exit;
use crate::cli::output::print::{print, print_json, remark};
use crate::cli::output::table::{aligned, table};
use crate::cli::portal::source::clients;
use crate::config::{AccessConfig, Loaded, SinkConfig, SourceConfig, TargetConfig};
use crate::relay::PortalClients;
use crate::shutdown::Signals;
use crate::sink;

/// How many sources or sinks are checked at once: several of them can share the rate limit of one portal.
const AT_ONCE: usize = 4;

const CONFIGURATION: &str = "configuration";

const NOTES: &str = "\
Changes nothing: no event is confirmed, no event is sent, no file is created. A check that depends on a failed \
check is skipped.

Exit codes: 0 no failure, but maybe warnings; 78 the configuration is wrong; 74 the state file cannot be used; 77 a credential is \
refused; 69 something is unreachable; 75 the port of `[http]` is in use. The first one that applies.

Examples:
  b24relay check
  b24relay check --no-network              only the configuration, no network access
  b24relay check --no-network --config /etc/b24relay/b24relay.toml && systemctl restart b24relay
  b24relay check --json | jq '.sources[].checks[] | select(.state == \"fail\")'";

#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub(super) struct CheckArgs {
    /// Check only the configuration, without any network access
    #[arg(long)]
    no_network: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl CheckArgs {
    /// The flags of a check whose result is for people.
    pub(super) fn for_people(no_network: bool) -> Self {
        Self { no_network, json: false }
    }
}

/// All findings.
#[derive(Serialize)]
struct Report {
    configuration: Subject,
    state: Subject,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<Subject>,
    sources: Vec<Subject>,
    sinks: Vec<Subject>,
}

/// One source or sink.
#[derive(Serialize)]
struct Subject {
    name: String,
    checks: Vec<Finding>,
}

/// Checks the configuration and, unless `--no-network` is given, everything that it names. Then prints the result.
pub(super) async fn run(args: &CheckArgs, loaded: &Loaded, signals: &Signals) -> anyhow::Result<Exit> {
    let config = &loaded.config;
    let report = if args.no_network {
        stated(loaded)
    } else {
        let clients = clients(config, &config.sources).await?;
        let report = tokio::select! {
            biased;
            () = signals.stop.cancelled() => None,
            report = examine(loaded, &clients, signals) => Some(report),
        };
        clients.rest().await;
        let Some(report) = report else {
            remark("stopped before everything was checked");
            return Ok(Exit::Temporary);
        };
        report
    };
    if args.json {
        print_json(&report)?;
    } else {
        print(&configuration(&report))?;
        for (heading, subjects) in report.tables() {
            if subjects.iter().any(Subject::was_checked) {
                print(&format!("\n{}", listed(heading, subjects)))?;
            }
        }
    }
    let subjects = report.tables().into_iter().flat_map(|(_, subjects)| subjects);
    Ok(finding::worst(subjects.flat_map(|subject| &subject.checks)))
}

impl Report {
    /// The sections of the report, each with a heading.
    fn tables(&self) -> [(&'static str, &[Subject]); 5] {
        [
            ("CONFIGURATION", slice::from_ref(&self.configuration)),
            ("STATE FILE", slice::from_ref(&self.state)),
            ("HTTP", self.http.as_slice()),
            ("SOURCE", &self.sources),
            ("SINK", &self.sinks),
        ]
    }
}

/// The part of the report that needs no network.
fn stated(loaded: &Loaded) -> Report {
    let config = &loaded.config;
    let file =
        loaded.file.as_ref().map_or_else(|| "environment".to_owned(), |file| file.display().to_string());
    let source = |source: &SourceConfig| {
        Subject::stated(
            &source.name,
            access(source),
            b24_client::proxy_to(source.portal(), &source.connection.via()),
        )
    };
    let sink = |sink: &SinkConfig| Subject::stated(&sink.name, target(&sink.target), sink::proxy_to(sink));
    let local = |name: &str| Subject::stated(name, String::new(), Ok(None));
    let notices = loaded.notices.iter().map(|notice| Finding::warn("should be changed", notice, ""));
    Report {
        configuration: local(&file).with(machine::secrets(&loaded.secret_files)).with(notices),
        state: local(&config.state.display().to_string()),
        http: config.http.as_ref().map(|http| local(&http.listen.to_string()).with(http::tls(http))),
        sources: config.sources.iter().map(source).collect(),
        sinks: config.sinks.iter().map(sink).collect(),
    }
}

async fn examine(loaded: &Loaded, clients: &PortalClients, signals: &Signals) -> Report {
    let config = &loaded.config;
    let Report { configuration, state, http, sources, sinks } = stated(loaded);
    let path = config.state.clone();
    let (finding, on_record) = blocking::run(move || state::examine(&path)).await;
    let (state, on_record) = (state.with([finding]), on_record.as_ref());
    let http = match (http, &config.http) {
        (Some(subject), Some(http)) => {
            let daemon = on_record.and_then(|report| report.holder.as_deref());
            Some(subject.with([machine::listen(http.listen, daemon).await]))
        }
        (_, None) | (None, _) => None,
    };
    let sources = sources.into_iter().zip(&config.sources).map(|(subject, config_of)| async {
        subject.with(source::examine(config, clients, on_record, config_of).await)
    });
    let sinks = sinks.into_iter().zip(&config.sinks).map(|(subject, config_of)| async {
        subject.with([reached(config_of, signals).await]).with(exposure(config_of).await)
    });
    let sources = stream::iter(sources).buffered(AT_ONCE).collect();
    let sinks = stream::iter(sinks).buffered(AT_ONCE).collect();
    let (sources, sinks) = tokio::join!(sources, sinks);
    Report { configuration, state, http, sources, sinks }
}

async fn reached(sink: &SinkConfig, signals: &Signals) -> Finding {
    const REACH: &str = "reach";
    match &sink.target {
        TargetConfig::File(file) => {
            if let Some(finding) = machine::stream(&file.path) {
                return finding;
            }
        }
        TargetConfig::Webhook(_) => {
            if let Err(error) = sink::build(sink, signals) {
                return Finding::fail(REACH, Exit::Config, format!("sinks.{}: {error}", sink.name), "");
            }
        }
        TargetConfig::Stdout(_) => {}
    }
    match sink::probe(sink).await {
        Ok(detail) => Finding::ok(REACH, detail),
        Err(error) => {
            let hint = match &sink.target {
                TargetConfig::Stdout(_) => "",
                TargetConfig::File(_) => "correct `path`, or let this user write there",
                TargetConfig::Webhook(_) => {
                    "see that the receiver is up and reached from here, or correct `url`"
                }
            };
            Finding::fail(REACH, Exit::Unavailable, error.to_string(), hint)
        }
    }
}

/// Checks who else can read the output of the sink; empty when nobody else can.
async fn exposure(sink: &SinkConfig) -> Vec<Finding> {
    let cautions = sink::cautions(sink).await;
    cautions.into_iter().map(|caution| Finding::warn("exposure", caution, "")).collect()
}

impl Subject {
    /// A subject as it is configured; `proxy` is the proxy on the way to it.
    fn stated(name: &str, detail: String, proxy: Result<Option<String>, ProxyError>) -> Self {
        let finding = match proxy {
            Ok(None) => Finding::ok(CONFIGURATION, detail),
            Ok(Some(proxy)) => Finding::ok(CONFIGURATION, format!("{detail} through {proxy}")),
            Err(error) => Finding::fail(CONFIGURATION, Exit::Config, format!("{detail}: {error}"), ""),
        };
        Self { name: name.to_owned(), checks: vec![finding] }
    }

    fn configuration(&self) -> impl Iterator<Item = &Finding> {
        self.checks.iter().filter(|finding| finding.check == CONFIGURATION)
    }

    /// Whether there is more to show than the configuration.
    fn was_checked(&self) -> bool {
        self.checks.iter().any(|finding| finding.check != CONFIGURATION)
    }

    fn with(mut self, findings: impl IntoIterator<Item = Finding>) -> Self {
        self.checks.extend(findings);
        self
    }
}

/// A summary of the configuration. It has been loaded, so it is valid, except for values that depend on the
/// environment.
fn configuration(report: &Report) -> String {
    let mut lines = vec![format!("state {}", report.state.name)];
    let stated = |kind: &str, subjects: &[Subject]| -> Vec<String> {
        let lines = subjects.iter().flat_map(|subject| {
            subject.configuration().map(move |finding| format!("{kind} {}: {}", subject.name, finding.detail))
        });
        lines.collect()
    };
    lines.extend(stated("source", &report.sources));
    lines.extend(stated("sink", &report.sinks));
    let mut subjects = report.sources.iter().chain(&report.sinks);
    let is_right =
        !subjects.any(|subject| subject.configuration().any(|finding| finding.state == State::Fail));
    lines.extend(is_right.then(|| "the configuration is right".to_owned()));
    lines.join("\n")
}

/// The checks beyond the configuration, with advice below each one that needs it.
fn listed(heading: &str, subjects: &[Subject]) -> String {
    let mut rows = table(&[heading, "CHECK", "STATE", "DETAIL"]);
    for Subject { name, checks } in subjects {
        for Finding { check, state, detail, hint, .. } in
            checks.iter().filter(|finding| finding.check != CONFIGURATION)
        {
            rows.add_row([name, *check, state.word(), &plain(detail)]);
            if matches!(state, State::Fail | State::Warn) && !hint.is_empty() {
                rows.add_row(["", "", "", &format!("-> {}", plain(hint))]);
            }
        }
    }
    aligned(rows)
}

fn access(source: &SourceConfig) -> String {
    match &source.access {
        AccessConfig::Webhook(webhook) => webhook.to_string(),
        AccessConfig::OAuth(oauth) => {
            format!("{} as application {}", oauth.portal.authority(), oauth.client_id)
        }
    }
}

fn target(config: &TargetConfig) -> String {
    match config {
        TargetConfig::Stdout(_) => "stdout".to_owned(),
        TargetConfig::File(file) => format!("file {}", file.path.display()),
        TargetConfig::Webhook(webhook) => format!("webhook {}", webhook.url),
    }
}
