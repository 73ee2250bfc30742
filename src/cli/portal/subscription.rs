//! `b24relay subscribe` and `unsubscribe`: whether the portal records events for a source's user.

use std::sync::Arc;

use b24_client::KeyValue;
use clap::Args;
use serde::de::IgnoredAny;
use serde_json::Map;

use crate::cli::GlobalArgs;
use crate::cli::exit::UsageError;
use crate::cli::exit_code::Exit;
use crate::cli::output::consent::ConsentArgs;
use crate::cli::output::print::print;
use crate::cli::portal::loss::{self, Loss};
use crate::cli::portal::source::{client, find};
use crate::config::{Config, SourceConfig};
use crate::event::Event;
use crate::relay::{self, Ending, PortalClients, StoreKeyValue, Until};
use crate::service::{RecentProblems, Telemetry};
use crate::shutdown::Signals;
use crate::store::Store;
use crate::telemetry;

const SUBSCRIBE_NOTES: &str = "\
`b24relay run` subscribes automatically, at its start and every hour. The portal records events from then on, but no earlier ones.

Examples:
  b24relay subscribe support";

#[derive(Debug, Args)]
#[command(after_help = SUBSCRIBE_NOTES)]
pub(in crate::cli) struct SubscribeArgs {
    /// The source's name in the configuration
    source: String,
}

const UNSUBSCRIBE_NOTES: &str = "\
Ending the subscription deletes all unread events, and ends it for every other reader of the same user. \
So waiting events are delivered first; if that fails, the subscription does not change.

Examples:
  b24relay unsubscribe support
  b24relay unsubscribe support --dry-run         how many events would be delivered first?
  b24relay unsubscribe support --discard         delete the unread events; asks first
  b24relay unsubscribe support --discard --yes   the same without asking";

const NOT_DELIVERED: &str =
    "not unsubscribed: some events could not be delivered; try again, or give them up with --discard";

#[derive(Debug, Args)]
#[command(after_help = UNSUBSCRIBE_NOTES)]
pub(in crate::cli) struct UnsubscribeArgs {
    /// The source's name in the configuration
    source: String,
    /// Skip the delivery and let the portal delete the unread events; asks first
    #[arg(long)]
    discard: bool,
    #[command(flatten)]
    consent: ConsentArgs,
}

/// Subscribes the source's user.
pub(in crate::cli) async fn subscribe(args: &SubscribeArgs, config: &Config) -> anyhow::Result<Exit> {
    let source = find(config, &args.source)?;
    refuse_lone_bot(source)?;
    let client = client(config, source).await?;
    client.call::<IgnoredAny>("im.v2.Event.subscribe", &Map::new()).await?;
    print(&format!("subscribed: the portal records events for {} from now on", reader(source)))?;
    Ok(Exit::Clean)
}

/// Delivers the remaining events to the sinks, unless `--discard` is given, then unsubscribes the user.
pub(in crate::cli) async fn unsubscribe(
    args: &UnsubscribeArgs,
    global: &GlobalArgs,
    signals: &Signals,
) -> anyhow::Result<Exit> {
    let mut config = global.load()?;
    telemetry::init(global.log(config.log.level), &RecentProblems::default());
    let source = find(&config, &args.source)?.clone();
    refuse_lone_bot(&source)?;
    // The store stays locked until the end: a daemon with the same state would subscribe again.
    let store = Store::open(&config.state)?;
    let key_value: Arc<dyn KeyValue> = Arc::new(StoreKeyValue(store.clone()));
    let clients = PortalClients::open(&config, [&source], &key_value).await?;
    if args.consent.is_dry_run() || args.discard {
        let loss = unread(&config, &source, &clients, &store).await?;
        let (what, question) = if args.discard {
            ("wait at the portal: they are not delivered, and the portal destroys them", "discard them?")
        } else {
            ("wait at the portal and are delivered before the subscription ends", "")
        };
        if !loss.ask_anyway(&args.consent, what, question, signals).await? {
            return Ok(Exit::Clean);
        }
    } else {
        config.sources.retain(|other| other.name == source.name);
        let ending = relay::run(&config, &store, signals, Until::Drained, &Telemetry::default()).await?;
        if ending != Ending::Clean {
            print(NOT_DELIVERED)?;
            return Ok(if ending == Ending::Refused { Exit::Refused } else { Exit::Temporary });
        }
    }
    let client = clients.of(&source)?;
    client.call::<IgnoredAny>("im.v2.Event.unsubscribe", &Map::new()).await?;
    print(&format!("unsubscribed: the portal records no more events for {}", reader(&source)))?;
    Ok(Exit::Clean)
}

/// The events that the portal deletes when the subscription ends, and that no sink and no journal has.
async fn unread(
    config: &Config,
    source: &SourceConfig,
    clients: &PortalClients,
    store: &Store,
) -> anyhow::Result<Loss> {
    let known = loss::known(config, source, Some(store)).await?;
    let page = loss::page(source, clients).await?;
    let mut loss = Loss::default();
    // The portal keeps a bot's events.
    let is_lost = |event: &Event| !event.kind.starts_with("ONIMBOTV2") && known.is_unread(event.id);
    loss.add_page(Ok(page), None, is_lost);
    Ok(loss)
}

/// A bot needs no subscription. The subscription of the user that owns the credential belongs to other readers.
fn refuse_lone_bot(source: &SourceConfig) -> Result<(), UsageError> {
    if source.reads_user() {
        return Ok(());
    }
    Err(UsageError(format!(
        "`{}` reads a bot's events alone, for which there is no subscription: name a source of kind `user`, or one with `with_user_events`",
        source.name
    )))
}

/// The owner of the events, in words.
fn reader(source: &SourceConfig) -> String {
    let portal = source.portal().authority();
    match source.webhook() {
        Some(webhook) => format!("{portal}/user/{}", webhook.user_id()),
        None => format!("whoever logged in for `{}` on {portal}", source.name),
    }
}
