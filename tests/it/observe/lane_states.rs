//! The states of a lane: flowing, retrying, held, draining; and the report of `status` about the lane and its source.

use std::fs;

use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::expected::ledger::assert_exactly_once;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{finished, stdout};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::{Answer, Receiver};

const TRANSIENT: [u16; 9] = [408, 425, 429, 500, 502, 503, 504, 507, 599];
const REJECTED: [u16; 10] = [400, 406, 411, 413, 414, 415, 422, 431, 501, 505];
const HELD: [u16; 17] = [300, 301, 302, 307, 308, 401, 402, 403, 404, 405, 407, 409, 418, 421, 451, 499, 600];

async fn table(setup: &Setup) -> String {
    stdout(&finished(&["status"], setup.folder()).await)
}

#[tokio::test]
async fn a_sink_that_never_took_anything_lacks_only_events_that_the_journal_has() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let before = Setup::new().with_lag("0s").with_source(&portal).with_file();
    portal.record(1, 3).await;
    // The portal deletes them in the second run, and the journal in the third.
    for _ in 0..3 {
        before.drain().await;
    }
    receiver.answer_always(Some(503));
    let file = std::fs::read_to_string(before.path("b24relay.toml")).unwrap();
    let setup = before.with_receiver(&receiver);
    portal.record(1, 2).await;
    let mut relay = setup.run();
    let lane = setup.until_crm_is("retrying").await;
    assert_eq!((&lane["next"], &lane["pending"]), (&json!(4), &json!(2)), "{lane}");
    assert_eq!(relay.stop().await, 0, "{}", relay.log());

    fs::write(setup.path("b24relay.toml"), file).unwrap();
    let mut relay = setup.run();
    relay.until_logged("the journal keeps its events").await;
    assert!(relay.log().contains("sink=\"crm\" backlog=2 "), "{}", relay.log());
    assert_eq!(setup.lane_of("crm").await["pending"], 2);
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
}

#[tokio::test]
async fn every_status_has_its_consequence_for_the_event() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup = Setup::new().with_source(&portal).with_receiver(&receiver);
    let mut relay = setup.run();
    let mut buried = Vec::new();
    for status in [200, 201, 202, 204, 299].into_iter().chain(TRANSIENT).chain(REJECTED).chain(HELD) {
        let before = receiver.count();
        // The relay may deliver an event before the portal has told its id: the answers are set beforehand.
        if REJECTED.contains(&status) {
            receiver.script([Answer::Status(status), Answer::Status(status), Answer::Status(status)]);
        } else {
            receiver.answer_always(Some(status));
        }
        portal.record(1, 2).await;
        let ids = portal.ids(1).await;
        let [first, second] = ids[ids.len() - 2..] else { unreachable!() };
        let is_over = |id| receiver.accepted_ids().contains(&id);
        if REJECTED.contains(&status) {
            until(&format!("the event behind {status} is accepted"), async || is_over(second)).await;
            let tried: Vec<u64> = receiver.deliveries()[before..].iter().map(|one| one.event_id).collect();
            assert_eq!(
                tried,
                [first, first, first, second],
                "three rejections of {status}, and the next event"
            );
            buried.push((first, status));
            continue;
        }
        if HELD.contains(&status) {
            relay.until_logged(&format!("answered {status}")).await;
            let lane = setup.until_crm_is("held").await;
            assert!(lane["trouble"].as_str().unwrap().contains(&status.to_string()), "{lane}");
            assert!(!is_over(first) && !is_over(second));
        } else if TRANSIENT.contains(&status) {
            until("four attempts", async || receiver.count() >= before + 4).await;
            assert!(!is_over(first) && !is_over(second));
        }
        receiver.answer_always(None);
        until(&format!("both events of {status} are accepted"), async || is_over(first) && is_over(second))
            .await;
    }
    until("the portal may forget", async || portal.stats(1).await["pending"] == 0).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    let letters = setup.letters(&[]).await;
    let told: Vec<(u64, u16)> = letters
        .iter()
        .map(|letter| {
            (letter["event_id"].as_u64().unwrap(), serde_json::from_value(letter["status"].clone()).unwrap())
        })
        .collect();
    assert_eq!(told, buried);
    let accepted: Vec<u64> =
        portal.ids(1).await.into_iter().filter(|id| buried.iter().all(|(buried, _)| buried != id)).collect();
    assert_exactly_once(&receiver.accepted_ids(), &accepted);
}

#[tokio::test]
async fn a_receiver_that_cannot_be_reached_is_tried_again() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let url = receiver.url();
    // Another port of the same machine, without a listener at first.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = url.replace(&receiver.address.to_string(), &free.local_addr().unwrap().to_string());
    drop(free);
    let sink = format!(
        "[sinks.crm]\ntype = \"webhook\"\nurl = \"{nobody}\"\nretry = {{ min = \"10ms\", max = \"1h\" }}"
    );
    let setup = Setup::new().with_source(&portal).with(&sink);
    portal.record(1, 1).await;
    let mut relay = setup.run();
    let lane = setup.until_crm_is("retrying").await;
    assert!(lane["trouble"].as_str().unwrap().contains("cannot connect"), "{lane}");
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_eq!(setup.letters(&[]).await, Vec::<Value>::new());
}

