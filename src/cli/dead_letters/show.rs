//! `b24relay dead-letters list` and `show`. They need no configuration and change nothing.

use b24_client::foreign_text::{plain, visible};
use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;

use super::filter::FilterArgs;
use super::{counted, listed, pretty};
use crate::cli::GlobalArgs;
use crate::cli::exit::UsageError;
use crate::cli::exit_code::Exit;
use crate::cli::output::print::{print, print_json, print_raw_json};
use crate::cli::output::table::filled;
use crate::human::{size, time};
use crate::store::{DeadLetter, DeadLetterBody, Store};

const LIST_EXAMPLES: &str = "\
Examples:
  b24relay dead-letters list
  b24relay dead-letters list --sink crm --since 2026-11-21T09:00:00Z --reason 422
  b24relay dead-letters list --json | jq -r '.dead_letters[].id'";

const SHOW_EXAMPLES: &str = "\
Examples:
  b24relay dead-letters show 17
  b24relay dead-letters show 17 --raw > payload.json      byte for byte, as the portal sent it
  b24relay dead-letters show 17 --json | jq .answer";

#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(super) struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = SHOW_EXAMPLES)]
pub(super) struct ShowArgs {
    /// The number that `list` shows
    number: u64,
    /// Print JSON
    #[arg(long, conflicts_with = "raw")]
    json: bool,
    /// Print only the payload, byte for byte
    #[arg(long)]
    raw: bool,
}

/// A dead letter as JSON.
#[derive(Serialize)]
struct Written<'a> {
    number: u64,
    sink: &'a str,
    source: &'a str,
    queue: &'a str,
    id: String,
    event_id: u64,
    r#type: &'a str,
    buried: String,
    buried_ms: i64,
    first_ms: i64,
    attempts: u32,
    status: Option<u16>,
    reason: &'a str,
    bytes: u64,
    #[serde(flatten)]
    content: Option<Content<'a>>,
}

#[derive(Serialize)]
struct Content<'a> {
    answer: &'a str,
    date: &'a RawValue,
    data: &'a RawValue,
}

impl<'a> Written<'a> {
    fn of(letter: &'a DeadLetter, content: Option<Content<'a>>) -> Self {
        Self {
            number: letter.number,
            sink: &letter.sink,
            source: &letter.source,
            queue: &letter.queue,
            id: letter.stable_id(),
            event_id: letter.event_id,
            r#type: &letter.kind,
            buried: time(letter.buried_ms),
            buried_ms: letter.buried_ms,
            first_ms: letter.first_ms,
            attempts: letter.attempts,
            status: letter.status,
            reason: &letter.reason,
            bytes: letter.bytes,
            content,
        }
    }
}

/// Prints the list of dead letters.
pub(super) fn list(args: &ListArgs, global: &GlobalArgs) -> anyhow::Result<Exit> {
    let letters = Store::letters_at(&global.state()?, &args.filter.filter())?;
    if args.json {
        let letters: Vec<_> = letters.iter().map(|letter| Written::of(letter, None)).collect();
        print_json(&serde_json::json!({ "dead_letters": letters }))?;
    } else if letters.is_empty() {
        print("no dead letters")?;
    } else {
        let bytes = letters.iter().map(|letter| letter.bytes).sum();
        print(&format!("{}\n\n{}, {}", listed(&letters), counted(letters.len()), size(bytes)))?;
    }
    Ok(Exit::Clean)
}

/// Prints one dead letter completely.
pub(super) fn show(args: &ShowArgs, global: &GlobalArgs) -> anyhow::Result<Exit> {
    let number = args.number;
    let Some(open) = Store::letter_at(&global.state()?, number)? else {
        let reason =
            format!("there is no dead letter {number}: `b24relay dead-letters list` shows which there are");
        return Err(UsageError(reason).into());
    };
    if args.raw {
        print_raw_json(open.event.data.get())?;
    } else if args.json {
        let content = Content { answer: &open.answer, date: &open.event.date, data: &open.event.data };
        print_json(&Written::of(&open.letter, Some(content)))?;
    } else {
        print(&told(&open))?;
    }
    Ok(Exit::Clean)
}

fn told(open: &DeadLetterBody) -> String {
    let DeadLetterBody { letter, answer, event } = open;
    let status = letter.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
    let lines = [
        ("number", letter.number.to_string()),
        ("buried", time(letter.buried_ms)),
        ("first tried", time(letter.first_ms)),
        ("attempts", letter.attempts.to_string()),
        ("sink", letter.sink.clone()),
        ("reason", filled(&letter.reason)),
        ("status", status),
        ("answer", filled(answer)),
        ("source", letter.source.clone()),
        ("queue", plain(&letter.queue)),
        ("id", letter.stable_id()),
        ("event", letter.event_id.to_string()),
        ("type", filled(&letter.kind)),
        ("date", date(&event.date)),
    ];
    let head: Vec<String> = lines.into_iter().map(|(name, value)| format!("{name:<12} {value}")).collect();
    let payload: Vec<String> = pretty::spread(event.data.get()).lines().map(visible).collect();
    format!("{}\n\n{}", head.join("\n"), payload.join("\n"))
}

/// The date as the portal wrote it; a JSON string loses its quotes.
fn date(date: &RawValue) -> String {
    serde_json::from_str::<String>(date.get()).map_or_else(|_| plain(date.get()), |text| filled(&text))
}
