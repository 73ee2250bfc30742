//! `b24relay subscribe` and `unsubscribe`: does the portal record events for a source's user?

use std::sync::Arc;

use clap::Args;

use super::exit::Exit;
use super::output::print;
use super::source::{caller, find};
use crate::config::{Config, SourceConfig};
use crate::event::Queue;
use crate::portal::UserQueue;
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
    print(&format!("subscribed: the portal records events for {} from now on", identity(source)))?;
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
    print(&format!("unsubscribed: the portal records no more events for {}", identity(&source)))?;
    Ok(Exit::Clean)
}

fn queue(source: &SourceConfig) -> anyhow::Result<UserQueue> {
    Ok(UserQueue::new(caller(source)?, Arc::new(Queue::new(&source.name, &identity(source)))))
}

fn identity(source: &SourceConfig) -> String {
    source.identity().unwrap_or_default()
}