#[tokio::test]
async fn status_tells_what_a_lane_does_since_when_and_what_comes_next() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let sink = format!(
        "[sinks.crm]\ntype = \"webhook\"\nurl = \"{}\"\nretry = {{ min = \"1h\", max = \"1h\" }}",
        receiver.url()
    );
    let setup = Setup::new().with_source(&portal).with(&sink);
    let mut relay = setup.run();
    portal.record(1, 1).await;
    until("flowing", async || setup.lane_of("crm").await["delivered"] == 1).await;
    let shown = table(&setup).await;
    assert!(shown.contains("flowing") && shown.contains("RETENTION LEFT"), "{shown}");
    for absent in ["EXPIRED", "DEAD LETTERS", "disappeared"] {
        assert!(!shown.contains(absent), "{absent} in {shown}");
    }

    receiver.answer_always(Some(503));
    portal.record(1, 1).await;
    let lane = setup.until_crm_is("retrying").await;
    assert!(lane["since_ms"].as_i64() < lane["next_ms"].as_i64(), "{lane}");
    let shown = table(&setup).await;
    for words in ["retrying for", "next attempt in", "answered 503"] {
        assert!(shown.contains(words), "no {words} in {shown}");
    }

    receiver.answer_always(Some(401));
    relay.signal(Signal::HUP);
    let lane = setup.until_crm_is("held").await;
    let shown = table(&setup).await;
    assert!(shown.contains("held since 20") && shown.contains("answered 401"), "{shown}");
    // Another failure of the same kind does not change the start time of the state.
    let count = receiver.count();
    relay.signal(Signal::HUP);
    until("another attempt", async || receiver.count() > count).await;
    relay.until_logged("attempt=3").await;
    assert_eq!(setup.until_crm_is("held").await["since_ms"], lane["since_ms"]);

    receiver.script([Answer::Hold]);
    let count = receiver.count();
    relay.signal(Signal::HUP);
    until("an attempt that takes its time", async || receiver.count() > count).await;
    relay.signal(Signal::TERM);
    setup.until_crm_is("draining").await;
    assert!(table(&setup).await.contains("draining"));
    receiver.release();
    assert_eq!(relay.exit_code().await, 0, "{}", relay.log());
    let shown = table(&setup).await;
    assert!(shown.contains("not running") && shown.contains("stopped"), "{shown}");
    assert!(!shown.contains("draining"), "{shown}");
}

#[tokio::test]
async fn status_tells_of_a_second_reader_and_of_what_the_journal_holds() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    receiver.answer_always(Some(503));
    let setup = Setup::new()
        .with("delivery.hold = \"0s\"")
        // Long enough for the stolen events to be noticed first, short enough for the test.
        .with_lag("15s")
        .with_source(&portal)
        .with_receiver(&receiver);
    let mut relay = setup.run();
    portal.record(1, 5).await;
    until("all are in the journal", async || setup.status_of("support").await["journal_events"] == 5).await;
    portal.post("steal", json!({"user": 1})).await;
    until("the theft is counted", async || setup.status_of("support").await["stolen"] == 5).await;
    let source = setup.status_of("support").await;
    assert!(source["journal_bytes"].as_u64() > Some(1000) && source["stolen_ms"].is_number(), "{source}");
    assert!((80_000..=86_400).contains(&source["retention_left_s"].as_i64().unwrap()), "{source}");
    let shown = table(&setup).await;
    for words in ["5 events disappeared before they were confirmed (last", "another program", "5 events, "] {
        assert!(shown.contains(words), "no {words} in {shown}");
    }
    receiver.answer_always(None);
    relay.signal(Signal::HUP);
    until("the journal is empty", async || setup.status_of("support").await["journal_events"] == 0).await;
    assert_exactly_once(&receiver.accepted_ids(), &portal.ids(1).await);
    relay.stop().await;
}

#[tokio::test]
async fn status_tells_of_gaps_and_of_the_time_that_is_left() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 1).await;
    setup.drain().await;
    assert_eq!(setup.status_of("support").await["gaps"], json!([]));
    portal.post("clock", json!({"advance_s": 30 * 3600})).await;
    setup.drain().await;
    let source = setup.status_of("support").await;
    let gap = &source["gaps"][0];
    let hours = (gap["to_ms"].as_i64().unwrap() - gap["from_ms"].as_i64().unwrap()) / 3_600_000;
    assert!((5..=6).contains(&hours), "{source}");
    let shown = table(&setup).await;
    let words = format!(
        "events from {} to {} may be lost",
        gap["from"].as_str().unwrap(),
        gap["to"].as_str().unwrap()
    );
    assert!(shown.contains(&words), "no {words} in {shown}");
    // Computed by the portal's clock, which is 30 hours ahead.
    assert!((80_000..=86_400).contains(&source["retention_left_s"].as_i64().unwrap()), "{source}");

    // A little more than an hour, so that no full hour is about to change.
    let hour_ms = 3_650_000;
    let state = Connection::open(setup.path("b24relay.db")).unwrap();
    state.execute("UPDATE source SET skew_ms = skew_ms + ?1", [20 * hour_ms]).unwrap();
    let left_s = setup.status_of("support").await["retention_left_s"].as_i64().unwrap();
    assert!((3 * 3600..=4 * 3600).contains(&left_s), "{left_s}");
    assert!(table(&setup).await.contains(" 3 h "), "{}", table(&setup).await);
    state.execute("UPDATE source SET skew_ms = skew_ms + ?1", [20 * hour_ms]).unwrap();
    assert!(table(&setup).await.contains("events are being lost"), "{}", table(&setup).await);
}

#[tokio::test]
async fn looking_changes_nothing() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    receiver.answer_always(Some(422));
    portal.record(1, 2).await;
    let setup = Setup::new().with_source(&portal).with_receiver(&receiver);
    setup.drain().await;
    let before = fs::read(setup.path("b24relay.db")).unwrap();
    for args in [["status"].as_slice(), &["dead-letters", "list"], &["dead-letters", "show", "1"]] {
        let exit = if args == ["status"] { 69 } else { 0 };
        assert_eq!(finished(args, setup.folder()).await.status.code(), Some(exit));
    }
    assert!(fs::read(setup.path("b24relay.db")).unwrap() == before);
}
