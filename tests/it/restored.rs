//! A portal whose counter went back: nothing of it is confirmed unseen, and one command settles it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::bot_sources::{self, BOTH, USER_EVENTS, portal_with_bot, with_helper};
use crate::ledger::assert_exactly_once;
use crate::portal::Portal;
use crate::process::{code, finished, stderr};
use crate::receiver::{Answer, Receiver};
use crate::setup::Setup;
use crate::waiting::until;
use crate::whose_queue::{counts, used};

/// The portal is restored from a backup: it counts from 5 on, and has three new events.
async fn restore(portal: &Portal) -> Vec<u64> {
    portal.post("counter", json!({"next": 5})).await;
    portal.record(1, 3).await;
    portal.ids(1).await.into_iter().filter(|id| *id < 100).collect()
}

/// The way out that was told.
async fn set_back(setup: &Setup) {
    let set = finished(&["offset", "set", "support", "1"], setup.folder()).await;
    assert_eq!(code(&set), 0, "{}", stderr(&set));
}

/// Asserts that all that ever happened is filed, before and after the portal was restored.
async fn assert_delivered(portal: &Portal, setup: &Setup) {
    setup.drain().await;
    let (mut filed, mut ids) = (setup.filed_ids(), portal.ids(1).await);
    filed.sort_unstable();
    ids.sort_unstable();
    assert_eq!(filed, ids);
}

/// Asserts that no run touches the restored portal, that the way out is told, and that it is one.
async fn assert_refused_until_set(portal: &Portal, setup: &Setup, before: Vec<u64>, low: &[u64]) {
    let confirmed = counts(portal).await[0];
    setup.assert_refused(77, &["counts anew", "`b24relay offset set support 1`"]).await;
    assert_eq!(counts(portal).await, [confirmed, 0, 3], "nothing is destroyed");

    set_back(setup).await;
    setup.drain().await;
    assert_eq!(setup.filed_ids(), [before, low.to_vec()].concat());
    // And on it goes from there.
    portal.record(1, 2).await;
    setup.drain().await;
    setup.drain().await;
    assert_eq!(setup.filed_ids().len(), 10);
    assert_eq!(counts(portal).await, [confirmed + 5, 0, 0]);
}

#[tokio::test]
async fn a_portal_that_counts_anew_is_refused_before_it_confirms() {
    let (portal, setup) = used().await;
    let before = portal.ids(1).await;
    let low = restore(&portal).await;
    assert_refused_until_set(&portal, &setup, before, &low).await;
}

#[tokio::test]
async fn a_portal_that_counts_anew_is_refused_after_a_kill_as_well() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 5).await;
    let mut relay = setup.run();
    let before = portal.ids(1).await;
    // Confirmed, and that is on record.
    until("the portal has forgotten them", async || {
        setup.path("b24relay.db").exists()
            && setup.status_of("support").await["confirmed"].as_u64() > before.last().copied()
    })
    .await;
    relay.kill();
    let low = restore(&portal).await;
    assert_refused_until_set(&portal, &setup, before, &low).await;
}

#[tokio::test]
async fn a_portal_that_counts_anew_is_refused_while_a_sink_is_down() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup = Setup::new().with_lag("0s").with_user(&portal, "support", 1, 5).with_receiver(&receiver);
    // The second poll confirms the first five, and what it brings is never settled.
    receiver.script(std::iter::repeat_n(Answer::Status(200), 5));
    receiver.answer_always(Some(500));
    portal.record(1, 8).await;
    let mut relay = setup.run();
    until("the sixth is tried", async || receiver.count() > 5).await;
    relay.kill();
    assert_eq!(counts(&portal).await, [5, 0, 3]);
    receiver.answer_always(None);

    let low = restore(&portal).await;
    let refused = finished(&["run", "--once"], setup.folder()).await;
    assert_eq!(code(&refused), 77, "{}", stderr(&refused));
    assert!(stderr(&refused).contains("counts anew"), "{}", stderr(&refused));
    assert_eq!(counts(&portal).await, [5, 0, 3]);
    set_back(&setup).await;
    setup.drain().await;
    assert_eq!(receiver.accepted_ids()[5..], low);
}

#[tokio::test]
async fn a_bot_s_portal_that_counts_anew_is_refused_as_well() {
    for access in BOTH {
        let (portal, bot) = portal_with_bot(access).await;
        let setup = with_helper(Setup::new().with_file(), &portal, bot, access, USER_EVENTS).await;
        bot_sources::record(&portal, bot, 5).await;
        setup.drain().await;
        setup.drain().await;
        portal.post("counter", json!({"next": 5})).await;
        bot_sources::record(&portal, bot, 2).await;
        portal.record(1, 2).await;
        let refused = finished(&["run", "--once"], setup.folder()).await;
        assert_eq!(code(&refused), 77, "{}", stderr(&refused));
        for words in ["`imbot.v2.Event.get`", "counts anew", "`b24relay offset set helper 1`"] {
            assert!(stderr(&refused).contains(words), "no `{words}` in: {}", stderr(&refused));
        }
        assert_eq!(portal.bot_stats(bot).await["pending"], 2);
        assert_eq!(counts(&portal).await, [0, 0, 2]);
        let set = finished(&["offset", "set", "helper", "1"], setup.folder()).await;
        assert_eq!(code(&set), 0, "{}", stderr(&set));
        setup.drain().await;
        assert_eq!(setup.filed_ids().len(), 9);
    }
}

