//! A portal whose counter went back: no event is confirmed unread, and all its events are delivered without an
//! operator. A late id does not count as a restore.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::bots::bot_sources::{self, BOTH, USER_EVENTS, portal_with_bot, with_helper};
use crate::portal::whose_queue::{counts, used};
use crate::support::expected::ledger::{assert_exactly_once, assert_once_each, ids_in};
use crate::support::portal::sandbox::Portal;
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::Receiver;

/// Restores the portal from a backup: a minute later it counts from 5 on, and has three new events.
async fn restore(portal: &Portal) -> Vec<u64> {
    portal.post("clock", json!({"advance_s": 60})).await;
    portal.post("counter", json!({"next": 5})).await;
    portal.record(1, 3).await;
    portal.ids(1).await.into_iter().filter(|id| *id < 100).collect()
}

/// Asserts that `log` reports the restart of the counter once.
fn assert_told(log: &str) {
    assert_eq!(log.matches(TOLD).count(), 1, "{log}");
}

const TOLD: &str = "the portal was restored or moved, and its event ids start again";

/// Asserts that the next run delivers the events of the restored portal, reports the restore, and continues from there.
async fn assert_delivered_by_itself(portal: &Portal, setup: &Setup, before: Vec<u64>, low: &[u64]) {
    let confirmed = counts(portal).await[0];
    assert_told(&setup.drain().await);
    assert_eq!(setup.filed_ids(), [before, low.to_vec()].concat());
    assert_eq!(counts(portal).await, [confirmed, 0, 3], "nothing is destroyed unread");
    portal.record(1, 2).await;
    assert!(!setup.drain().await.contains(TOLD));
    setup.drain().await;
    assert_eq!(setup.filed_ids().len(), 10);
    assert_eq!(counts(portal).await, [confirmed + 5, 0, 0]);
    assert_eq!(setup.status_of("support").await["generation"], 2);
}

#[tokio::test]
async fn what_a_restored_portal_has_is_delivered_without_a_person() {
    let (portal, setup) = used().await;
    let before = portal.ids(1).await;
    let low = restore(&portal).await;
    assert_delivered_by_itself(&portal, &setup, before, &low).await;
}

#[tokio::test]
async fn what_a_restored_portal_has_is_delivered_after_a_kill_as_well() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 5).await;
    let mut relay = setup.run();
    let before = portal.ids(1).await;
    // Confirmed, and the state file shows it.
    until("the portal has forgotten them", async || {
        setup.path("b24relay.db").exists()
            && setup.status_of("support").await["confirmed"].as_u64() > before.last().copied()
    })
    .await;
    relay.kill();
    let low = restore(&portal).await;
    assert_delivered_by_itself(&portal, &setup, before, &low).await;
}

#[tokio::test]
async fn events_of_a_restored_portal_with_the_ids_of_undelivered_ones_are_others() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup = Setup::new().with_lag("0s").with("[delivery]\nhold = \"0s\"").with_source(&portal);
    let setup = setup.with_receiver(&receiver).with_file();
    // The sink is down, and all events are in the journal and confirmed.
    receiver.answer_always(Some(503));
    portal.record(1, 8).await;
    let mut relay = setup.run();
    until("the portal has forgotten them", async || portal.stats(1).await["pending"] == 0).await;
    relay.kill();
    let before = portal.ids(1).await;
    portal.post("clock", json!({"advance_s": 60})).await;
    portal.post("counter", json!({"next": before[3]})).await;
    portal.record(1, 10).await;
    receiver.answer_always(None);

    assert_told(&setup.drain().await);
    let (accepted, filed) = (receiver.accepted_ids(), setup.filed_ids());
    assert_eq!((accepted.len(), &accepted), (18, &filed));
    assert!(accepted.starts_with(&before) && accepted[8] == before[3], "{accepted:?}");
    assert!(accepted[8..].is_sorted(), "{accepted:?}");
    let ids: BTreeSet<String> =
        receiver.deliveries().into_iter().map(|delivery| delivery.webhook_id).collect();
    assert!(ids.len() >= 18, "each event has an id of its own: {ids:?}");
}

