//! G1, G3, G4, G5 and I2 without errors and with failing sinks.

use std::collections::BTreeSet;

use b24_sandbox::SandboxConfig;
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::expected::ledger::assert_exactly_once;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{output, stdout};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::{until, until_count};
use crate::support::receivers::receiver::{Answer, Receiver};

#[tokio::test]
async fn every_event_reaches_every_sink_once_and_in_order() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    portal.record(1, 2500).await;
    let setup = Setup::new().with_source(&portal).with_file().with_stdout().with_receiver(&receiver);
    let mut relay = setup.run();
    until_count("2500 events at the receiver", 2500, async || receiver.count()).await;
    portal.record(1, 10).await;
    until("10 more events at the receiver", async || receiver.count() >= 2510).await;
    assert_eq!(relay.stop().await, 0);

    let recorded = portal.ids(1).await;
    assert_exactly_once(&setup.filed_ids(), &recorded);
    assert_exactly_once(&setup.printed_ids(), &recorded);
    assert_exactly_once(&receiver.accepted_ids(), &recorded);
    portal.assert_nothing_confirmed_unseen(1).await;
}

#[tokio::test]
async fn a_line_holds_the_bytes_that_the_portal_sent() {
    let portal = Portal::start().await;
    let odd = json!({"text": "\u{1f600}\u{2028} </b> & \u{440}", "number": 1.50, "params": [], "null": null});
    portal.record_as(json!({"user": 1, "count": 1, "data": odd})).await;
    portal.record(1, 20).await;
    let answer = portal.raw(1, "im.v2.Event.get?offset=1").await;

    let setup = Setup::new().with_source(&portal).with_file();
    let mut relay = setup.run();
    until("21 lines", async || setup.filed_count() == 21).await;
    relay.stop().await;

    let lines = std::fs::read_to_string(setup.path("events.jsonl")).unwrap();
    for line in lines.lines() {
        let payload = line.split_once(r#","data":"#).unwrap().1.strip_suffix('}').unwrap();
        assert!(answer.contains(payload), "the portal never sent {payload}");
        let event: Value = serde_json::from_str(line).unwrap();
        let keys: Vec<_> = event.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["data", "date", "eventId", "id", "source", "type"]);
    }
}

#[tokio::test]
async fn an_event_has_one_id_at_every_sink() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    portal.record(1, 50).await;
    receiver.script([Answer::Status(500), Answer::Status(503), Answer::Status(429)]);
    let setup = Setup::new().with_source(&portal).with_file().with_receiver(&receiver);
    let mut relay = setup.run();
    until("50 accepted", async || receiver.accepted_ids().len() == 50).await;
    relay.stop().await;

    let lines = std::fs::read_to_string(setup.path("events.jsonl")).unwrap();
    for line in lines.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let same = receiver.deliveries().into_iter().filter(|delivery| delivery.event_id == event["eventId"]);
        for delivery in same {
            assert_eq!(delivery.webhook_id, event["id"].as_str().unwrap());
            assert_eq!(delivery.body, event, "the body is the line");
            assert!(!delivery.webhook_id.contains('.'));
        }
    }
}

#[tokio::test]
async fn a_failing_sink_is_tried_again_alone_and_holds_the_portals_memory() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    portal.record(1, 30).await;
    receiver.answer_always(Some(500));
    let setup = Setup::new().with_source(&portal).with_file().with_stdout().with_receiver(&receiver);
    let mut relay = setup.run();
    until("some failed attempts", async || receiver.count() >= 5).await;
    until("the file has its events", async || setup.filed_count() == 30).await;
    let stats = portal.stats(1).await;
    assert_eq!((stats["confirmed"].as_u64(), stats["pending"].as_u64()), (Some(0), Some(30)));

    receiver.answer_always(None);
    until("everything accepted", async || receiver.accepted_ids().len() == 30).await;
    until("the portal may forget", async || portal.stats(1).await["pending"] == 0).await;
    relay.until_logged("sink takes events again").await;
    assert_eq!(relay.stop().await, 0);

    let recorded = portal.ids(1).await;
    assert_exactly_once(&receiver.accepted_ids(), &recorded);
    assert_exactly_once(&setup.filed_ids(), &recorded);
    assert_exactly_once(&setup.printed_ids(), &recorded);
}

