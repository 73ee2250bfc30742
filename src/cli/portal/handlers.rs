//! `b24relay handlers`: the push handlers that an application bound before the relay was in use.

use std::io::{self, Read as _};

use anyhow::Context as _;
use b24_client::methods::handlers::{self, EventType, Handler, Unbinding};
use b24_client::{CallError, PortalClient};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::cli::exit::SetupError;
use crate::cli::exit_code::Exit;
use crate::cli::output::consent::ConsentArgs;
use crate::cli::output::print::{print, print_json};
use crate::cli::output::table::{aligned, filled, table};
use crate::cli::portal::refused::is_about_plan;
use crate::cli::portal::source::{client, find};
use crate::config::{Config, SecretText, SourceConfig};
use crate::shutdown::Signals;

const NOTES: &str = "\
Handlers belong to an OAuth application, so the source needs `[sources.NAME.oauth]`. A user who is not an \
administrator of the portal can only see and remove handlers that are bound to that user. \
An event that the portal also pushes is handled twice.

Examples:
  b24relay handlers list support
  b24relay handlers unbind support --event ONIMBOTMESSAGEADD --dry-run";

#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub(in crate::cli) struct HandlersArgs {
    #[command(subcommand)]
    command: HandlersCommand,
}

#[derive(Debug, Subcommand)]
enum HandlersCommand {
    /// List the events that the portal pushes, and their URLs
    List(ListArgs),
    /// Stop the portal from pushing an event
    Unbind(UnbindArgs),
}

/// The longest accepted URL, in bytes.
const LINE_MAX: u64 = 16 * 1024;

const LIST_EXAMPLES: &str = "\
Examples:
  b24relay handlers list support
  b24relay handlers list support --json | jq -r '.handlers[].event'";

