//! Refusals of a bot's source: each refusal parks only that source and reports a hint, and the source resumes after the
//! fix.

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::bots::bot_sources::{
    Access, BOTH, TOKEN, USER_EVENTS, owned, portal_with_bot, record, with_helper,
};
use crate::support::expected::ledger::assert_exactly_once;
use crate::support::portal::application::CLIENT_ID;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{code, finished, stderr, stdout};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;

const GET: &str = "imbot.v2.Event.get";

/// A source `helper` of a bot and a source `sales` of user 2.
async fn setup(portal: &Portal, bot: u64, access: Access, keys: &str) -> Setup {
    let setup = Setup::new().with_user(portal, "sales", 2, 1000).with_file();
    with_helper(setup, portal, bot, access, keys).await
}

/// Makes the portal refuse the bot's source with `refusal`, without a scripted fault where possible.
async fn strike(portal: &Portal, setup: &Setup, bot: u64, access: Access, refusal: &str) {
    match (refusal, access) {
        ("BOT_NOT_FOUND", _) => {
            let id = bot.to_string();
            let args = ["bots", "unregister", "helper", "--bot-id", &id, "--v2", "--yes"];
            let gone = finished(&args, setup.folder()).await;
            assert_eq!(code(&gone), 0, "{}", stderr(&gone));
        }
        ("BOT_OWNERSHIP_ERROR", _) => {
            portal.post("bots", json!({"id": bot, "token": "another"})).await;
        }
        ("SCOPE_ERROR", Access::Webhook) => {
            portal.post("users/1", json!({"scopes": ["imbot"]})).await;
        }
        ("SCOPE_ERROR", Access::OAuth) => {
            portal.post("apps", json!({"client_id": CLIENT_ID, "scopes": ["imbot"]})).await;
        }
        _ => {
            let fault = json!({"kind": "error", "method": GET, "status": 400, "code": refusal});
            portal.post("faults", with_times(fault)).await;
        }
    }
}

fn with_times(mut fault: Value) -> Value {
    fault["times"] = 100_000.into();
    fault
}

/// Reverts the change of [`strike`].
async fn mend(portal: &Portal, bot: u64, access: Access) {
    portal.post("bots", owned(access, &json!({"id": bot}))).await;
    portal.post("users/1", json!({"scopes": ["im", "imbot"]})).await;
    portal.post("apps", json!({"client_id": CLIENT_ID, "scopes": ["im", "imbot"]})).await;
    portal.control(Method::DELETE, "faults", Value::Null).await;
}

/// How many lines of the file came from `source`.
fn filed_from(setup: &Setup, source: &str) -> usize {
    let text = std::fs::read_to_string(setup.path("events.jsonl")).unwrap_or_default();
    text.matches(&format!("\"source\":\"{source}\"")).count()
}

/// One refusal from its beginning to its end, beside a source that must not be affected.
async fn assert_parks_alone(access: Access, refusal: &str, hint: &str) {
    let (portal, bot) = portal_with_bot(access).await;
    let setup = setup(&portal, bot, access, USER_EVENTS).await;
    record(&portal, bot, 3).await;
    let mut relay = setup.run();
    until("the bot's events are filed", async || filed_from(&setup, "helper") == 3).await;

    strike(&portal, &setup, bot, access, refusal).await;
    relay.until_logged(hint).await;
    let trouble = async || setup.status_of("helper").await["trouble"].as_str().unwrap().to_owned();
    until("status tells", async || trouble().await.contains(refusal) && trouble().await.contains(hint)).await;
    let asked = portal.requests_of(GET).await;
    for round in 1..=3 {
        portal.record(2, 5).await;
        until("the other source goes on", async || filed_from(&setup, "sales") == round * 5).await;
    }
    assert_eq!(portal.requests_of(GET).await, asked, "{refusal}: probes are slow");
    assert_eq!(setup.status_of("sales").await["trouble"], "", "{refusal}");

    mend(&portal, bot, access).await;
    record(&portal, bot, 2).await;
    relay.signal(Signal::HUP);
    until("the bot's events are filed again", async || filed_from(&setup, "helper") == 5).await;
    until("status is well again", async || trouble().await.is_empty()).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert!(!relay.log().contains(TOKEN), "{}", relay.log());
    assert_eq!(portal.bot_stats(bot).await["confirmed_unserved"], 0);
}

#[tokio::test]
async fn a_bot_that_is_gone_parks_its_source() {
    for access in BOTH {
        assert_parks_alone(access, "BOT_NOT_FOUND", "register it again and correct `bot_id`").await;
    }
}

#[tokio::test]
async fn a_bot_that_changed_hands_parks_its_source() {
    assert_parks_alone(Access::Webhook, "BOT_OWNERSHIP_ERROR", "correct `bot_token`").await;
    assert_parks_alone(Access::OAuth, "BOT_OWNERSHIP_ERROR", "the bot belongs to another application").await;
}

