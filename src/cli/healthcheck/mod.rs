//! `b24relay healthcheck`: is the daemon working? One line and an exit code, for a container or an operator.
//!
//! It reads only the state file and its lock, so it is cheap and never hangs on a network.

mod judgement; // healthy or not
#[cfg(test)]
mod tests;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use judgement::{Expected, Finding, Judgement, Kind};
use serde_json::json;

use crate::cli::GlobalArgs;
use crate::cli::exit_code::Exit;
use crate::cli::output::print::{print, print_raw_json};
use crate::config::{self, ConfigError};
use crate::health::Health;
use crate::human::{duration, span};
use crate::store::{Report, Store};
use crate::wall_clock::now_ms;

const NOTES: &str = "\
A daemon that runs and polls is healthy. An unreachable portal or sink is not a fault of the daemon, and a restart \
would not help: it is reported on the same line and counts only with `--strict`. The same applies to a refused \
source, a sink that is held or paused, and less than 6 hours until the portal deletes events that are not stored yet.

With `--state` no configuration is read, and sources that are no longer configured are reported too.

Examples:
  b24relay healthcheck
  b24relay healthcheck --state /var/lib/b24relay/b24relay.db --strict
  HEALTHCHECK --interval=30s --start-period=30s CMD [\"b24relay\", \"healthcheck\"]  in a Dockerfile

Exit codes: 0 healthy, 69 not healthy, 64 usage, 78 configuration.";

/// The smallest accepted bound. A healthy source reports every ten seconds.
const STALLED_AFTER_MIN: Duration = Duration::from_secs(1);

/// How many findings the line shows; `--json` shows all.
const TOLD_MAX: usize = 5;

#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub(super) struct HealthcheckArgs {
    /// How long a source may go without a finished poll and without an explanation [default: 5m, or longer where
    /// `poll.idle_max` requires it]
    #[arg(long, value_name = "DURATION", value_parser = stalled_after)]
    stalled_after: Option<Duration>,
    /// Treat every problem as unhealthy
    #[arg(long)]
    strict: bool,
    /// Print JSON on one line
    #[arg(long)]
    json: bool,
}

fn stalled_after(text: &str) -> Result<Duration, String> {
    let bound = duration(text).map_err(|error| error.to_string())?;
    if bound < STALLED_AFTER_MIN { Err("must be at least 1s".to_owned()) } else { Ok(bound) }
}

/// Judges the daemon by its state file.
pub(super) fn run(args: &HealthcheckArgs, global: &GlobalArgs) -> anyhow::Result<Exit> {
    let state = global.state()?;
    let (expected, mistake) = match &global.state {
        Some(_) => (Expected::recorded(args.stalled_after), None),
        None => configured(args, global)?,
    };
    let mut health = examine(&state, &expected);
    health.findings.extend(mistake);
    let is_healthy = !health.findings.iter().any(|finding| finding.is_ill || args.strict);
    if args.json {
        let line = json!({ "healthy": is_healthy, "state": state, "daemon": health.daemon, "findings": health.findings });
        print_raw_json(&line.to_string())?;
    } else {
        print(&told(is_healthy, &health))?;
    }
    Ok(if is_healthy { Exit::Clean } else { Exit::Unavailable })
}

/// The expectations of the configuration. If the file has a mistake now, the daemon still runs with the previous one.
fn configured(
    args: &HealthcheckArgs,
    global: &GlobalArgs,
) -> Result<(Expected, Option<Finding>), ConfigError> {
    match config::load(&global.overrides()) {
        Ok(loaded) => Ok((Expected::configured(args.stalled_after, &loaded.config), None)),
        Err(ConfigError::Invalid { .. }) => {
            let text =
                "the configuration has mistakes, which end the next start: `b24relay check --no-network`";
            Ok((Expected::recorded(args.stalled_after), Some(Finding::note(Kind::Configuration, text))))
        }
        Err(error) => Err(error),
    }
}

/// The result of the healthcheck.
struct Verdict {
    /// The process that holds the state file.
    daemon: Option<String>,
    /// The line that is printed when there is no problem.
    praise: String,
    findings: Vec<Finding>,
}

impl Verdict {
    fn none(finding: Finding) -> Self {
        Self { daemon: None, praise: String::new(), findings: vec![finding] }
    }
}

fn examine(state: &Path, expected: &Expected) -> Verdict {
    // Before the first start there is no file.
    match state.try_exists() {
        Ok(true) => {}
        Ok(false) => {
            let text = format!("no daemon runs on `{}`: there is no such file", state.display());
            return Verdict::none(Finding::ill(Kind::NotRunning, &text));
        }
        Err(error) => {
            let text = format!("cannot look at the state file `{}`: {error}", state.display());
            return Verdict::none(Finding::ill(Kind::Unreadable, &text));
        }
    }
    match Store::report(state) {
        Ok(report) if report.holder.is_none() => Verdict::none(not_running(state)),
        Ok(report) => judge(report, expected),
        Err(error) => Verdict::none(Finding::ill(Kind::Unreadable, &error.to_string())),
    }
}

fn not_running(state: &Path) -> Finding {
    Finding::ill(Kind::NotRunning, &format!("no daemon runs on `{}`", state.display()))
}

fn judge(report: Report, expected: &Expected) -> Verdict {
    let health = Health::of(report, now_ms());
    let judgement = Judgement { health: &health, expected };
    let (count, findings) = (judgement.sources().count(), judgement.findings());
    let praise = match (count, judgement.longest_silence_s()) {
        (_, _) if judgement.is_starting() => "starting: not every source has been polled yet".to_owned(),
        (1, Some(silence_s)) => format!("1 source, heard of {} ago", span(silence_s)),
        (_, Some(silence_s)) => format!("{count} sources, each heard of within {}", span(silence_s)),
        (_, None) => "no source yet".to_owned(),
    };
    Verdict { daemon: health.holder, praise, findings }
}

fn told(is_healthy: bool, health: &Verdict) -> String {
    let mut texts: Vec<String> =
        health.findings.iter().take(TOLD_MAX).map(|finding| finding.text.clone()).collect();
    if health.findings.len() > TOLD_MAX {
        texts.push(format!("and {} more (--json has them)", health.findings.len() - TOLD_MAX));
    }
    match (is_healthy, texts.is_empty()) {
        (true, true) => format!("healthy: {}", health.praise),
        (true, false) => format!("healthy, but {}", texts.join("; ")),
        (false, _) => format!("unhealthy: {}", texts.join("; ")),
    }
}