#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLES)]
struct ListArgs {
    /// The source's name in the configuration
    source: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const UNBIND_EXAMPLES: &str = "\
Shows the matching handlers, asks, and removes them. Pass a URL that contains a secret on standard input, \
with `--handler -`, because every user of this machine can see a command line.

Examples:
  b24relay handlers unbind support --event ONIMBOTMESSAGEADD --dry-run
  b24relay handlers unbind support --event ONIMBOTMESSAGEADD --yes
  b24relay handlers unbind support --event ONTASKADD --handler https://old.example.com/b24
  pass show b24/old-handler | b24relay handlers unbind support --event ONTASKADD --handler - --yes
  b24relay handlers unbind support --event ONTASKADD --event-type offline";

#[derive(Debug, Args)]
#[command(after_help = UNBIND_EXAMPLES)]
struct UnbindArgs {
    /// The source's name in the configuration
    source: String,
    /// The event, in any letter case
    #[arg(long)]
    event: String,
    /// Only the handler with exactly this URL; `-` reads it from standard input
    #[arg(long, value_name = "URL", value_parser = given_or_read)]
    handler: Option<String>,
    /// Only handlers bound for this user; 0 selects those that are bound for no particular user
    #[arg(long, value_name = "USER")]
    auth_type: Option<u64>,
    /// Only the offline handler with this key (`connector_id`); an empty value selects those without a key
    #[arg(long, value_name = "CONNECTOR")]
    connector: Option<String>,
    /// Only handlers of this type: `online` is pushed, `offline` is kept by the portal to be fetched
    #[arg(long, value_name = "TYPE")]
    event_type: Option<EventTypeArg>,
    #[command(flatten)]
    consent: ConsentArgs,
}

/// Returns the argument itself, or a line of standard input if the argument is `-`.
fn given_or_read(text: &str) -> io::Result<String> {
    if text != "-" {
        return Ok(text.to_owned());
    }
    let mut line = String::new();
    io::stdin().take(LINE_MAX).read_to_string(&mut line)?;
    Ok(line.trim().to_owned())
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum EventTypeArg {
    Online,
    Offline,
}

/// Lists or unbinds handlers.
pub(in crate::cli) async fn run(
    args: &HandlersArgs,
    config: &Config,
    signals: &Signals,
) -> anyhow::Result<Exit> {
    match &args.command {
        HandlersCommand::List(args) => list(args, config).await,
        HandlersCommand::Unbind(args) => unbind(args, config, signals).await,
    }
}

async fn list(args: &ListArgs, config: &Config) -> anyhow::Result<Exit> {
    let source = find(config, &args.source)?;
    let bound = bound(source, &application(config, source).await?).await?;
    if args.json {
        print_json(&json!({ "handlers": bound }))?;
    } else if bound.is_empty() {
        print("no handlers are bound")?;
    } else {
        print(&listed(bound.iter()))?;
    }
    Ok(Exit::Clean)
}

async fn unbind(args: &UnbindArgs, config: &Config, signals: &Signals) -> anyhow::Result<Exit> {
    args.consent.require_somebody()?;
    let source = find(config, &args.source)?;
    let client = application(config, source).await?;
    let bound = bound(source, &client).await?;
    let matching: Vec<&Handler> = bound.iter().filter(|handler| args.means(handler)).collect();
    if matching.is_empty() {
        print(
            "0 handlers removed: none that matches is bound (`b24relay handlers list` shows those that are)",
        )?;
        return Ok(Exit::Clean);
    }
    let (count, question) = match matching.len() {
        1 => ("1 handler matches".to_owned(), "remove this handler?".to_owned()),
        count => (format!("{count} handlers match"), format!("remove these {count} handlers?")),
    };
    print(&format!("{}\n\n{count}", listed(matching.iter().copied())))?;
    if !args.consent.is_given(&question, signals).await? {
        return Ok(Exit::Clean);
    }
    // The handler URLs may contain secrets. The operator has seen them, but the log must not show them.
    let client = client.hiding(matching.iter().map(|handler| SecretText::new(&handler.handler)));
    remove(source, &client, &args.unbindings(&matching)).await
}

async fn remove(
    source: &SourceConfig,
    client: &PortalClient,
    unbindings: &[Unbinding],
) -> anyhow::Result<Exit> {
    let mut count = 0;
    for unbinding in unbindings {
        match handlers::unbind(client, unbinding).await {
            Ok(removed) => count += removed,
            Err(refusal) => {
                // When nothing was removed, the refusal is the complete message.
                if count == 0 {
                    return Err(explained(source, refusal).into());
                }
                print(&removed(count))?;
                return Err(explained(source, refusal)).context("not everything was removed");
            }
        }
    }
    print(&removed(count))?;
    Ok(Exit::Clean)
}

fn removed(count: u64) -> String {
    match count {
        0 => "0 handlers removed: the portal found none".to_owned(),
        1 => "1 handler removed".to_owned(),
        _ => format!("{count} handlers removed"),
    }
}

impl UnbindArgs {
    fn means(&self, bound: &Handler) -> bool {
        let event_type = if bound.offline { EventTypeArg::Offline } else { EventTypeArg::Online };
        bound.event.eq_ignore_ascii_case(self.event.trim())
            && self.handler.as_ref().is_none_or(|url| *url == bound.handler)
            && self.event_type.is_none_or(|wanted| wanted == event_type)
            && self.connector.as_ref().is_none_or(|connector| *connector == bound.connector_id)
            && self.auth_type.is_none_or(|user| !bound.offline && bound.auth_type.unwrap_or(0) == user)
    }

    /// The calls that remove `matching`. Without a user, one call removes the same handler for all users at once.
    fn unbindings(&self, matching: &[&Handler]) -> Vec<Unbinding> {
        let mut unbindings = Vec::new();
        for Handler { event, handler, connector_id, offline, .. } in matching.iter().copied().cloned() {
            let event_type = if offline { EventType::Offline } else { EventType::Online };
            let unbinding = Unbinding {
                event,
                handler,
                auth_type: self.auth_type,
                auth_connector: connector_id,
                event_type,
            };
            if !unbindings.contains(&unbinding) {
                unbindings.push(unbinding);
            }
        }
        unbindings
    }
}

/// A portal client for an OAuth source. For any other source it fails with the missing setting, without calling the
/// portal.
async fn application(config: &Config, source: &SourceConfig) -> anyhow::Result<PortalClient> {
    if source.webhook().is_some() {
        return Err(needs_oauth(source).into());
    }
    client(config, source).await
}

fn needs_oauth(source: &SourceConfig) -> SetupError {
    let name = &source.name;
    SetupError(format!(
        "handlers belong to an OAuth application, and the portal does not show them to the incoming webhook of \
         the source `{name}`: configure the application that bound them in `[sources.{name}.oauth]`, then log in \
         with `b24relay login {name}`"
    ))
}

async fn bound(source: &SourceConfig, client: &PortalClient) -> anyhow::Result<Vec<Handler>> {
    handlers::list(client).await.map_err(|refusal| explained(source, refusal).into())
}

const ADMINISTRATOR: &str = "log in as an administrator of the portal: others may touch neither offline handlers nor \
                             those of other users";

const PLAN: &str = "the portal's subscription does not include this feature (handlers with a connector need a plan of their \
                    own): change the plan; another login does not help";
const EVENT: &str = "is the name right, and has the application its scope?";
const OLD_PORTAL: &str = "the portal does not know the method: update the portal";

fn explained(source: &SourceConfig, refusal: CallError) -> CallError {
    let code = refusal.code().unwrap_or_default().to_ascii_uppercase();
    match code.as_str() {
        "WRONG_AUTH_TYPE" => refusal.advising(needs_oauth(source).0),
        "ERROR_EVENT_NOT_FOUND" => refusal.advising(EVENT),
        "ERROR_METHOD_NOT_FOUND" => refusal.advising(OLD_PORTAL),
        "WRONG_LICENSE" => refusal.advising(PLAN),
        "ACCESS_DENIED" if !is_about_plan(&refusal) => refusal.advising(ADMINISTRATOR),
        _ => refusal,
    }
}

fn listed<'a>(bound: impl Iterator<Item = &'a Handler>) -> String {
    let mut rows = table(&["EVENT", "TYPE", "USER", "CONNECTOR", "HANDLER"]);
    for Handler { event, handler, auth_type, connector_id, offline } in bound {
        let event_type = if *offline { "offline" } else { "online" };
        let user = auth_type.map_or_else(|| "-".to_owned(), |user| user.to_string());
        rows.add_row([filled(event).as_str(), event_type, &user, &filled(connector_id), &filled(handler)]);
    }
    aligned(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(args: &[&str]) -> UnbindArgs {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: UnbindArgs,
        }
        <Line as clap::Parser>::parse_from([&["unbind", "support", "--event", "onTaskAdd"], args].concat())
            .args
    }

    fn bound() -> Vec<Handler> {
        let online = |handler: &str, auth_type| Handler {
            event: "ONTASKADD".into(),
            handler: handler.into(),
            auth_type,
            connector_id: String::new(),
            offline: false,
        };
        vec![
            online("https://a.example/?k=1", Some(0)),
            online("https://a.example/?k=1", Some(7)),
            online("https://a.example/?K=1", None),
            Handler { offline: true, ..online("", None) },
            Handler { offline: true, connector_id: "crm".into(), ..online("", None) },
            Handler { event: "ONTASKUPDATE".into(), ..online("https://a.example/?k=1", None) },
        ]
    }

    fn unbindings(given: &[&str]) -> Vec<(String, EventType, Option<u64>)> {
        let (args, bound) = (args(given), bound());
        let matching: Vec<&Handler> = bound.iter().filter(|handler| args.means(handler)).collect();
        let told = |unbinding: Unbinding| {
            (unbinding.handler + &unbinding.auth_connector, unbinding.event_type, unbinding.auth_type)
        };
        args.unbindings(&matching).into_iter().map(told).collect()
    }

    #[test]
    fn every_filter_narrows_what_goes() {
        let (small, large) = ("https://a.example/?k=1".to_owned(), "https://a.example/?K=1".to_owned());
        let online = |url: &String, user| (url.clone(), EventType::Online, user);
        let offline = (String::new(), EventType::Offline, None);
        let keyed = ("crm".to_owned(), EventType::Offline, None);
        let all = [online(&small, None), online(&large, None), offline.clone(), keyed.clone()];
        assert_eq!(unbindings(&[]), all);
        assert_eq!(unbindings(&["--connector", "crm"]), std::slice::from_ref(&keyed));
        assert_eq!(
            unbindings(&["--connector", "", "--event-type", "offline"]),
            std::slice::from_ref(&offline)
        );
        assert_eq!(unbindings(&["--handler", &small]), [online(&small, None)]);
        assert_eq!(unbindings(&["--handler", "https://a.example/"]), []);
        assert_eq!(unbindings(&["--event-type", "offline"]), [offline, keyed]);
        assert_eq!(unbindings(&["--auth-type", "7"]), [online(&small, Some(7))]);
        assert_eq!(unbindings(&["--auth-type", "0"]), [online(&small, Some(0)), online(&large, Some(0))]);
    }
}