#[tokio::test]
async fn a_scope_taken_away_parks_its_source() {
    assert_parks_alone(Access::Webhook, "SCOPE_ERROR", "edit the incoming webhook and tick the scopes").await;
    assert_parks_alone(Access::OAuth, "SCOPE_ERROR", "then `b24relay login helper`").await;
}

#[tokio::test]
async fn what_only_a_fault_can_bring_parks_the_source_too() {
    for (refusal, hint) in [
        ("BOT_TOKEN_NOT_SPECIFIED", "complete the bot's keys"),
        ("CLIENT_ID_NOT_SPECIFIED", "complete the bot's keys"),
        ("BOT_ID_REQUIRED", "complete the bot's keys"),
        ("AUTH_ERROR", "create the incoming webhook again"),
    ] {
        assert_parks_alone(Access::Webhook, refusal, hint).await;
    }
}

#[tokio::test]
async fn a_bot_refused_at_the_start_ends_a_drain_and_no_daemon() {
    for (refusal, hint) in
        [("BOT_NOT_FOUND", "register it again"), ("BOT_OWNERSHIP_ERROR", "correct `bot_token`")]
    {
        let (portal, bot) = portal_with_bot(Access::Webhook).await;
        let setup = with_helper(Setup::new().with_file(), &portal, bot, Access::Webhook, "").await;
        record(&portal, bot, 3).await;
        strike(&portal, &setup, bot, Access::Webhook, refusal).await;
        let said = setup.assert_refused(77, &[refusal, hint]).await;
        assert!(!said.contains(TOKEN), "{said}");
        let tap = finished(&["tap", "helper", "--once"], setup.folder()).await;
        assert_eq!(code(&tap), 77, "{}", stderr(&tap));
        assert!(stderr(&tap).contains(refusal) && stderr(&tap).contains(hint));
        assert!(!stderr(&tap).contains(TOKEN), "{}", stderr(&tap));
    }
}

#[tokio::test]
async fn a_subscription_ended_by_somebody_else_is_renewed_and_the_hole_is_told() {
    for access in BOTH {
        let (portal, bot) = portal_with_bot(access).await;
        let setup = setup(&portal, bot, access, USER_EVENTS).await;
        let mut relay = setup.run();
        for losses in 1..=2 {
            record(&portal, bot, 2).await;
            portal.record(1, 2).await;
            until("all are filed", async || filed_from(&setup, "helper") == losses * 4).await;
            portal.post("users/1", json!({"subscribed": false})).await;
            until("it subscribes again", async || portal.stats(1).await["subscribed"] == true).await;
            until("it is counted", async || setup.status_of("helper").await["losses"] == losses).await;
        }
        record(&portal, bot, 2).await;
        portal.record(1, 2).await;
        until("all are filed", async || filed_from(&setup, "helper") == 12).await;
        until("it is well", async || setup.status_of("helper").await["trouble"] == "").await;
        assert_eq!(relay.log().matches("the subscription was lost").count(), 2, "{}", relay.log());
        assert!(!relay.log().contains("ERROR"), "nobody is needed: {}", relay.log());
        let status = stdout(&finished(&["status"], setup.folder()).await);
        let of = |name: &str| {
            status.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap().to_owned()
        };
        assert!(of("helper").contains(" polling "), "{status}");
        assert!(status.contains("helper: the subscription was lost 2 times"), "{status}");
        assert!(of("sales").contains(" polling "), "{status}");
        assert_eq!(relay.stop().await, 0, "{}", relay.log());
        assert_eq!(setup.status_of("helper").await["losses"], 2, "it outlives the run");
        assert_eq!(portal.stats(1).await["subscribes"], 3);
    }
}

#[tokio::test]
async fn a_subscription_that_is_lost_again_at_once_parks_the_source() {
    assert_parks_alone(Access::Webhook, "USER_NOT_SUBSCRIBED", "run `b24relay subscribe helper`").await;
}

#[tokio::test]
async fn a_lost_subscription_does_not_end_a_drain() {
    let (portal, bot) = portal_with_bot(Access::Webhook).await;
    let setup = with_helper(Setup::new().with_file(), &portal, bot, Access::Webhook, USER_EVENTS).await;
    record(&portal, bot, 3).await;
    let fault = json!({"kind": "error", "method": GET, "status": 400, "code": "USER_NOT_SUBSCRIBED"});
    portal.post("faults", fault).await;
    setup.drain().await;
    assert_exactly_once(&setup.filed_ids(), &portal.bot_ids(bot).await);
    assert_eq!(setup.status_of("helper").await["losses"], 1);
    let status = stdout(&finished(&["status"], setup.folder()).await);
    assert!(status.contains("helper: the subscription was lost once"), "{status}");
}

