//! A source's credential: does the portal answer, for which user, and does that user have the required rights?

use b24_client::methods::{account, bots};
use b24_client::{CallError, PortalClient};
use jiff::SignedDuration;

use super::finding::{Finding, State};
use crate::cli::exit_code::Exit;
use crate::config::{BotConfig, QueueKind, SourceConfig};

pub(super) const REACH: &str = "reach";
pub(super) const CREDENTIAL: &str = "credential";
pub(super) const APPLICATION: &str = "application";
pub(super) const SCOPES: &str = "scopes";
pub(super) const METHODS: &str = "methods";
pub(super) const CLOCK: &str = "clock";
pub(super) const BOT: &str = "bot";

/// A greater difference between the clocks is a warning: dates in events and in the log are then not comparable.
const SKEW_MAX: SignedDuration = SignedDuration::from_secs(30);

/// Checks whether the portal answers and for which user: one call, two findings. `owner` is the user whose queue is
/// configured, if the source reads a user's queue.
pub(super) async fn identify(
    source: &SourceConfig,
    owner: Option<u64>,
    client: &PortalClient,
) -> [Finding; 2] {
    let answers = || Finding::ok(REACH, format!("{} answers", source.portal().authority()));
    match account::profile(client).await {
        Ok(profile) => [answers(), whose(source, owner, &profile)],
        Err(refusal) if refusal.code().is_some() => [answers(), Finding::refused(CREDENTIAL, &refusal)],
        Err(refusal) if refusal.is_ours() => {
            [Finding::skip(REACH, skipped_after(CREDENTIAL)), Finding::refused(CREDENTIAL, &refusal)]
        }
        Err(refusal) => [unreached(&refusal), Finding::skip(CREDENTIAL, skipped_after(REACH))],
    }
}

/// Reports when the portal is called at an address other than the configured one.
pub(super) fn address(source: &SourceConfig, client: &PortalClient) -> Option<Finding> {
    let (portal, moved_to) = (source.portal().authority(), client.portal_state().moved_to()?);
    let hint = format!(
        "put the new address into the configuration, or stop and run `b24relay portal forget {portal}`"
    );
    Some(Finding::warn("address", format!("{portal} has moved and is called at {moved_to}"), hint))
}

/// The detail of a check that was skipped.
pub(super) fn skipped_after(check: &str) -> String {
    format!("`{check}` failed")
}

/// The finding when no portal answered: the connection failed, or another server answered.
fn unreached(refusal: &CallError) -> Finding {
    Finding { exit: Exit::Unavailable, ..Finding::refused(REACH, refusal) }
}

fn whose(source: &SourceConfig, owner: Option<u64>, profile: &account::Profile) -> Finding {
    let account::Profile { user_id, name, is_admin } = profile;
    let name = if name.is_empty() { String::new() } else { format!(" ({name})") };
    let rank = if *is_admin { ", an administrator" } else { "" };
    let detail = format!("user {user_id}{name}{rank}");
    // Offsets and ids belong to one user's queue (PORTAL.md 2.9, hazard 10).
    let Some(owner) = owner.filter(|owner| owner != user_id) else {
        return Finding::ok(CREDENTIAL, detail);
    };
    let expected = format!("{}/user/{owner}", source.portal().authority());
    let (of_whom, hint) = if source.webhook().is_some() {
        let hint = "the webhook has changed hands: create a new one as the user whose chats are wanted";
        ("the webhook's address is that of", hint.to_owned())
    } else {
        ("the login is that of", format!("log in again: `b24relay login {}`", source.name))
    };
    Finding::fail(CREDENTIAL, Exit::Config, format!("{detail}, but {of_whom} {expected}"), hint)
}

/// What the portal reports about an OAuth application; `None` for a webhook.
pub(super) async fn application(source: &SourceConfig, client: &PortalClient) -> Option<Finding> {
    if source.webhook().is_some() {
        return None;
    }
    Some(match account::app(client).await {
        Err(refusal) => Finding::refused(APPLICATION, &refusal),
        Ok(app) if app.is_payment_expired => Finding::warn(
            APPLICATION,
            "its paid time is over",
            "renew the application on the portal before its calls are refused",
        ),
        Ok(app) => Finding::ok(APPLICATION, format!("status `{}`, plan `{}`", app.status, app.licence)),
    })
}

