//! `b24relay test`: tries a sink, with a sample event or with its filter alone. No position moves.

use std::path::PathBuf;

use clap::Args;

use crate::cli::delivery::{filtered, sample};
use crate::cli::exit::UsageError;
use crate::cli::exit_code::Exit;
use crate::config::{Config, SinkConfig};
use crate::shutdown::Signals;

pub(in crate::cli) const NOTES: &str = "\
Sends one sample event to the sink and shows the request, the answer, and what the answer would mean for a real \
event. The sample has the source `sample` and an id that no real event has; filters do not apply to it. Secrets are \
not shown. Exits with 69 unless the sink accepts it.

With `--from` or `--journal` nothing is sent: it shows for each event whether the sink takes it, and which key leaves \
it out. No position moves, and both work beside a running daemon.

Examples:
  b24relay test crm                                send a sample message
  b24relay test crm --type ONIMV2REACTIONCHANGE    send a sample of another type
  b24relay test crm --from events.jsonl            the events of a file
  b24relay test crm --journal                      the last 100 events of each source in the journal";

#[derive(Debug, Args)]
pub(in crate::cli) struct TestArgs {
    /// The sink's name in the configuration
    sink: String,
    /// A file with one event a line, as a file sink writes it or as the portal's queue has it
    #[arg(long, value_name = "FILE", conflicts_with = "journal")]
    from: Option<PathBuf>,
    /// The last 100 events of each source in the journal
    #[arg(long)]
    journal: bool,
    /// The type of the sample event [default: ONIMV2MESSAGEADD]
    #[arg(long = "type", value_name = "TYPE", conflicts_with_all = ["from", "journal"])]
    kind: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Sends a sample, or shows what the sink's filter does with known events.
pub(in crate::cli) async fn run(args: &TestArgs, config: &Config, signals: &Signals) -> anyhow::Result<Exit> {
    let sink = find(config, &args.sink)?;
    match &args.from {
        Some(file) => filtered::of_file(file, sink, config, args.json),
        None if args.journal => filtered::of_journal(sink, config, args.json).await,
        None => sample::send(sink, args.kind.as_deref(), args.json, signals).await,
    }
}

fn find<'c>(config: &'c Config, name: &str) -> Result<&'c SinkConfig, UsageError> {
    config.sinks.iter().find(|sink| sink.name == name).ok_or_else(|| {
        let names: Vec<&str> = config.sinks.iter().map(|sink| sink.name.as_str()).collect();
        UsageError(format!("there is no sink `{name}` in the configuration, only {}", names.join(", ")))
    })
}
