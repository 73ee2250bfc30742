//! `b24relay dead-letters`: shows the events that sinks have rejected, sends them again or discards them.

mod discard;
mod filter; // the arguments that select letters
mod pretty; // JSON with line breaks
mod replay;
mod show; // `list` and `show`
use clap::{Args, Subcommand};

use crate::cli::GlobalArgs;
use crate::cli::exit_code::Exit;
use crate::cli::output::table::{aligned, filled, table};
use crate::human::time;
use crate::shutdown::Signals;
use crate::store::DeadLetter;

pub(super) const NOTES: &str = "\
An event that a sink rejects for good (a webhook that answers 400 or 422, for instance) becomes a dead letter: it \
is kept with the reason, and the sink continues with the next event. `replay` sends it again, `discard` deletes it. \
These commands work with or without a running daemon.

Examples:
  b24relay dead-letters list
  b24relay dead-letters show 17
  b24relay dead-letters replay --sink crm --since 2h
  b24relay dead-letters discard 17 18 --yes";

/// How many characters of a reason or an event type are listed.
const REASON_MAX: usize = 300;
const KIND_MAX: usize = 40;

#[derive(Debug, Args)]
pub(super) struct DeadLettersArgs {
    #[command(subcommand)]
    command: DeadLettersCommand,
}

#[derive(Debug, Subcommand)]
enum DeadLettersCommand {
    /// List dead letters
    List(show::ListArgs),
    /// Show one dead letter completely, with its payload
    Show(show::ShowArgs),
    /// Re-send dead letters, oldest first; delivered ones are removed
    Replay(replay::ReplayArgs),
    /// Delete dead letters for good
    Discard(discard::DiscardArgs),
}

/// Lists, shows, replays or discards dead letters.
pub(super) async fn run(
    args: &DeadLettersArgs,
    global: &GlobalArgs,
    signals: &Signals,
) -> anyhow::Result<Exit> {
    match &args.command {
        DeadLettersCommand::List(args) => show::list(args, global),
        DeadLettersCommand::Show(args) => show::show(args, global),
        DeadLettersCommand::Replay(args) => replay::run(args, global, signals).await,
        DeadLettersCommand::Discard(args) => discard::run(args, global, signals).await,
    }
}

fn listed<'a>(letters: impl IntoIterator<Item = &'a DeadLetter>) -> String {
    let header = ["NUMBER", "BURIED", "SINK", "SOURCE", "EVENT", "TYPE", "STATUS", "ATTEMPTS", "REASON"];
    let mut rows = table(&header);
    for letter in letters {
        let DeadLetter { number, sink, source, event_id, buried_ms, attempts, reason, status, kind, .. } =
            letter;
        rows.add_row([
            &number.to_string(),
            &time(*buried_ms),
            sink,
            source,
            &event_id.to_string(),
            &cut(&filled(kind), KIND_MAX),
            &status.map_or_else(|| "-".to_owned(), |status| status.to_string()),
            &attempts.to_string(),
            &cut(&filled(reason), REASON_MAX),
        ]);
    }
    aligned(rows)
}

fn cut(text: &str, max: usize) -> String {
    if text.chars().nth(max).is_none() {
        return text.to_owned();
    }
    text.chars().take(max - 1).chain(['…']).collect()
}

fn counted(count: usize) -> String {
    if count == 1 { "1 dead letter".to_owned() } else { format!("{count} dead letters") }
}