/// The scopes and then the methods that this kind of source needs.
pub(super) fn needs(source: &SourceConfig) -> (&'static [&'static str], &'static [&'static str]) {
    const SUBSCRIBE: &str = "im.v2.Event.subscribe";
    match &source.kind {
        QueueKind::User => (&["im"], &[SUBSCRIBE, "im.v2.Event.get"]),
        QueueKind::Bot(bot) if bot.with_user_events => (&["imbot", "im"], &["imbot.v2.Event.get", SUBSCRIBE]),
        QueueKind::Bot(_) => (&["imbot"], &["imbot.v2.Event.get"]),
    }
}

/// Checks whether the credential has the required scopes.
pub(super) async fn scopes(source: &SourceConfig, client: &PortalClient) -> Finding {
    let granted = match account::scopes(client).await {
        Ok(granted) => granted,
        Err(refusal) => return Finding::refused(SCOPES, &refusal),
    };
    let (needed, _) = needs(source);
    let is_granted = |scope: &&str| granted.iter().any(|granted| granted.eq_ignore_ascii_case(scope));
    let missing: Vec<&str> = needed.iter().copied().filter(|scope| !is_granted(scope)).collect();
    if missing.is_empty() {
        return Finding::ok(SCOPES, needed.join(", "));
    }
    let missing = missing.iter().map(|scope| format!("`{scope}`")).collect::<Vec<_>>().join(" and ");
    let hint = if source.webhook().is_some() {
        format!("edit the incoming webhook and tick the scope {missing}")
    } else {
        let name = &source.name;
        format!("give the application the scope {missing}, then `b24relay login {name}` again")
    };
    Finding::fail(SCOPES, Exit::Refused, format!("the credential lacks {missing}"), hint)
}

/// Checks whether the portal offers the methods. Its answer is not reliable, so a missing method is a warning.
pub(super) async fn methods(source: &SourceConfig, client: &PortalClient) -> Finding {
    let (_, needed) = needs(source);
    let mut lacking = Vec::new();
    for method in needed {
        match account::availability(client, method).await {
            Err(refusal) => return Finding::refused(METHODS, &refusal),
            Ok(availability) if !availability.is_existing => lacking.push(format!("`{method}` is unknown")),
            Ok(availability) if !availability.is_available => {
                lacking.push(format!("`{method}` is not allowed"));
            }
            Ok(_) => {}
        }
    }
    if lacking.is_empty() {
        return Finding::ok(METHODS, needed.join(", "));
    }
    let hint = "not final, a portal remembers such a no for up to 7 days: if polling fails as well, update the portal";
    Finding::warn(METHODS, lacking.join(", "), hint)
}

/// Checks whether the bot can see the messages in group chats (PORTAL.md N6).
pub(super) async fn bot(bot: &BotConfig, client: &PortalClient) -> Finding {
    let listed = match bots::list_v2(client, bot.token.as_ref()).await {
        Ok(listed) => listed,
        Err(refusal) => return Finding::skip(BOT, format!("the portal does not say what it is: {refusal}")),
    };
    let Some(found) = listed.iter().find(|other| other.id == bot.id) else {
        return Finding::skip(BOT, "the portal does not list it among those of this application or token");
    };
    if found.kind.eq_ignore_ascii_case("bot") {
        let detail =
            "it is of type `bot`: from group chats it gets only messages that mention it, and commands";
        let hint = "where it must see every message, register it as `personal` or `supervisor`; else nothing is to be done";
        return Finding::warn(BOT, detail, hint);
    }
    Finding::ok(BOT, format!("of type `{}`", found.kind))
}

/// Compares the portal's clock with the clock of this machine.
pub(super) async fn clock(client: &PortalClient) -> Finding {
    let skew = match account::clock_skew(client).await {
        Ok(skew) => skew,
        Err(refusal) => return Finding::refused(CLOCK, &refusal),
    };
    let side = if skew.is_negative() { "behind" } else { "ahead of" };
    // The portal reports whole seconds, so a smaller difference is not measurable.
    let seconds = skew.abs().as_secs();
    let detail = format!("the portal is {seconds} s {side} this machine");
    if skew.abs() > SKEW_MAX {
        return Finding::warn(CLOCK, detail, "set this machine's clock (NTP), or have the portal's set");
    }
    Finding::ok(CLOCK, if seconds == 0 { "the portal and this machine agree".to_owned() } else { detail })
}

/// Whether the checks that depend on these findings can be made.
pub(super) fn has_passed(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.state != State::Fail)
}