#[tokio::test]
async fn a_lone_bot_has_no_subscription_to_end() {
    for access in BOTH {
        let (portal, bot) = portal_with_bot(access).await;
        portal.record(1, 3).await;
        let setup = setup(&portal, bot, access, "").await;
        for args in [
            ["subscribe", "helper"].as_slice(),
            &["unsubscribe", "helper"],
            &["unsubscribe", "helper", "--discard"],
        ] {
            let refused = finished(args, setup.folder()).await;
            assert_eq!(code(&refused), 64, "{args:?}: {}", stderr(&refused));
            assert!(stderr(&refused).contains("`with_user_events`"), "{}", stderr(&refused));
        }
        let stats = portal.stats(1).await;
        let untouched = (&stats["subscribes"], &stats["unsubscribes"], &stats["pending"]);
        assert_eq!(untouched, (&json!(0), &json!(0), &json!(3)), "another reader's events stay: {stats}");
    }
}

#[tokio::test]
async fn a_bot_with_its_user_is_unsubscribed_after_both_are_delivered() {
    let (portal, bot) = portal_with_bot(Access::Webhook).await;
    let setup = with_helper(Setup::new().with_file(), &portal, bot, Access::Webhook, USER_EVENTS).await;
    record(&portal, bot, 12).await;
    portal.record(1, 12).await;
    let unsubscribed = finished(&["unsubscribe", "helper"], setup.folder()).await;
    assert_eq!(code(&unsubscribed), 0, "{}", stderr(&unsubscribed));
    assert_eq!(setup.filed_count(), 24);
    assert_eq!(portal.stats(1).await["subscribed"], false);
}

/// One check of `helper`: its state, detail and hint.
fn found(report: &Value, check: &str) -> [String; 3] {
    let subject = report["sources"].as_array().unwrap().iter().find(|other| other["name"] == "helper");
    let checks = subject.unwrap()["checks"].as_array().unwrap();
    let found = checks.iter().find(|other| other["check"] == check).unwrap_or_else(|| panic!("{report:#}"));
    ["state", "detail", "hint"].map(|key| found[key].as_str().unwrap().to_owned())
}

async fn check(setup: &Setup) -> (i32, Value) {
    let checked = finished(&["check", "--json", "--log-level", "trace"], setup.folder()).await;
    assert!(!format!("{}{}", stdout(&checked), stderr(&checked)).contains(TOKEN));
    (code(&checked), serde_json::from_slice(&checked.stdout).unwrap())
}

#[tokio::test]
async fn check_looks_at_a_bot_and_touches_nothing() {
    for access in BOTH {
        let (portal, bot) = portal_with_bot(access).await;
        let setup = setup(&portal, bot, access, USER_EVENTS).await;
        record(&portal, bot, 3).await;
        portal.record(1, 4).await;
        let (code, report) = check(&setup).await;
        assert_eq!(code, 0, "{report:#}");
        for (name, words) in [
            ("credential", "user 1"),
            ("scopes", "imbot, im"),
            ("methods", "imbot.v2.Event.get"),
            ("subscription", "is subscribed"),
            ("backlog", "7 waiting"),
        ] {
            let [state, detail, _] = found(&report, name);
            assert!(state == "ok" && detail.contains(words), "{access:?} {name}: {state} {detail}");
        }
        for stats in [portal.bot_stats(bot).await, portal.stats(1).await] {
            assert_eq!((&stats["confirmed"], &stats["subscribes"]), (&json!(0), &json!(0)), "{stats}");
        }

        portal.post("users/1", json!({"subscribed": false})).await;
        let (code, report) = check(&setup).await;
        let [state, _, hint] = found(&report, "subscription");
        assert!(code == 0 && state == "warn" && hint.contains("`b24relay subscribe helper`"), "{report:#}");
        assert_eq!(portal.stats(1).await["subscribes"], 0, "a check changes nothing");
    }
}

#[tokio::test]
async fn check_tells_what_keeps_a_bot_from_being_read() {
    for access in BOTH {
        let (portal, bot) = portal_with_bot(access).await;
        let setup = setup(&portal, bot, access, "").await;
        for refusal in ["BOT_OWNERSHIP_ERROR", "BOT_NOT_FOUND", "AUTH_ERROR"] {
            mend(&portal, bot, access).await;
            strike(&portal, &setup, bot, access, refusal).await;
            let (code, report) = check(&setup).await;
            assert_eq!(code, 77, "{report:#}");
            let [state, detail, hint] = found(&report, "backlog");
            assert!(state == "fail" && detail.contains(refusal) && !hint.is_empty(), "{report:#}");
            assert_eq!(found(&report, "subscription")[1], "a bot needs none");
            assert!(!hint.contains("SOURCE"), "a hint names the source: {hint}");
        }
        mend(&portal, bot, access).await;
        portal.post("users/1", json!({"scopes": ["im"]})).await;
        portal.post("apps", json!({"client_id": CLIENT_ID, "scopes": ["im"]})).await;
        let (code, report) = check(&setup).await;
        let [state, detail, _] = found(&report, "scopes");
        assert!(code == 77 && state == "fail" && detail.contains("lacks `imbot`"), "{report:#}");
    }
}
