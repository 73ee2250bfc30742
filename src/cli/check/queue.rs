//! A source's queue: the portal's rate limit, the subscription, and the backlog.

use std::time::Duration;

use b24_client::PAGE_MAX;
use b24_client::{CallError, PortalClient};
use jiff::{SignedDuration, Timestamp};

use super::account::skipped_after;
use super::finding::Finding;
use crate::cli::portal::peek::Peek;
use crate::config::{Config, QueueKind, SourceConfig};
use crate::event::Batch;

pub(super) const RATE: &str = "rate";
pub(super) const SUBSCRIPTION: &str = "subscription";
pub(super) const BACKLOG: &str = "backlog";

/// The portal deletes events after 24 hours (PORTAL.md 2.5); half of that leaves time to act.
const AGE_MAX: SignedDuration = SignedDuration::from_hours(12);

/// Compares the portal's rate limit with the polling rate of this configuration's idle sources.
pub(super) fn rate(config: &Config, source: &SourceConfig) -> Finding {
    let authority = source.portal().authority();
    let sharing = config.sources.iter().filter(|other| other.portal().authority() == authority);
    let pauses: Vec<Duration> = sharing.map(|other| other.poll.idle).collect();
    let asked: f64 = pauses.iter().map(|pause| pause.as_secs_f64().max(0.001).recip()).sum();
    let Some(rate) = config.rate_of(&authority) else {
        return Finding::ok(RATE, "no limit");
    };
    let sources = if pauses.len() == 1 { "1 source".to_owned() } else { format!("{} sources", pauses.len()) };
    let (burst, per_second) = (rate.burst, rate.per_second);
    let detail = format!(
        "bears {burst} requests at once and {per_second} a second, {sources} will make {asked:.1} a second"
    );
    if asked > rate.per_second {
        let hint = format!("raise `poll.idle`, or name the portal's plan in `[portals.\"{authority}\"]`");
        return Finding::warn(RATE, detail, hint);
    }
    Finding::ok(RATE, detail)
}

/// Checks subscription and backlog: one read of the queue, two findings.
pub(super) async fn look(source: &SourceConfig, client: PortalClient) -> [Finding; 2] {
    let identity = source.identity().unwrap_or_default();
    let page = Peek::new(source, &identity, client).look().await;
    [subscription(source, page.as_ref().err()), page.as_ref().map_or_else(waiting_for, backlog)]
}

/// The same two findings, skipped because of `failed`.
pub(super) fn unlooked(source: &SourceConfig, failed: &str) -> [Finding; 2] {
    unseen(source, &skipped_after(failed))
}

fn unseen(source: &SourceConfig, reason: &str) -> [Finding; 2] {
    let subscription = match &source.kind {
        QueueKind::Bot(bot) if bot.with_user_events => Finding::skip(SUBSCRIPTION, reason),
        _ => subscription(source, None),
    };
    [subscription, Finding::skip(BACKLOG, reason)]
}

/// Only a bot's queue that is combined with its user's queue shows whether there is a subscription (PORTAL.md 2.2).
fn subscription(source: &SourceConfig, refusal: Option<&CallError>) -> Finding {
    let QueueKind::Bot(bot) = &source.kind else {
        return Finding::skip(SUBSCRIPTION, "no portal tells; `b24relay run` subscribes by itself");
    };
    if !bot.with_user_events {
        return Finding::ok(SUBSCRIPTION, "a bot needs none");
    }
    match refusal {
        None => Finding::ok(SUBSCRIPTION, "the user is subscribed"),
        Some(refusal) if is_unsubscribed(refusal) => Finding::warn(
            SUBSCRIPTION,
            "the user is not subscribed: nothing is recorded",
            format!("`b24relay run` subscribes by itself, `b24relay subscribe {}` does it now", source.name),
        ),
        Some(_) => Finding::skip(SUBSCRIPTION, skipped_after(BACKLOG)),
    }
}

fn is_unsubscribed(refusal: &CallError) -> bool {
    refusal.code().is_some_and(|code| code.eq_ignore_ascii_case("USER_NOT_SUBSCRIBED"))
}

fn waiting_for(refusal: &CallError) -> Finding {
    if is_unsubscribed(refusal) {
        return Finding::skip(BACKLOG, skipped_after(SUBSCRIPTION));
    }
    Finding::refused(BACKLOG, refusal)
}

fn backlog(page: &Batch) -> Finding {
    if let Some(odd) = page.odd.first() {
        let hint = "`b24relay run` delivers what lies before it, then says how to skip it";
        return Finding::warn(BACKLOG, format!("an event cannot be read {}", odd.told()), hint);
    }
    let Some(oldest) = page.events.first() else {
        return Finding::ok(BACKLOG, "nothing is waiting");
    };
    let count = page.events.len();
    let at_least = if page.has_more || count >= usize::from(PAGE_MAX) { "at least " } else { "" };
    let date: Option<String> = serde_json::from_str(oldest.date.get()).ok();
    let since = date.as_ref().map_or_else(String::new, |date| format!(", the oldest from {date}"));
    let detail = format!("{at_least}{count} waiting{since}");
    let recorded: Option<Timestamp> = date.and_then(|date| date.parse().ok());
    if recorded.is_some_and(|recorded| Timestamp::now().duration_since(recorded) > AGE_MAX) {
        let hint = "the portal forgets events after 24 hours: let `b24relay run` deliver them before that";
        return Finding::warn(BACKLOG, detail, hint);
    }
    Finding::ok(BACKLOG, detail)
}
