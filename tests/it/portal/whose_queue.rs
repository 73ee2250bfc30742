//! Checks before any confirmation: is it still the queue of the recorded offsets, and does the portal record events for
//! it?

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::expected::ledger::assert_exactly_once;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{code, finished, stderr};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;

/// A portal whose relay has delivered and confirmed five events of user 1.
pub(crate) async fn used() -> (Portal, Setup) {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 5).await;
    setup.drain().await;
    setup.drain().await;
    assert_eq!(portal.stats(1).await["confirmed"], 5);
    (portal, setup)
}

/// The number of events of user 1 that were confirmed, that were confirmed unread, and that wait.
pub(crate) async fn counts(portal: &Portal) -> [u64; 3] {
    let stats = portal.stats(1).await;
    ["confirmed", "confirmed_unserved", "pending"].map(|key| stats[key].as_u64().unwrap())
}

async fn answer_as(portal: &Portal, user: &Value) {
    let fault = json!({"kind": "rewrite", "method": "profile", "pointer": "/result/ID", "value": user, "times": 1000});
    portal.post("faults", fault).await;
}

#[tokio::test]
async fn a_credential_of_somebody_else_confirms_nothing() {
    for user in [json!("2"), json!(2)] {
        let portal = Portal::start().await;
        let setup = Setup::new().with_source(&portal).with_file();
        portal.record(1, 3).await;
        answer_as(&portal, &user).await;
        let hint = ["give the source a webhook of user 1", "`b24relay offset set support 1 --new-queue`"];
        setup.assert_refused(77, &[["user 1", "user 2"], hint].concat()).await;
        assert_eq!(portal.polls().await, 0, "it was not even looked at");
        let trouble = setup.status_of("support").await["trouble"].clone();
        assert!(trouble.as_str().unwrap().contains("user 2"), "{trouble}");
        portal.control(Method::DELETE, "faults", Value::Null).await;
        setup.drain().await;
        assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
    }
}

#[tokio::test]
async fn a_credential_that_changed_hands_is_noticed_at_the_next_start() {
    let (portal, setup) = used().await;
    portal.record(1, 3).await;
    answer_as(&portal, &json!(2)).await;
    let polls = portal.polls().await;
    setup.assert_refused(77, &["user 2", "user 1"]).await;
    assert_eq!((portal.polls().await, counts(&portal).await), (polls, [5, 0, 3]));
}

#[tokio::test]
async fn a_stranger_s_source_is_parked_and_the_others_run() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_user(&portal, "sales", 2, 1000).with_file();
    let fault = json!({"kind": "rewrite", "pointer": "/result/ID", "value": "7", "method": "profile", "user": 1, "times": 1000});
    portal.post("faults", fault).await;
    portal.record(1, 3).await;
    portal.record(2, 3).await;
    let mut relay = setup.run();
    until("the other source delivers", async || setup.filed_count() == 3).await;
    relay.until_logged("user 7").await;
    assert!(relay.is_running());
    assert_eq!(portal.stats(1).await["served"], 0);
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_exactly_once(&setup.filed_ids(), &portal.ids(2).await);
}

#[tokio::test]
async fn check_tells_of_a_stranger_whatever_the_source_reads_of_the_user() {
    let portal = Portal::start().await;
    portal.post("users/1", json!({"scopes": ["im", "imbot"]})).await;
    let bot = portal.post("bots", json!({"code": "helper", "token": "secret"})).await["id"].clone();
    answer_as(&portal, &json!(2)).await;
    let url = portal.webhook_url(1);
    for (keys, expected) in [
        ("", 78),
        (&*format!("kind = \"bot\"\nbot_id = {bot}\nbot_token = \"secret\"\nwith_user_events = true"), 78),
        (&*format!("kind = \"bot\"\nbot_id = {bot}\nbot_token = \"secret\""), 0),
    ] {
        let setup = Setup::new()
            .with_file()
            .with(&format!("[sources.support]\nwebhook_url = \"{url}\"\n{keys}\npoll = {{ idle = \"5s\" }}"));
        let checked = finished(&["check", "--json"], setup.folder()).await;
        let report: Value = serde_json::from_slice(&checked.stdout).unwrap();
        assert_eq!(code(&checked), expected, "{keys}: {report:#}");
        if expected != 0 {
            let text = report.to_string();
            assert!(text.contains("user 2") && text.contains("/user/1"), "{report:#}");
        }
    }
}

#[tokio::test]
async fn another_user_s_webhook_names_the_command_that_settles_it() {
    let (portal, setup) = used().await;
    let before = portal.ids(1).await;
    let setup = setup.anew().with_user(&portal, "support", 2, 1000).with_file();
    portal.record(2, 4).await;
    let polls = portal.polls().await;
    setup.assert_mistaken(&["`b24relay offset set support 1 --new-queue`"]).await;
    let refused = finished(&["offset", "set", "support", "1"], setup.folder()).await;
    assert_eq!(code(&refused), 78, "{}", stderr(&refused));
    assert!(stderr(&refused).contains("`b24relay offset set support 1 --new-queue`"));
    assert_eq!(portal.polls().await, polls);

    let settled = finished(&["offset", "set", "support", "1", "--new-queue"], setup.folder()).await;
    assert_eq!(code(&settled), 0, "{}", stderr(&settled));
    setup.drain().await;
    assert_exactly_once(&setup.filed_ids(), &[before, portal.ids(2).await].concat());
    let identity = setup.status_of("support").await["identity"].clone();
    assert!(identity.as_str().unwrap().ends_with("/user/2"), "{identity}");
}

#[tokio::test]
async fn every_start_renews_the_subscription() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    for starts in 1..=3 {
        // The subscription was ended in the meantime: a user's queue does not show it (PORTAL.md 2.3).
        portal.post("users/1", json!({"subscribed": false})).await;
        setup.drain().await;
        let stats = portal.stats(1).await;
        assert_eq!((&stats["subscribes"], &stats["subscribed"]), (&json!(starts), &json!(true)));
        portal.record(1, 2).await;
    }
    setup.drain().await;
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
}

#[tokio::test]
async fn a_subscription_refused_at_the_start_keeps_the_source_from_polling() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 2).await;
    let fault = json!({"kind": "error", "method": "im.v2.Event.subscribe", "status": 403, "code": "ACCESS_DENIED", "times": 1_000_000});
    portal.post("faults", fault).await;
    setup.assert_refused(77, &["im.v2.Event.subscribe"]).await;
    assert_eq!(portal.polls().await, 0);
    portal.control(Method::DELETE, "faults", Value::Null).await;
    setup.drain().await;
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
}
