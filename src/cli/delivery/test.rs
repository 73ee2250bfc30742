//! `b24relay test`: tries a sink without touching its queue.

use std::path::PathBuf;

use clap::Args;

use crate::cli::delivery::filtered;
use crate::cli::exit::UsageError;
use crate::cli::exit_code::Exit;
use crate::config::{Config, SinkConfig};

pub(in crate::cli) const NOTES: &str = "\
Shows for each event whether the sink takes it, and which key leaves it out. Nothing is delivered, and no position \
moves. It works beside a running daemon.

Examples:
  b24relay test crm --from events.jsonl   the events of a file, such as one that a file sink has written
  b24relay test crm --journal             the last 100 events of each source in the journal";

#[derive(Debug, Args)]
pub(in crate::cli) struct TestArgs {
    /// The sink's name in the configuration
    sink: String,
    /// A file with one event a line, as a file sink writes it or as the portal's queue has it
    #[arg(long, value_name = "FILE", conflicts_with = "journal", required_unless_present = "journal")]
    from: Option<PathBuf>,
    /// The last 100 events of each source in the journal
    #[arg(long)]
    journal: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Shows what the sink's filter does with known events.
pub(in crate::cli) async fn run(args: &TestArgs, config: &Config) -> anyhow::Result<Exit> {
    let sink = find(config, &args.sink)?;
    match &args.from {
        Some(file) => filtered::of_file(file, sink, config, args.json),
        None => filtered::of_journal(sink, config, args.json).await,
    }
}

fn find<'c>(config: &'c Config, name: &str) -> Result<&'c SinkConfig, UsageError> {
    config.sinks.iter().find(|sink| sink.name == name).ok_or_else(|| {
        let names: Vec<&str> = config.sinks.iter().map(|sink| sink.name.as_str()).collect();
        UsageError(format!("there is no sink `{name}` in the configuration, only {}", names.join(", ")))
    })
}
