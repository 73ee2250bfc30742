//! `b24relay subscribe` and `unsubscribe`: does the portal record events for a source's user?

use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;

use super::exit::{Exit, UsageError};
use super::output::print;
use crate::config::{Config, SourceConfig};
use crate::event::Queue;
use crate::portal::{Caller, UserQueue};
use crate::relay::{self, Ending, Until};
use crate::shutdown::Signals;
use crate::store::Store;

const SUBSCRIBE_NOTES: &str = "\
`b24relay run` subscribes by itself; events are recorded from then on, nothing earlier.

Examples:
  b24relay subscribe support";

#[derive(Debug, Args)]
#[command(after_help = SUBSCRIBE_NOTES)]
pub struct SubscribeArgs {
    /// The source's name in the configuration
    source: String,
}

const UNSUBSCRIBE_NOTES: &str = "\
Ending the subscription destroys what is unread, and ends it for every other reader of the same
user. So what is waiting is delivered first; when that fails, the subscription stays as it is.

Examples:
  b24relay unsubscribe support
  b24relay unsubscribe support --discard   the unread events are not wanted";

const NOT_DELIVERED: &str =
    "not unsubscribed: some events could not be delivered; try again, or give them up with --discard";

#[derive(Debug, Args)]
#[command(after_help = UNSUBSCRIBE_NOTES)]
pub struct UnsubscribeArgs {
    /// The source's name in the configuration
    source: String,
    /// Do not deliver first: let the portal destroy what is unread
    #[arg(long)]
    discard: bool,
}

/// Subscribes the source's user.
pub async fn subscribe(args: &SubscribeArgs, config: &Config) -> anyhow::Result<Exit> {
    let source = find(config, &args.source)?;
    queue(source)?.subscribe().await?;
    print(&format!(
        "subscribed: the portal records events for {} from now on",
        source.webhook_url.identity()
    ))?;
    Ok(Exit::Clean)
}

/// Drains the source into its sinks unless told not to, then unsubscribes its user.
pub async fn unsubscribe(
    args: &UnsubscribeArgs,
    mut config: Config,
    signals: &Signals,
) -> anyhow::Result<Exit> {
    let source = find(&config, &args.source)?.clone();
    // Held to the end: a daemon on the same state would subscribe again.
    let store = Store::open(&config.state)?;
    if !args.discard {
        config.sources.retain(|other| other.name == source.name);
        let ending = relay::run(&config, &store, signals, Until::Drained).await?;
        if ending != Ending::Clean {
            print(NOT_DELIVERED)?;
            return Ok(if ending == Ending::Refused { Exit::Refused } else { Exit::Temporary });
        }
    }
    queue(&source)?.unsubscribe().await?;
    print(&format!("unsubscribed: the portal records no more events for {}", source.webhook_url.identity()))?;
    Ok(Exit::Clean)
}

fn find<'a>(config: &'a Config, name: &str) -> Result<&'a SourceConfig, UsageError> {
    config.sources.iter().find(|source| source.name == name).ok_or_else(|| {
        let names: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
        UsageError(format!("there is no source `{name}` in the configuration, only {}", names.join(", ")))
    })
}

fn queue(source: &SourceConfig) -> anyhow::Result<UserQueue> {
    let caller = Caller::try_new(source.webhook_url.clone(), source.poll.timeout)
        .map_err(anyhow::Error::msg)
        .with_context(|| format!("sources.{}", source.name))?;
    Ok(UserQueue::new(caller, Arc::new(Queue::new(&source.name, &source.webhook_url.identity()))))
}
