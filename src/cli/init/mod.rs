//! `b24relay init`: from the URL of an incoming webhook to a configuration that works.
//!
//! It never overwrites a file that a person has written. Every question has a flag, so that it also runs without a
//! terminal.

mod access; // the webhook, and whether it has the right that is needed
mod destination; // where the events go
mod files; // written only where there are none
mod input; // secrets from files
mod place; // the folders
mod questions; // on the terminal
pub(super) mod template; // the text of the configuration

use std::path::PathBuf;

use clap::Args;
use destination::DestinationArgs;
use files::Files;
use place::{Place, PlaceArgs};
use questions::{Questions, Stopped};

use crate::cli::GlobalArgs;
use crate::cli::check::{self, CheckArgs};
use crate::cli::exit::UsageError;
use crate::cli::exit_code::Exit;
use crate::cli::output::print::{print, remark};
use crate::config::{self, ConfigError, Loaded, LogLevel, Overrides};
use crate::service::RecentProblems;
use crate::shutdown::Signals;
use crate::telemetry;

const NOTES: &str = "\
Asks for the webhook's URL without showing it, asks the portal whose it is and whether it has the right `im`, asks \
where the events go, writes the configuration and the files with the secrets (mode 0600), and runs `check`. An \
existing file is never overwritten. Each question has a flag; without a terminal, a missing flag is an error that \
names it.

Exit codes of `init`: 0 written and checked; 64 a flag is missing or wrong, or a file exists already; 69 the portal \
cannot be reached; 74 a file cannot be written; 77 the portal refuses the webhook, or the right `im` is missing. Those \
of `check` otherwise.

Examples:
  b24relay init
  b24relay init --webhook-url-file support.url --sink file --yes
  b24relay init --webhook-url-file support.url --url-file crm.address --yes
  vault read b24 | b24relay init --webhook-url-file - --sink stdout --yes
  sudo b24relay init --systemd             in /etc/b24relay, for the service of the package";

#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub(super) struct InitArgs {
    /// A file with the webhook's URL, instead of the question; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    webhook_url_file: Option<PathBuf>,
    #[command(flatten)]
    destination: DestinationArgs,
    #[command(flatten)]
    place: PlaceArgs,
    /// Take the default of every question that has one, and write without asking
    #[arg(long)]
    yes: bool,
}

/// Asks, writes and checks.
pub(super) async fn run(args: &InitArgs, global: &GlobalArgs, signals: &Signals) -> anyhow::Result<Exit> {
    match set_up(args, global, signals).await {
        Err(error) if error.is::<Stopped>() => {
            remark("b24relay: stopped: nothing was written");
            Ok(Exit::Temporary)
        }
        ended => ended,
    }
}

async fn set_up(args: &InitArgs, global: &GlobalArgs, signals: &Signals) -> anyhow::Result<Exit> {
    telemetry::init(global.log(LogLevel::Warn), &RecentProblems::default());
    refuse_useless(global)?;
    args.destination.refuse_contradiction()?;
    let place = Place::of(&args.place)?;
    let questions = Questions::new(args.yes, signals);
    if !Questions::can_be_asked() {
        require_answers(args)?;
    }
    place.refuse_existing()?;
    let webhook = access::obtain(args.webhook_url_file.as_deref(), &questions).await?;
    let destination = destination::choose(&args.destination, &place, &questions).await?;
    let mut files = Files::of(&place, &webhook, &destination);
    files.refuse_existing(args.webhook_url_file.as_deref())?;
    print(&files.described())?;
    if !questions.agree("Write these files?").await? {
        return Err(Stopped.into());
    }
    files.write()?;
    let loaded = load(&place).inspect_err(|_| files.remove())?;
    print(&format!("Written. {}\n", destination.advice(&place)))?;
    // The network and the folders of another machine are not here, so they are not checked.
    let exit =
        check::run(&CheckArgs::for_people(args.place.is_for_another_machine()), &loaded, signals).await?;
    print(&place.next(exit))?;
    Ok(exit)
}

/// Loads the written configuration.
fn load(place: &Place) -> Result<Loaded, ConfigError> {
    config::load(&Overrides { config: Some(place.config()), ..Overrides::default() })
}

/// The flags that only other commands use.
fn refuse_useless(global: &GlobalArgs) -> Result<(), UsageError> {
    let given = [("--config", global.config.is_some()), ("--state", global.state.is_some())];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        None => Ok(()),
        Some((flag, _)) => Err(UsageError(format!(
            "`{flag}` is not for `init`, which writes `b24relay.toml` into a folder: name that with `--dir DIR`"
        ))),
    }
}

/// Names every missing flag if there is no terminal.
fn require_answers(args: &InitArgs) -> Result<(), UsageError> {
    let missing: Vec<&str> = [
        args.webhook_url_file.is_none().then_some("`--webhook-url-file FILE`"),
        args.destination.missing(args.yes),
        (!args.yes).then_some("`--yes`"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(UsageError(format!("there is no terminal to ask on: give {}", missing.join(" and "))))
}
