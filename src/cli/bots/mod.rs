//! `b24relay bots`: lists the bots of a portal and removes one.

mod api; // the two generations of methods
mod secret; // of a registered bot
use std::path::PathBuf;

use api::{Api, Outcome};
use b24_client::methods::bots::Bot;
use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::exit_code::Exit;
use crate::cli::output::consent::ConsentArgs;
use crate::cli::output::print::{print, print_json, remark};
use crate::cli::output::table::{aligned, filled, table};
use crate::cli::portal::source::{client, find};
use crate::config::{Config, SecretText, SourceConfig};
use crate::shutdown::Signals;

const NOTES: &str = "\
The portal's API has two generations, which show the same bots; --v2 uses the newer one.

Examples:
  b24relay bots list support
  b24relay bots unregister support --bot-id 39 --client-id-file old-bot.id --dry-run";

#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub(super) struct BotsArgs {
    #[command(subcommand)]
    command: BotsCommand,
}

#[derive(Debug, Subcommand)]
enum BotsCommand {
    /// List the portal's bots
    List(ListArgs),
    /// Remove a bot, and its private chats with it
    Unregister(UnregisterArgs),
}

const LIST_EXAMPLES: &str = "\
Without --v2, all bots of the portal are shown. With it, only the bots of this application or token are shown. \
For a wrong token the portal returns an empty list without an error.

Examples:
  b24relay bots list support
  b24relay bots list support --v2 --bot-token-file bot.token --json";

#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLES)]
struct ListArgs {
    /// The source's name in the configuration
    source: String,
    /// Use the newer API
    #[arg(long)]
    v2: bool,
    #[command(flatten)]
    token: TokenArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const UNREGISTER_EXAMPLES: &str = "\
A secret is read from a file (`-` is standard input), because every user of this machine can see a command line. \
The client id of the older API and the token of the newer one are the same secret, and each API can remove a \
bot of the other. A bot that is already gone is not an error.

Examples:
  b24relay bots unregister support --bot-id 39 --client-id-file old-bot.id
  b24relay bots unregister support --bot-id 39 --v2 --bot-token-file bot.token --yes
  pass show b24/bot | b24relay bots unregister support --bot-id 39 --client-id-file - --yes";

#[derive(Debug, Args)]
#[command(after_help = UNREGISTER_EXAMPLES)]
struct UnregisterArgs {
    /// The source's name in the configuration
    source: String,
    /// The bot's user id
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(u64).range(1..))]
    bot_id: u64,
    /// A file with the `CLIENT_ID` that the bot was registered with, `-` for standard input; required with a webhook
    #[arg(long, value_name = "FILE", conflicts_with = "v2")]
    client_id_file: Option<PathBuf>,
    /// Use the newer API
    #[arg(long)]
    v2: bool,
    #[command(flatten)]
    token: TokenArgs,
    #[command(flatten)]
    consent: ConsentArgs,
}

#[derive(Debug, Args)]
struct TokenArgs {
    /// A file with the bot's token, `-` for standard input; required with a webhook
    #[arg(long, value_name = "FILE", requires = "v2")]
    bot_token_file: Option<PathBuf>,
}

/// Lists the bots or unregisters one.
pub(super) async fn run(args: &BotsArgs, config: &Config, signals: &Signals) -> anyhow::Result<Exit> {
    match &args.command {
        BotsCommand::List(args) => list(args, config).await,
        BotsCommand::Unregister(args) => unregister(args, config, signals).await,
    }
}

async fn list(args: &ListArgs, config: &Config) -> anyhow::Result<Exit> {
    let source = find(config, &args.source)?;
    let token = if args.v2 { args.token.secret(source)? } else { None };
    let client = client(config, source).await?.hiding(token.clone());
    let bots = Api::new(args.v2, token).list(&client).await?;
    if args.json {
        print_json(&json!({ "bots": bots }))?;
    } else if bots.is_empty() {
        print(if args.v2 { "no bots of this token (a wrong one has none either)" } else { "no bots" })?;
    } else {
        print(&listed(&bots))?;
    }
    Ok(Exit::Clean)
}

async fn unregister(args: &UnregisterArgs, config: &Config, signals: &Signals) -> anyhow::Result<Exit> {
    args.consent.require_somebody()?;
    let source = find(config, &args.source)?;
    let secret = if args.v2 { args.token.secret(source)? } else { args.client_id(source)? };
    let client = client(config, source).await?.hiding(secret.clone());
    let api = Api::new(args.v2, secret);
    let id = args.bot_id;
    let known = api.list(&client).await?.into_iter().find(|bot| bot.id == id);
    let bot = known.map_or_else(
        || format!("bot {id}, which the portal does not list"),
        |bot| format!("bot {id} ({}, code {})", filled(&bot.name), filled(&bot.code)),
    );
    print(&format!("{bot}\n\n1 bot to unregister"))?;
    remark("its private chats are deleted with it, for everybody and for good");
    if !args.consent.is_given("unregister this bot?", signals).await? {
        return Ok(Exit::Clean);
    }
    print(&match api.unregister(&client, id).await? {
        Outcome::Removed => format!("bot {id} is unregistered"),
        Outcome::WasGone => format!("bot {id} is not there any more: nothing was left to do"),
    })?;
    Ok(Exit::Clean)
}

impl UnregisterArgs {
    fn client_id(&self, source: &SourceConfig) -> anyhow::Result<Option<SecretText>> {
        secret::choose(source, self.client_id_file.as_deref(), "--client-id-file")
    }
}

impl TokenArgs {
    fn secret(&self, source: &SourceConfig) -> anyhow::Result<Option<SecretText>> {
        secret::choose(source, self.bot_token_file.as_deref(), "--bot-token-file")
    }
}

fn listed(bots: &[Bot]) -> String {
    let mut rows = table(&["ID", "CODE", "NAME", "TYPE", "EVENTS", "OPEN LINES"]);
    for Bot { id, code, name, kind, event_mode, openline } in bots {
        let openline = if *openline { "yes" } else { "no" };
        rows.add_row([
            &id.to_string(),
            &filled(code),
            &filled(name),
            &filled(kind),
            &filled(event_mode),
            openline,
        ]);
    }
    aligned(rows)
}