#[tokio::test]
async fn dead_letters_of_before_and_after_a_restore_lie_side_by_side() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup = Setup::new().with_lag("0s").with_source(&portal).with_receiver(&receiver);
    receiver.answer_always(Some(400));
    portal.record(1, 2).await;
    setup.drain().await;
    setup.drain().await;
    let before = portal.ids(1).await;
    portal.post("clock", json!({"advance_s": 60})).await;
    portal.post("counter", json!({"next": before[0]})).await;
    portal.record(1, 2).await;
    assert_told(&setup.drain().await);
    let letters = setup.letters(&[]).await;
    let ids: BTreeSet<&str> = letters.iter().map(|letter| letter["id"].as_str().unwrap()).collect();
    assert_eq!((letters.len(), ids.len()), (4, 4), "{letters:?}");
}

#[tokio::test]
async fn what_a_bot_s_restored_portal_has_is_delivered_as_well() {
    for access in BOTH {
        let (portal, bot) = portal_with_bot(access).await;
        let setup = with_helper(Setup::new().with_file(), &portal, bot, access, USER_EVENTS).await;
        bot_sources::record(&portal, bot, 5).await;
        setup.drain().await;
        setup.drain().await;
        portal.post("clock", json!({"advance_s": 60})).await;
        portal.post("counter", json!({"next": 5})).await;
        bot_sources::record(&portal, bot, 2).await;
        portal.record(1, 2).await;
        assert_told(&setup.drain().await);
        assert_eq!(setup.filed_ids().len(), 9);
    }
}

#[tokio::test]
async fn what_a_crash_left_unconfirmed_is_no_other_portal() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 5).await;
    // Nothing can be confirmed: every poll but the first is lost before it reaches the portal.
    portal.fault(json!({"kind": "close_before", "skip": 1, "times": 100_000})).await;
    let mut relay = setup.run();
    let last = *portal.ids(1).await.last().unwrap();
    until("they are settled", async || setup.committed_offset("support", "archive") > last).await;
    relay.until_logged("poll failed").await;
    relay.kill();
    assert_eq!(counts(&portal).await, [0, 0, 5]);
    portal.control(Method::DELETE, "faults", Value::Null).await;
    let log = setup.drain().await;
    assert!(!log.contains(TOLD), "{log}");
    portal.record(1, 2).await;
    setup.drain().await;
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
}

#[tokio::test]
async fn a_portal_that_is_restored_while_the_relay_runs_loses_nothing() {
    let (portal, setup) = used().await;
    let mut relay = setup.run();
    let polls = portal.polls().await;
    until("it polls", async || portal.polls().await > polls + 2).await;
    let low = restore(&portal).await;
    relay.until_logged(TOLD).await;
    until("they are filed", async || setup.filed_so_far().ends_with(&low)).await;
    portal.record(1, 2).await;
    until("the next are filed", async || setup.filed_count() == 10).await;
    until("all is confirmed", async || portal.stats(1).await["pending"] == 0).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_told(&relay.log());
    portal.assert_nothing_confirmed_unseen(1).await;
}

/// Records an invisible event, and two events that come five seconds later.
async fn record_with_a_straggler(portal: &Portal) {
    portal.post("events", json!({"user": 1, "count": 1, "hold": true})).await;
    portal.post("clock", json!({"advance_s": 5})).await;
    portal.record(1, 2).await;
}

/// Makes it visible, after the first five; returns its id.
async fn release(portal: &Portal) -> u64 {
    portal.post("release", json!({})).await;
    portal.ids(1).await[5]
}

#[tokio::test]
async fn an_event_that_shows_after_all_around_it_was_confirmed_is_delivered_to_every_sink() {
    let (portal, setup) = used().await;
    let setup = setup.with("[sinks.second]\ntype = \"file\"\npath = \"second.jsonl\"");
    let mut relay = setup.run();
    record_with_a_straggler(&portal).await;
    until("the later ones are confirmed", async || counts(&portal).await[0] == 7).await;
    // The relay must have received the portal's last answer: another confirming poll would not show it.
    let polls = portal.polls().await;
    until("it polls on after that", async || portal.polls().await > polls + 2).await;
    // A kill in between: its sinks have different positions, and the late event appears after the start.
    relay.kill();
    let mut relay = setup.run();
    let straggler = release(&portal).await;
    until("it is delivered", async || setup.filed_so_far().contains(&straggler)).await;
    portal.record(1, 1).await;
    until("and what follows", async || setup.filed_count() == 9).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert!(!relay.log().contains("ERROR"), "{}", relay.log());
    let recorded = portal.ids(1).await;
    assert_once_each(&setup.filed_ids(), &recorded);
    let second = ids_in(&setup.path("second.jsonl"), false);
    assert!(second.contains(&straggler), "{second:?}");
    assert_eq!(setup.letters(&[]).await, Vec::<Value>::new());
}
