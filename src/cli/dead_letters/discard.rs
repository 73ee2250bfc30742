//! `b24relay dead-letters discard`: deletes dead letters for good.

use std::collections::BTreeMap;

use clap::Args;

use super::filter::FilterArgs;
use super::{counted, listed};
use crate::cli::GlobalArgs;
use crate::cli::exit_code::Exit;
use crate::cli::output::consent::ConsentArgs;
use crate::cli::output::print::print;
use crate::shutdown::Signals;
use crate::store::{DeadLetter, Store};

const EXAMPLES: &str = "\
Shows the selected dead letters, asks, and deletes them. This cannot be undone; `show --raw` saves a copy first.

Examples:
  b24relay dead-letters discard 17
  b24relay dead-letters discard --sink crm --until 30d --dry-run
  b24relay dead-letters discard --sink crm --until 30d --yes";

/// How many dead letters are shown one by one.
const SHOWN_MAX: usize = 20;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DiscardArgs {
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    consent: ConsentArgs,
}

/// Asks, then discards.
pub(super) async fn run(args: &DiscardArgs, global: &GlobalArgs, signals: &Signals) -> anyhow::Result<Exit> {
    args.consent.require_somebody()?;
    let (state, filter) = (global.state()?, args.filter.filter());
    // Look first: when there is nothing to discard, create no file.
    if Store::letters_at(&state, &filter)?.is_empty() {
        print("no dead letters to discard")?;
        return Ok(Exit::Clean);
    }
    let _lock = Store::lock_letters(&state)?;
    let letters = Store::letters_at(&state, &filter)?;
    print(&told(&letters))?;
    let question = format!("let go of {} for good?", counted(letters.len()));
    if !args.consent.is_given(&question, signals).await? {
        return Ok(Exit::Clean);
    }
    let numbers = letters.iter().map(|letter| letter.number).collect();
    let count = Store::open_beside(&state)?.discard(numbers).await?;
    print(&format!("{} discarded", counted(count)))?;
    Ok(Exit::Clean)
}

fn told(letters: &[DeadLetter]) -> String {
    let mut told = listed(letters.iter().take(SHOWN_MAX));
    if letters.len() > SHOWN_MAX {
        let rest = letters.len() - SHOWN_MAX;
        told.extend(["\n... and ", &rest.to_string(), " more"]);
    }
    let mut sinks: BTreeMap<&str, usize> = BTreeMap::new();
    for letter in letters {
        *sinks.entry(&letter.sink).or_default() += 1;
    }
    let sums: Vec<String> =
        sinks.into_iter().map(|(sink, count)| format!("{} of `{sink}`", counted(count))).collect();
    format!("{told}\n\n{}", sums.join(", "))
}