#[tokio::test]
async fn what_a_crash_left_unconfirmed_is_no_other_portal() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 5).await;
    // Nobody gets to confirm: every poll but the first is lost before it reaches the portal.
    portal.fault(json!({"kind": "close_before", "skip": 1, "times": 100_000})).await;
    let mut relay = setup.run();
    let last = *portal.ids(1).await.last().unwrap();
    until("they are settled", async || setup.committed_offset("support", "archive") > last).await;
    relay.until_logged("poll failed").await;
    relay.kill();
    assert_eq!(counts(&portal).await, [0, 0, 5]);
    portal.control(Method::DELETE, "faults", Value::Null).await;
    let log = setup.drain().await;
    assert!(!log.contains("counts anew"), "{log}");
    portal.record(1, 2).await;
    setup.drain().await;
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
}

#[tokio::test]
async fn a_portal_that_counts_anew_is_refused_with_its_first_event_if_it_had_none_at_the_start() {
    let (portal, setup) = used().await;
    portal.post("counter", json!({"next": 5})).await;
    setup.drain().await;
    let mut relay = setup.run();
    relay.until_logged("source started").await;
    let polls = portal.polls().await;
    until("it polls", async || portal.polls().await > polls + 2).await;
    assert!(!relay.log().contains("ERROR"), "nothing to refuse yet: {}", relay.log());
    portal.record(1, 3).await;
    relay.until_logged("counts anew").await;
    assert_eq!(portal.stats(1).await["pending"], 3, "nothing is destroyed");
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    set_back(&setup).await;
    assert_delivered(&portal, &setup).await;
}

#[tokio::test]
async fn a_portal_that_counts_anew_while_the_relay_runs_is_refused_as_well() {
    let (portal, setup) = used().await;
    let mut relay = setup.run();
    let polls = portal.polls().await;
    until("it polls", async || portal.polls().await > polls + 2).await;
    portal.post("counter", json!({"next": 5})).await;
    portal.record(1, 3).await;
    relay.until_logged("`b24relay offset set support 1`").await;
    assert_eq!(portal.stats(1).await["pending"], 3, "nothing is destroyed");
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    set_back(&setup).await;
    assert_delivered(&portal, &setup).await;
}

/// An event that nobody can see yet, and two of five seconds later.
async fn record_with_a_straggler(portal: &Portal) {
    portal.post("events", json!({"user": 1, "count": 1, "hold": true})).await;
    portal.post("clock", json!({"advance_s": 5})).await;
    portal.record(1, 2).await;
}

/// Lets it be seen, behind the first five; returns its id.
async fn release(portal: &Portal) -> u64 {
    portal.post("release", json!({})).await;
    portal.ids(1).await[5]
}

#[tokio::test]
async fn an_event_that_shows_too_late_becomes_a_dead_letter_and_stops_nobody() {
    let (portal, setup) = used().await;
    let mut relay = setup.run();
    record_with_a_straggler(&portal).await;
    until("the later ones are confirmed", async || counts(&portal).await[0] == 7).await;
    // What the portal has done, the relay must have heard: a poll that confirms once more would not show it.
    let polls = portal.polls().await;
    until("it polls on after that", async || portal.polls().await > polls + 2).await;
    let straggler = release(&portal).await;
    relay.until_logged("became visible below what was confirmed").await;
    let polls = portal.polls().await;
    until("it polls on", async || portal.polls().await > polls + 2).await;
    portal.record(1, 1).await;
    let last = *portal.ids(1).await.last().unwrap();
    until("the next is delivered", async || setup.filed_ids().contains(&last)).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert!(!relay.log().contains("ERROR"), "{}", relay.log());
    assert_eq!(relay.log().matches("became visible below").count(), 1, "told once: {}", relay.log());
    let others: Vec<u64> = portal.ids(1).await.into_iter().filter(|id| *id != straggler).collect();
    assert_exactly_once(&setup.filed_ids(), &others);
    assert_eq!(setup.buried_ids().await, [straggler]);
    let replayed = finished(&["dead-letters", "replay", "--source", "support"], setup.folder()).await;
    assert_eq!(code(&replayed), 0, "{}", stderr(&replayed));
    let filed = setup.filed_ids();
    assert_eq!(filed.iter().filter(|id| **id == straggler).count(), 1, "{filed:?}");
}

#[tokio::test]
async fn a_new_event_of_a_portal_that_counts_anew_is_refused_beside_one_that_shows_too_late() {
    let (portal, setup) = used().await;
    let mut relay = setup.run();
    record_with_a_straggler(&portal).await;
    until("the later ones are confirmed", async || counts(&portal).await[0] == 7).await;
    // The next start has nothing to confirm then, so that it looks before it confirms.
    let polls = portal.polls().await;
    until("it polls on", async || portal.polls().await > polls + 2).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    let straggler = release(&portal).await;
    let log = setup.drain().await;
    assert!(log.contains("became visible below what was confirmed"), "{log}");
    // Later than the confirmation, and lower all the same.
    portal.post("counter", json!({"next": straggler + 1})).await;
    portal.record(1, 1).await;
    let refused = finished(&["run", "--once"], setup.folder()).await;
    assert_eq!(code(&refused), 77, "{}", stderr(&refused));
    assert!(stderr(&refused).contains("counts anew"), "{}", stderr(&refused));
    assert_eq!(counts(&portal).await[2], 2, "nothing is destroyed");
}
