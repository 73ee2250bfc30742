//! Two readers of one queue would take events from each other. This module reports sources that read the same
//! queue, if that is known before the first request.

use std::collections::BTreeMap;
use std::fmt;

use b24_client::SecretUrl;

use crate::config::parse::findings::Findings;
use crate::config::parse::quote;
use crate::config::section::sources::access::RawAccess;
use crate::config::section::sources::bot::RawKind;
use crate::config::section::sources::source::RawSource;

/// The key that lets a bot also read a user's queue.
const USER_EVENTS: &str = "with_user_events";

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Queue {
    /// `PORTAL/user/ID` or `PORTAL/bot/ID`.
    Identity(String),
    /// The queue of the user who logs in for the named source.
    LoginOf(String),
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(identity) => write!(f, "`{identity}`"),
            Self::LoginOf(owner) => {
                write!(f, "that of the user who logs in for `sources.{}`", quote::key(owner))
            }
        }
    }
}

/// Notes every source that reads what another one reads.
pub(crate) fn check(sources: &[RawSource], findings: &Findings) {
    let mut owners: BTreeMap<Queue, (&str, &str)> = BTreeMap::new();
    for source in sources {
        let queues = queues(source, sources);
        if let Some((key, queue)) = queues.iter().find(|(_, queue)| owners.contains_key(queue)) {
            report(&source.name, key, queue, owners[queue], findings);
        }
        for (key, queue) in queues {
            owners.entry(queue).or_insert((&source.name, key));
        }
    }
}

fn report(name: &str, key: &str, queue: &Queue, (owner, owner_key): (&str, &str), findings: &Findings) {
    let hint = if [key, owner_key].contains(&USER_EVENTS) {
        "leave the user's events to one of them"
    } else {
        "remove one and let several sinks take the other"
    };
    findings.report(
        format!("sources.{}.{key}", quote::key(name)),
        format!(
            "reads the same queue as `sources.{}` ({queue}), they would take each other's events: {hint}",
            quote::key(owner)
        ),
    );
}

/// The queues that `source` reads, each with the key that selects it.
fn queues(source: &RawSource, all: &[RawSource]) -> Vec<(&'static str, Queue)> {
    let user = queue_of_user(source, all);
    match &source.kind {
        RawKind::User => user.into_iter().collect(),
        RawKind::Bot(bot) => {
            let portal = source.portal(all).map(SecretUrl::authority);
            let identity = portal.zip(bot.id).map(|(portal, id)| format!("{portal}/bot/{id}"));
            let own = identity.map(|identity| ("bot_id", Queue::Identity(identity)));
            let user = user.filter(|_| bot.with_user_events).map(|(_, queue)| (USER_EVENTS, queue));
            own.into_iter().chain(user).collect()
        }
        RawKind::Unclear => Vec::new(),
    }
}

/// The queue of the user behind the credential.
fn queue_of_user(source: &RawSource, all: &[RawSource]) -> Option<(&'static str, Queue)> {
    let of_login = || source.login(all).map(|(owner, _)| Queue::LoginOf(owner.to_owned()));
    match &source.access {
        RawAccess::Webhook(webhook) => {
            webhook.as_ref().map(|webhook| (webhook.key, Queue::Identity(webhook.value.identity())))
        }
        RawAccess::Login(_) => of_login().map(|queue| ("oauth", queue)),
        RawAccess::Grant(_) => of_login().map(|queue| ("oauth.grant", queue)),
        RawAccess::Unclear => None,
    }
}
