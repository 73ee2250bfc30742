//! G6: the relay stays within a portal's rate limit, all sources get their share, and nothing is lost.

use std::fmt::Write as _;

use b24_sandbox::SandboxConfig;
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::expected::ledger::assert_exactly_once;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::Relay;
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;

/// The rate limit of these portals, both at once and per second: the highest value that can be configured.
const BURST: u64 = 50;
const RATE: u64 = 100;

const WARNING: &str = "more polls than the portal allows";

async fn portal_of(users: u64, bucket: Value) -> Portal {
    let users = u32::try_from(users).unwrap();
    let portal =
        Portal::start_with(SandboxConfig { users, subscribed: true, ..SandboxConfig::default() }).await;
    portal.post("portal", json!({"bucket": bucket})).await;
    portal
}

/// The sources `user1` and so on, with their own files, and the configured rate limit of the portal.
fn setup_of(portal: &Portal, users: u64, idle: &str) -> Setup {
    let mut text = format!(
        "log.level = \"debug\"\n[portals.\"{}\"]\nburst = {BURST}\nrate = {RATE}\n",
        portal.sandbox.address()
    );
    for user in 1..=users {
        let url = portal.webhook_url(user);
        writeln!(text, "[sources.user{user}]\nwebhook_url = \"{url}\"").unwrap();
        writeln!(text, "poll = {{ idle = \"{idle}\", busy = \"0s\", timeout = \"5s\" }}").unwrap();
    }
    let setup = Setup::new().with(&text);
    (1..=users).fold(setup, |setup, user| setup.with_file_of(&format!("user{user}")))
}

async fn limited(portal: &Portal) -> u64 {
    portal.control(Method::GET, "stats", Value::Null).await["limited"].as_u64().unwrap()
}

async fn until_polled(portal: &Portal, count: u64) {
    until(&format!("{count} polls"), async || portal.polls().await >= count).await;
}

/// How many answers a source got, according to the log.
fn answers(relay: &Relay, source: &str) -> usize {
    let (word, source) = ("polled source=", format!("source=\"{source}\""));
    relay.log().lines().filter(|line| line.contains(word) && line.contains(&source)).count()
}

/// Waits until everything recorded for the users `1..=users` is filed.
async fn until_all_filed(portal: &Portal, setup: &Setup, users: u64) {
    for user in 1..=users {
        let recorded = portal.ids(user).await;
        let filed = async || setup.filed_ids_of(&format!("user{user}")).len() >= recorded.len();
        until(&format!("everything of user {user} is filed"), filed).await;
    }
}

async fn assert_all_filed_once(portal: &Portal, setup: &Setup, users: u64) {
    for user in 1..=users {
        assert_exactly_once(&setup.filed_ids_of(&format!("user{user}")), &portal.ids(user).await);
        portal.assert_nothing_confirmed_unseen(user).await;
    }
}

#[tokio::test]
async fn ten_sources_that_ask_all_they_may_are_never_refused_and_share_alike() {
    let portal = portal_of(10, json!({"burst": BURST, "drain_per_s": RATE})).await;
    let setup = setup_of(&portal, 10, "10ms");
    let mut relay = setup.run();
    for round in 1..=4 {
        until_polled(&portal, 250 * round).await;
        for user in 1..=10 {
            portal.record(user, 3).await;
        }
    }
    until_all_filed(&portal, &setup, 10).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());

    assert_eq!(limited(&portal).await, 0);
    assert_all_filed_once(&portal, &setup, 10).await;
    let shares: Vec<usize> = (1..=10).map(|user| answers(&relay, &format!("user{user}"))).collect();
    let mean = shares.iter().sum::<usize>() / shares.len();
    assert!(mean >= 80 && shares.iter().all(|share| *share >= mean / 2), "{shares:?}");

    let log = relay.log();
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains(WARNING)).collect();
    // Ten sources take turns of a ninetieth of a second.
    assert!(warnings.len() == 1 && warnings[0].contains("interval_ms=111"), "{warnings:?}");
}

#[tokio::test]
async fn polls_that_fit_are_no_reason_for_a_warning() {
    let portal = portal_of(2, Value::Null).await;
    let setup = setup_of(&portal, 2, "100ms");
    let mut relay = setup.run();
    until_polled(&portal, 4).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert!(!relay.log().contains(WARNING), "{}", relay.log());
}

#[tokio::test]
async fn a_portal_that_bears_less_than_configured_is_asked_less() {
    let portal = portal_of(10, json!({"burst": BURST, "drain_per_s": RATE})).await;
    let setup = setup_of(&portal, 10, "10ms");
    let mut relay = setup.run();
    until_polled(&portal, 100).await;
    // Other applications behind the same IP address start to use four fifths of the limit. While the portal's clock stands
    // still, nothing drains: even a machine too slow for a fifth of the limit makes one call too many.
    portal.post("clock", json!({"freeze": true})).await;
    portal.post("portal", json!({"bucket": {"burst": BURST / 5, "drain_per_s": RATE / 5}})).await;
    until("the portal refuses a call", async || limited(&portal).await > 0).await;
    portal.post("clock", json!({"freeze": false})).await;
    for user in 1..=10 {
        portal.record(user, 3).await;
    }
    // Faster polls would fill the portal's bucket earlier.
    let mut since = (0, 0);
    until("sixty polls in a row are answered", async || {
        let (polls, refusals) = (portal.polls().await, limited(&portal).await);
        if refusals > since.1 {
            since = (polls, refusals);
        }
        polls >= since.0 + 60
    })
    .await;
    until_all_filed(&portal, &setup, 10).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_all_filed_once(&portal, &setup, 10).await;
}

