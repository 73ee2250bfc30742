//! Two sources cannot read the same queue, if that is known before the first request.

use std::fmt::Write as _;

use super::{SMALL, assert_refused};

const OWN: &str = "oauth = { portal = 'https://a.example', client_id = 'x', client_secret = 'y' }";
const BEHIND: &str = "they would take each other's events: ";

/// Sources `a`, `b` and so on with these keys, one line each.
fn sources(keys: &[&str]) -> String {
    let mut text = "[sinks.out]\ntype = 'stdout'\n".to_owned();
    for (name, keys) in ('a'..).zip(keys) {
        writeln!(text, "[sources.{name}]\n{}", keys.replace("; ", "\n")).unwrap();
    }
    text
}

fn webhook(user: u64) -> String {
    format!("webhook_url = 'https://a.example/rest/{user}/x'")
}

fn bot(id: u64, rest: &str) -> String {
    let token = if rest.contains("webhook") { "; bot_token = 'x'" } else { "" };
    format!("kind = 'bot'; bot_id = {id}{token}; {rest}")
}

#[test]
fn two_sources_never_share_a_queue() {
    let text = format!("{SMALL}\n[sources.b]\nwebhook_url = 'https://A.example:443/rest/1/other'");
    assert_refused(
        &text,
        &[&format!(
            "sources.b.webhook_url: reads the same queue as `sources.a` (`a.example/user/1`), {BEHIND}\
             remove one and let several sinks take the other"
        )],
    );
    assert_refused(&sources(&[&webhook(1), &webhook(2)]), &[]);
    let thrice = sources(&[&webhook(1), &webhook(1), &webhook(1)]);
    assert_refused(
        &thrice,
        &["queue as `sources.a`", "sources.c.webhook_url: reads the same queue as `sources.a`"],
    );
}

#[test]
fn two_sources_never_share_a_bot_whatever_their_credentials_are() {
    let expected = "reads the same queue as `sources.a` (`a.example/bot/5`)";
    let by_webhooks = [bot(5, &webhook(1)), bot(5, &webhook(2))];
    assert_refused(
        &sources(&[&by_webhooks[0], &by_webhooks[1]]),
        &[&format!("sources.b.bot_id: {expected}")],
    );
    let by_grant = [&bot(5, &webhook(1)), &bot(5, "oauth.grant = 'c'"), OWN];
    assert_refused(&sources(&by_grant), &[&format!("sources.b.bot_id: {expected}")]);
    let different = [&bot(5, &webhook(1)), &bot(6, &webhook(1)), &bot(7, OWN), &webhook(1)];
    assert_refused(&sources(&different.map(String::as_str)), &[]);
    let elsewhere = bot(5, "webhook_url = 'https://b.example/rest/1/x'");
    assert_refused(&sources(&[&bot(5, &webhook(1)), &elsewhere]), &[]);
}

#[test]
fn the_events_of_a_webhooks_user_go_to_one_source_only() {
    let with_user_events = |id, user| bot(id, &format!("{}; with_user_events = true", webhook(user)));
    let expected = format!(
        "reads the same queue as `sources.a` (`a.example/user/1`), {BEHIND}leave the user's events to one of them"
    );
    assert_refused(
        &sources(&[&webhook(1), &with_user_events(5, 1)]),
        &[&format!("sources.b.with_user_events: {expected}")],
    );
    assert_refused(
        &sources(&[&with_user_events(5, 1), &webhook(1)]),
        &[&format!("sources.b.webhook_url: {expected}")],
    );
    assert_refused(
        &sources(&[&with_user_events(5, 1), &with_user_events(6, 1)]),
        &[&format!("sources.b.with_user_events: {expected}")],
    );
    assert_refused(&sources(&[&webhook(1), &with_user_events(5, 2), &with_user_events(6, 3)]), &[]);
    // One error per source is enough, even if both of its queues are shared.
    let all_shared = [with_user_events(5, 1), with_user_events(5, 1)];
    assert_refused(&sources(&[&all_shared[0], &all_shared[1]]), &["sources.b.bot_id: reads the same queue"]);
}

#[test]
fn the_events_of_a_logins_user_go_to_one_source_only() {
    let of_a = "(that of the user who logs in for `sources.a`)";
    let user_events = bot(5, "with_user_events = true; oauth.grant = 'a'");
    assert_refused(
        &sources(&[OWN, "oauth.grant = 'a'"]),
        &[&format!("sources.b.oauth.grant: reads the same queue as `sources.a` {of_a}")],
    );
    assert_refused(
        &sources(&[OWN, &user_events]),
        &[&format!("sources.b.with_user_events: reads the same queue as `sources.a` {of_a}")],
    );
    assert_refused(
        &sources(&["oauth.grant = 'b'", OWN]),
        &[
            "sources.b.oauth: reads the same queue as `sources.a` (that of the user who logs in for `sources.b`)",
        ],
    );
    let bots = [&bot(4, OWN), &user_events, &bot(6, "with_user_events = true; oauth.grant = 'a'")];
    assert_refused(
        &sources(&bots.map(String::as_str)),
        &[&format!("sources.c.with_user_events: reads the same queue as `sources.b` {of_a}")],
    );
    // The users behind the logins are unknown here: two logins may be two users, or a user who also has a
    // webhook.
    assert_refused(&sources(&[OWN, OWN, &webhook(1), &bot(5, "oauth.grant = 'a'")]), &[]);
}
