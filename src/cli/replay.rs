//! `b24relay replay`: lets a sink have again what the journal keeps.

use clap::Args;

use super::exit::UsageError;
use super::exit_code::Exit;
use super::output::print;
use super::source::find;
use super::spelling;
use super::table::{aligned, table};
use crate::config::Config;
use crate::store::Store;

pub const NOTES: &str = "\
The journal keeps events for `journal.keep` after all sinks have got them. The sink is put back there, with the \
daemon stopped, and gets them at the next start, with the ids that they had.

Examples:
  b24relay replay --sink crm --from 2h                    what came into the journal since then
  b24relay replay --sink crm --from 2026-11-21T09:00:00Z  the same, by a time
  b24relay replay --sink crm --from 7d --source support   of one source only";

#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The sink's name in the configuration
    #[arg(long)]
    sink: String,
    /// Since when the journal has received it: a time such as 2026-11-21T09:00:00Z, or an age such as 2h
    #[arg(long, value_name = "TIME", value_parser = spelling::moment)]
    from: i64,
    /// Only of this source
    #[arg(long)]
    source: Option<String>,
}

/// Puts the sink back.
pub async fn run(args: &ReplayArgs, config: &Config) -> anyhow::Result<Exit> {
    if !config.sinks.iter().any(|sink| sink.name == args.sink) {
        return Err(UsageError(format!("there is no sink `{}` in the configuration", args.sink)).into());
    }
    let source = args.source.as_ref().map(|name| find(config, name)).transpose()?;
    let store = Store::open(&config.state)?;
    let rewound = store.rewind(&args.sink, source.map(|source| source.name.as_str()), args.from).await?;
    if rewound.is_empty() {
        print(
            "the journal holds nothing of that time for this sink: `journal.keep` says how long it keeps events",
        )?;
        return Ok(Exit::Clean);
    }
    let mut sources = table(&["SOURCE", "FROM EVENT", "EVENTS"]);
    for rewound in rewound {
        sources.add_row([rewound.source, rewound.seq.to_string(), rewound.events.to_string()]);
    }
    print(&format!("{}\n\n`{}` gets them at the next start", aligned(sources), args.sink))?;
    Ok(Exit::Clean)
}