/// Two sources. The first one alone uses up the operating time, which stops the second one too.
async fn strained_pair(limit_s: Option<u32>) -> (Portal, Setup, Relay) {
    let portal = portal_of(2, Value::Null).await;
    portal.post("clock", json!({"freeze": true})).await;
    portal.post("portal", json!({"execution_s": 60, "operating_limit_s": limit_s})).await;
    portal.fault(json!({"kind": "error", "status": 403, "code": "PORTAL_DELETED", "user": 2})).await;
    let setup = setup_of(&portal, 2, "10ms");
    let relay = setup.run();
    relay.until_logged("the portal refuses this source").await;
    (portal, setup, relay)
}

/// From here on no call uses operating time, and the second source calls again.
async fn let_the_other_go_on(portal: &Portal, relay: &Relay) {
    portal.post("portal", json!({"execution_s": 0})).await;
    relay.signal(Signal::HUP);
    let before = answers(relay, "user2");
    until("the other source goes on", async || answers(relay, "user2") >= before + 50).await;
}

/// The window of the operating time ends, and the sources poll immediately.
async fn let_the_window_pass(portal: &Portal, relay: &Relay) {
    portal.post("clock", json!({"advance_s": 601})).await;
    relay.signal(Signal::HUP);
}

#[tokio::test]
async fn a_source_whose_operating_time_runs_short_slows_down_alone() {
    let (portal, setup, mut relay) = strained_pair(None).await;
    // Six calls of a minute each exceed four fifths of the limit.
    until("six answers", async || answers(&relay, "user1") >= 6).await;
    relay
        .until_logged("nearly used up: polling only every `poll.idle_max` code=B24-P11 source=\"user1\"")
        .await;
    let_the_other_go_on(&portal, &relay).await;
    let_the_other_go_on(&portal, &relay).await;
    assert!(answers(&relay, "user1") <= 8, "6, and one for each nudge: {}", relay.log());

    let_the_window_pass(&portal, &relay).await;
    until("the old pace again", async || answers(&relay, "user1") >= 30).await;
    relay.until_logged("operating time has recovered source=\"user1\"").await;
    for user in [1, 2] {
        portal.record(user, 5).await;
    }
    until_all_filed(&portal, &setup, 2).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_all_filed_once(&portal, &setup, 2).await;
}

/// How long the source waits after its operating time was used up, according to the log.
async fn pause_of(relay: &Relay) -> u64 {
    relay.until_logged("OPERATION_TIME_LIMIT (HTTP 429)").await;
    let log = relay.log();
    let line = log.lines().find(|line| line.contains("OPERATION_TIME_LIMIT")).unwrap();
    assert!(line.contains("source=\"user1\""), "{line}");
    line.split_once("delay_ms=").unwrap().1.split(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_limit_that_others_have_used_up_is_looked_at_again_every_minute() {
    // Our own calls have used less than the limit that every portal grants.
    let (_portal, _setup, relay) = strained_pair(Some(100)).await;
    assert_eq!(pause_of(&relay).await, 60_000);
}

#[tokio::test]
async fn a_source_whose_operating_time_is_used_up_waits_for_the_reset_alone() {
    let blocked = async |portal: &Portal| {
        portal.control(Method::GET, "stats", Value::Null).await["blocked"].as_u64().unwrap()
    };
    let (portal, setup, mut relay) = strained_pair(Some(350)).await;
    // Six calls of a minute each; the seventh is refused.
    until("six answers", async || answers(&relay, "user1") >= 6).await;
    let_the_other_go_on(&portal, &relay).await;
    // The portal has said when: ten minutes after the first call, which is also the longest pause.
    let delay_ms = pause_of(&relay).await;
    assert!((500_000..=600_000).contains(&delay_ms), "{delay_ms}");

    portal.record(1, 5).await;
    portal.record(2, 5).await;
    let_the_other_go_on(&portal, &relay).await;
    until("the other is filed", async || setup.filed_ids_of("user2") == portal.ids(2).await).await;
    assert!(setup.filed_ids_of("user1").is_empty() && blocked(&portal).await <= 2, "{}", relay.log());

    let_the_window_pass(&portal, &relay).await;
    until_all_filed(&portal, &setup, 2).await;
    assert!(blocked(&portal).await <= 2, "{}", relay.log());
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_all_filed_once(&portal, &setup, 2).await;
}