#[tokio::test]
async fn an_offset_is_never_sent_before_every_sink_has_what_lies_below() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    portal.record(1, 10).await;
    // The sixth event is never answered.
    receiver
        .script(std::iter::repeat_n(Answer::Status(200), 5).chain(std::iter::repeat_n(Answer::Hang, 100)));
    let setup = Setup::new().with("[delivery]\nhold = \"forever\"").with_lag("0s").with_source(&portal);
    let setup = setup.with_file().with_silent_receiver(&receiver);
    let mut relay = setup.run();
    until("five accepted, one more tried", async || receiver.count() > 6).await;
    relay.kill();

    // The next run does not poll before the receiver has all events that the file has.
    let mut relay = setup.run();
    until("the sixth is tried again", async || receiver.count() > 9).await;
    assert_eq!(portal.stats(1).await["last_offset"], 1);
    relay.kill();
    receiver.forget_script();
    let mut relay = setup.run();
    until("all is forgotten", async || portal.stats(1).await["pending"] == 0).await;
    let recorded = portal.ids(1).await;
    assert_exactly_once(&receiver.accepted_ids()[..5], &recorded[..5]);
    assert_eq!(setup.filed_ids(), recorded);
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
}

#[tokio::test]
async fn a_receiver_that_stumbles_is_tried_again_as_it_asks() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup = Setup::new().with_source(&portal).with_silent_receiver(&receiver);
    let mut relay = setup.run();
    for status in [408, 425, 429, 500, 502, 503, 504, 599] {
        receiver.script([Answer::Status(status), Answer::Status(204)]);
        portal.record(1, 1).await;
        until(&format!("accepted after {status}"), async || receiver.pending_script() == 0).await;
    }
    // No answer within the sink's timeout.
    receiver.script([Answer::Hang, Answer::Status(200)]);
    portal.record(1, 1).await;
    until("accepted after silence", async || receiver.pending_script() == 0).await;
    // The configured delays end at 100 ms, so a longer delay was requested by the receiver.
    receiver.script([Answer::StatusWith(503, "retry-after", "1"), Answer::Status(200)]);
    portal.record(1, 1).await;
    relay.until_logged("delay_ms=1000").await;
    until("accepted after a while", async || receiver.pending_script() == 0).await;

    assert!(!relay.log().contains("sink is held"), "{}", relay.log());
    until("all forgotten", async || portal.stats(1).await["pending"] == 0).await;
    assert_eq!(relay.stop().await, 0);
    assert_exactly_once(&receiver.accepted_ids(), &portal.ids(1).await);
}

#[tokio::test]
async fn a_refusing_receiver_is_held_and_a_nudge_tries_again() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    // Delays longer than the test: only SIGHUP can end them.
    let setup = Setup::new().with_source(&portal).with(&format!(
        "[sinks.crm]\ntype = \"webhook\"\nurl = \"{}\"\nretry = {{ min = \"1h\", max = \"1h\" }}",
        receiver.url()
    ));
    let mut relay = setup.run();
    for status in [403, 401, 404, 451, 302] {
        let before = receiver.count();
        receiver.answer_always(Some(status));
        portal.record(1, 1).await;
        relay.until_logged(&format!("answered {status}")).await;
        receiver.answer_always(None);
        relay.signal(Signal::HUP);
        until("the event is accepted", async || receiver.count() == before + 2).await;
    }
    assert_eq!(relay.log().matches("sink is held").count(), 5);
    assert_eq!(relay.stop().await, 0);
    assert_exactly_once(&receiver.accepted_ids(), &portal.ids(1).await);
}

#[tokio::test]
async fn sinks_take_only_what_they_are_there_for() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    for kind in ["ONIMV2MESSAGEADD", "ONIMV2REACTIONCHANGE"] {
        portal.record_as(json!({"user": 1, "count": 7, "type": kind})).await;
        portal.record_as(json!({"user": 2, "count": 5, "type": kind})).await;
    }
    let setup = Setup::new()
        .with_user(&portal, "support", 1, 4)
        .with_user(&portal, "sales", 2, 1000)
        .with_file()
        .with_receiver(&receiver)
        .with("sources = [\"sales\"]\nevents = [\"onimv2reactionchange\"]");
    let mut relay = setup.run();
    until("24 lines", async || setup.filed_count() == 24).await;
    until("all forgotten", async || portal.stats(2).await["pending"] == 0).await;
    assert_eq!(relay.stop().await, 0);

    let types: Vec<_> =
        receiver.deliveries().into_iter().map(|delivery| delivery.body["type"].clone()).collect();
    assert_eq!(types, vec!["ONIMV2REACTIONCHANGE"; 5]);
    let status = stdout(&output(&["status", "--json"], setup.folder()));
    let status: Value = serde_json::from_str(&status).unwrap();
    let lane = |source: &str, sink: &str| {
        let lanes = status["lanes"].as_array().unwrap().iter();
        lanes.clone().find(|lane| lane["source"] == source && lane["sink"] == sink).cloned()
    };
    let filtered = lane("sales", "crm").unwrap();
    assert_eq!((filtered["delivered"].as_u64(), filtered["filtered"].as_u64()), (Some(5), Some(5)));
    assert_eq!(lane("support", "archive").unwrap()["delivered"], 14);
    assert_eq!(lane("support", "crm"), None);
}

