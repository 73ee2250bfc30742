//! `b24relay resume`: resumes a paused sink, with or without a running daemon.

use clap::Args;

use crate::cli::GlobalArgs;
use crate::cli::exit::UsageError;
use crate::cli::exit_code::Exit;
use crate::cli::output::print::print;
use crate::store::{Resumed, Store};

const NOTES: &str = "\
A sink is paused when its receiver answers 410 Gone, or with the header `webhook-delivery: disable`: it refuses \
further events. A paused sink loses nothing and receives nothing until this command, even across restarts. A \
running daemon notices within seconds, or immediately after SIGHUP, and continues where it stopped.

Examples:
  b24relay resume crm
  b24relay resume crm --source support     only events of one source";

#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub(in crate::cli) struct ResumeArgs {
    /// The sink's name
    sink: String,
    /// Only for events of this source
    #[arg(long)]
    source: Option<String>,
}

/// Resumes the sink.
pub(in crate::cli) async fn run(args: &ResumeArgs, global: &GlobalArgs) -> anyhow::Result<Exit> {
    let state = global.state()?;
    // Look first: when there is no state file, create none.
    Store::report(&state)?;
    let (sink, source) = (&args.sink, args.source.as_deref());
    let of = source.map_or_else(String::new, |source| format!(" for `{source}`"));
    print(&match Store::open_beside(&state)?.resume(sink, source).await? {
        Resumed::Unknown => {
            let text =
                format!("nothing is on record of a sink `{sink}`{of}: `b24relay status` shows the sinks");
            return Err(UsageError(text).into());
        }
        Resumed::Lanes(sources) if sources.is_empty() => format!("`{sink}` is not paused{of}"),
        Resumed::Lanes(sources) => {
            let sources: Vec<String> = sources.iter().map(|source| format!("`{source}`")).collect();
            format!("`{sink}` is resumed for {}", sources.join(", "))
        }
    })?;
    Ok(Exit::Clean)
}
