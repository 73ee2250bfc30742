//! `b24relay replay`: delivers events that the journal keeps to a sink again.

use clap::Args;

use crate::cli::exit::UsageError;
use crate::cli::exit_code::Exit;
use crate::cli::output::print::print;
use crate::cli::output::table::{aligned, table};
use crate::cli::portal::source::find;
use crate::config::Config;
use crate::human;
use crate::store::Store;

pub(in crate::cli) const NOTES: &str = "\
The journal keeps events for `journal.keep` after every sink has received them. This command moves the sink's \
position back; the daemon must be stopped. After the next start the sink receives the events again, with the \
same ids.

Examples:
  b24relay replay --sink crm --from 2h                    events received in the last two hours
  b24relay replay --sink crm --from 2026-11-21T09:00:00Z  events received since this time
  b24relay replay --sink crm --from 7d --source support   only events of one source";

#[derive(Debug, Args)]
pub(in crate::cli) struct ReplayArgs {
    /// The sink's name in the configuration
    #[arg(long)]
    sink: String,
    /// Events that the journal received since then: a time such as 2026-11-21T09:00:00Z, or an age such as 2h
    #[arg(long, value_name = "TIME", value_parser = human::moment)]
    from: i64,
    /// Only events of this source
    #[arg(long)]
    source: Option<String>,
}

/// Moves the sink's position back.
pub(in crate::cli) async fn run(args: &ReplayArgs, config: &Config) -> anyhow::Result<Exit> {
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
