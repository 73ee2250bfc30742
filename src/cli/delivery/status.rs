//! `b24relay status`: shows the content of the state file, with or without a running daemon.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::cli::GlobalArgs;
use crate::cli::delivery::status_report::{Extent, shown};
use crate::cli::exit_code::Exit;
use crate::cli::output::palette::Palette;
use crate::cli::output::print::{print, print_json};
use crate::cli::output::watch::{self, Between};
use crate::config;
use crate::health::Health;
use crate::shutdown::Signals;
use crate::store::Store;
use crate::wall_clock::now_ms;

const EXAMPLES: &str = "\
Examples:
  b24relay status
  b24relay status --problems                                only problems
  b24relay status --all                                     every source and every sink of each
  b24relay status --watch                                   repeat every two seconds, in place
  b24relay status --state /var/lib/b24relay/b24relay.db     needs no configuration
  b24relay status --json | jq '.lanes[] | select(.grade != \"healthy\")'
  b24relay status --json | jq '.sources[] | {name, state, retention_left_s}'

Exit codes: 0 a daemon runs, 69 none does, 64 usage, 74 the state file cannot be read.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct StatusArgs {
    /// Print JSON; with `--watch` one document per line
    #[arg(long)]
    json: bool,
    /// Show only problems, or one line if there are none
    #[arg(long, conflicts_with = "json")]
    problems: bool,
    /// Show healthy sources beyond the twentieth as well, and each source's way to each sink
    #[arg(long, conflicts_with_all = ["json", "problems"])]
    all: bool,
    /// Repeat until Ctrl-C [default: every 2 seconds]
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "2",
        value_parser = watch::period)]
    pub watch: Option<Duration>,
}

impl StatusArgs {
    fn extent(&self) -> Extent {
        match (self.problems, self.all) {
            (true, _) => Extent::Problems,
            (false, true) => Extent::Everything,
            (false, false) => Extent::Summary,
        }
    }
}

/// Prints a report of the state file. The exit code says whether a daemon runs.
pub(in crate::cli) fn run(args: &StatusArgs, global: &GlobalArgs) -> anyhow::Result<Exit> {
    let state = global.state()?;
    let health = look(&state, global)?;
    if args.json {
        print_json(&document(&health)?)?;
    } else {
        print(&shown(&state, &health, args.extent(), Palette::of_stdout()))?;
    }
    Ok(if health.holder.is_some() { Exit::Clean } else { Exit::Unavailable })
}

/// Prints the report every `period` until stopped.
pub(in crate::cli) async fn watch(
    args: &StatusArgs,
    period: Duration,
    global: &GlobalArgs,
    signals: &Signals,
) -> anyhow::Result<Exit> {
    let state = global.state()?;
    if args.json {
        let look = || Ok(document(&look(&state, global)?)?.to_string());
        watch::watch(period, Between::Nothing, signals, look).await?;
    } else {
        let palette = Palette::of_stdout();
        let look = || Ok(shown(&state, &look(&state, global)?, args.extent(), palette));
        watch::watch(period, Between::BlankLine, signals, look).await?;
    }
    Ok(Exit::Clean)
}

fn look(state: &Path, global: &GlobalArgs) -> anyhow::Result<Health> {
    let mut health = Health::of(Store::report(state)?, now_ms());
    // If the secrets cannot be read or the configuration has a mistake, everything in the state file is shown.
    if global.state.is_none()
        && let Ok(loaded) = config::load(&global.overrides())
    {
        let config::Config { sources, sinks, .. } = &loaded.config;
        health.mark_removed(|source, sink| {
            let takes =
                |sink: &str| sinks.iter().any(|known| known.name == sink && known.takes_source(source));
            sources.iter().any(|known| known.name == source) && sink.is_none_or(takes)
        });
    }
    Ok(health)
}

/// `health` as JSON, with the sentences about its problems.
fn document(health: &Health) -> serde_json::Result<Value> {
    #[derive(Serialize)]
    struct Document<'a> {
        #[serde(flatten)]
        health: &'a Health,
        problems: Vec<String>,
    }
    let problems = health.problems().into_iter().map(|problem| problem.text).collect();
    serde_json::to_value(Document { health, problems })
}