#[tokio::test]
async fn a_long_backlog_is_read_page_by_page_without_idling() {
    let portal = Portal::start().await;
    portal.record(1, 1000).await;
    // An idle pause longer than the test.
    let setup = Setup::new()
        .with_unlimited(&portal)
        .with("[delivery]\nhold = \"0s\"")
        .with(&format!(
            "[sources.support]\nwebhook_url = \"{}\"\nconfirm_lag = \"0s\"\npoll = {{ idle = \"5m\", busy = \"0s\", limit = 10 }}",
            portal.webhook_url(1)
        ))
        .with_file();
    let mut relay = setup.run();
    until("1000 lines", async || setup.filed_count() == 1000).await;
    until("all forgotten", async || portal.stats(1).await["pending"] == 0).await;
    relay.stop().await;
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
    assert_eq!(portal.stats(1).await["served_again"], 0, "nobody had to ask twice");
    assert!(portal.polls().await >= 100);
}

#[tokio::test]
async fn a_run_subscribes_its_user_by_itself() {
    let portal = Portal::start_with(SandboxConfig::default()).await;
    let setup = Setup::new().with_source(&portal).with_file();
    let mut relay = setup.run();
    until("subscribed", async || portal.stats(1).await["subscribed"] == true).await;
    portal.record(1, 3).await;
    until("3 lines", async || setup.filed_count() == 3).await;
    assert_eq!(relay.stop().await, 0);
}

#[tokio::test]
async fn a_sink_that_is_ahead_is_not_made_to_repeat_by_one_that_is_behind() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    portal.record(1, 30).await;
    receiver.answer_always(Some(503));
    let setup = Setup::new().with_source(&portal).with_stdout().with_receiver(&receiver);
    let printed = portal.ids(1).await[29] + 1;
    for _ in 0..3 {
        let attempts = receiver.count();
        let mut relay = setup.run();
        until("printed and committed", async || setup.committed_offset("support", "console") == printed)
            .await;
        until("the receiver was tried", async || receiver.count() > attempts).await;
        relay.kill();
    }
    receiver.answer_always(None);
    let mut relay = setup.run();
    // The last request of a killed relay may have been accepted too.
    let accepted = || receiver.accepted_ids().into_iter().collect::<BTreeSet<u64>>();
    until("everything accepted", async || accepted().len() == 30).await;
    assert_eq!(relay.stop().await, 0);
    assert_exactly_once(&setup.printed_ids(), &portal.ids(1).await);
    // An error of a killed run is not an error of the next one.
    let status: Value =
        serde_json::from_str(&stdout(&output(&["status", "--json"], setup.folder()))).unwrap();
    let lanes = status["lanes"].as_array().unwrap();
    assert!(lanes.len() == 2 && lanes.iter().all(|lane| lane["trouble"] == ""), "{status}");
}

#[tokio::test]
async fn one_sources_trouble_is_not_anothers() {
    let portal = Portal::start().await;
    portal.control(Method::POST, "users/2", json!({"active": false})).await;
    portal.record(1, 5).await;
    let setup =
        Setup::new().with_user(&portal, "support", 1, 1000).with_user(&portal, "sales", 2, 1000).with_file();
    let mut relay = setup.run();
    until("5 lines", async || setup.filed_count() == 5).await;
    relay.until_logged("the portal refuses this source").await;
    portal.control(Method::POST, "users/2", json!({"active": true})).await;
    portal.record_as(json!({"user": 2, "count": 5, "force": true})).await;
    relay.signal(Signal::HUP);
    until("10 lines", async || setup.filed_count() == 10).await;
    assert_eq!(relay.stop().await, 0);
}
