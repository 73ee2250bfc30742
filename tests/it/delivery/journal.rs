//! The journal: every sink has its own pace, and the portal may delete events that are in the state file.

use serde_json::json;

use crate::support::expected::ledger::{assert_at_least_once, assert_exactly_once};
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, code, finished, stderr};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::Receiver;

const NO_HOLD: &str = "[delivery]\nhold = \"0s\"";
/// How many runs end by kill -9 while `hold` is changed.
const LIVES: usize = 12;

const HOLD_FOREVER: &str = "[delivery]\nhold = \"forever\"";

async fn start() -> (Portal, Receiver) {
    (Portal::start().await, Receiver::start().await)
}

/// A file and a webhook after `mode`, in a new folder or the previous one.
fn pair(setup: Setup, mode: &str, portal: &Portal, receiver: &Receiver) -> Setup {
    setup.anew().with(mode).with_user(portal, "support", 1, 100).with_file().with_receiver(receiver)
}

/// Waits until all recorded events are confirmed at the portal.
async fn until_forgotten(portal: &Portal) {
    until("the portal has forgotten everything", async || portal.stats(1).await["pending"] == 0).await;
}

/// How many events the state file contains.
fn journaled(setup: &Setup) -> u64 {
    let file = rusqlite::Connection::open(setup.path("b24relay.db")).unwrap();
    file.query_row("SELECT ifnull(sum(count), 0) FROM batch", [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_dead_sink_keeps_nobody_waiting_and_gets_everything_in_order_afterwards() {
    let (portal, receiver) = start().await;
    let setup = pair(Setup::new(), NO_HOLD, &portal, &receiver);
    receiver.answer_always(Some(503));
    let mut relay = setup.run();
    // Two days of traffic: the portal deletes events that are older than one day.
    for hour in 0..48 {
        portal.record(1, 5).await;
        until("the file has them", async || setup.filed_count() == 5 * (hour + 1)).await;
        until_forgotten(&portal).await;
        portal.post("clock", json!({"advance_s": 3600})).await;
        portal.post("clean", json!({})).await;
    }
    let recorded = portal.ids(1).await;
    assert!(receiver.accepted_ids().is_empty());
    receiver.answer_always(None);
    until("the receiver has them", async || receiver.accepted_ids().len() == recorded.len()).await;
    assert_eq!(relay.stop().await, 0);
    assert_exactly_once(&receiver.accepted_ids(), &recorded);
    assert_exactly_once(&setup.filed_ids(), &recorded);
    portal.assert_nothing_confirmed_unseen(1).await;
    assert!(relay.log().contains("attempt failed"), "{}", relay.log());
}

#[tokio::test]
async fn what_all_sinks_have_leaves_the_journal() {
    let (portal, receiver) = start().await;
    let setup = pair(Setup::new(), NO_HOLD, &portal, &receiver);
    portal.record(1, 500).await;
    let mut relay = setup.run();
    until("delivered", async || receiver.accepted_ids().len() == 500 && setup.filed_count() == 500).await;
    until("the journal is empty", async || journaled(&setup) == 0).await;
    assert_eq!(relay.stop().await, 0);
    let file = rusqlite::Connection::open(setup.path("b24relay.db")).unwrap();
    let bytes: u64 = file.query_row("SELECT sum(journal_bytes) FROM source", [], |row| row.get(0)).unwrap();
    assert_eq!(bytes, 0);
}

#[tokio::test]
async fn switching_hold_with_events_in_flight_loses_and_repeats_nothing() {
    let (portal, receiver) = start().await;
    let mut setup = Setup::new();
    for life in 0..6 {
        let mode = if life % 2 == 0 { NO_HOLD } else { HOLD_FOREVER };
        setup = pair(setup, mode, &portal, &receiver);
        receiver.answer_always(Some(503));
        portal.record(1, 150).await;
        let filed = setup.filed_count() + if life % 2 == 0 { 150 } else { 0 };
        let mut relay = setup.run();
        let tries = receiver.count();
        until("it is at work", async || receiver.count() > tries).await;
        until("the journal went ahead", async || setup.filed_count() >= filed).await;
        // A regular stop, with most events still undelivered to the receiver.
        relay.stop().await;
        receiver.answer_always(None);
        if life == 3 {
            let mut relay = Relay::start(setup.folder(), &["--once"]);
            assert_eq!(relay.exit_code().await, 0, "{}", relay.log());
        }
    }
    setup = pair(setup, HOLD_FOREVER, &portal, &receiver);
    setup.drain().await;
    let recorded = portal.ids(1).await;
    assert_eq!(recorded.len(), 900);
    assert_exactly_once(&receiver.accepted_ids(), &recorded);
    assert_exactly_once(&setup.filed_ids(), &recorded);
    portal.assert_nothing_confirmed_unseen(1).await;
    for sink in ["archive", "crm"] {
        assert_eq!(setup.lane_of(sink).await["pending"], 0, "nothing is left behind");
    }
}

#[tokio::test]
async fn switching_hold_by_kill_loses_nothing() {
    let (portal, receiver) = start().await;
    let mut setup = Setup::new();
    for life in 0..LIVES {
        let mode = if life % 2 == 0 { NO_HOLD } else { HOLD_FOREVER };
        setup = pair(setup, mode, &portal, &receiver);
        portal.record(1, 120).await;
        let before = receiver.count();
        let mut relay = setup.run();
        until("some are under way", async || receiver.count() >= before + 40).await;
        relay.kill();
    }
    setup.drain().await;
    let recorded = portal.ids(1).await;
    assert_exactly_once(&setup.filed_ids(), &recorded);
    assert_at_least_once(&receiver.accepted_ids(), &recorded, LIVES, 65);
    portal.assert_nothing_confirmed_unseen(1).await;
}

#[tokio::test]
async fn a_full_journal_stops_polling_says_so_and_goes_on_by_itself() {
    let (portal, receiver) = start().await;
    let setup = pair(Setup::new(), NO_HOLD, &portal, &receiver).with("[journal]\nmax_size = \"1MiB\"");
    receiver.answer_always(Some(503));
    let mut relay = setup.run();
    for _ in 0..30 {
        portal.record_as(json!({"user": 1, "count": 20, "bytes": 4096})).await;
    }
    relay.until_logged("the journal is full").await;
    let polls = portal.polls().await;
    // The state file says so right after the log.
    until("`status` says why", async || {
        let trouble = setup.status_of("support").await["trouble"].clone();
        trouble.as_str().is_some_and(|trouble| trouble.contains("journal.max_size"))
    })
    .await;
    // Events for which there was no room are still at the portal.
    assert_ne!(portal.stats(1).await["pending"], 0);
    assert_eq!(portal.polls().await, polls, "polling has stopped");
    receiver.answer_always(None);
    let recorded = portal.ids(1).await;
    until("everything has arrived", async || receiver.accepted_ids().len() == recorded.len()).await;
    relay.until_logged("the journal has room again").await;
    until("nothing is in the way", async || setup.status_of("support").await["trouble"] == "").await;
    assert_eq!(relay.stop().await, 0);
    assert_exactly_once(&receiver.accepted_ids(), &recorded);
    assert_exactly_once(&setup.filed_ids(), &recorded);
}

#[tokio::test]
async fn a_drain_leaves_nothing_in_the_journal() {
    let (portal, receiver) = start().await;
    let setup = pair(Setup::new(), NO_HOLD, &portal, &receiver);
    portal.record(1, 250).await;
    setup.drain().await;
    assert_exactly_once(&receiver.accepted_ids(), &portal.ids(1).await);
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
    receiver.answer_always(Some(503));
    portal.record(1, 10).await;
    let once = finished(&["run", "--once"], setup.folder()).await;
    assert_eq!(code(&once), 75, "a sink is behind: {}", stderr(&once));
    receiver.answer_always(None);
    setup.drain().await;
    assert_exactly_once(&receiver.accepted_ids(), &portal.ids(1).await);
}

#[tokio::test]
async fn a_removed_sink_keeps_its_events_until_it_is_forgotten() {
    let (portal, receiver) = start().await;
    let setup = pair(Setup::new(), NO_HOLD, &portal, &receiver);
    receiver.answer_always(Some(503));
    portal.record(1, 30).await;
    let mut relay = setup.run();
    until("filed", async || setup.filed_count() == 30).await;
    relay.stop().await;

    // Without this sink, the others continue, and its events stay in the journal.
    let setup = setup.anew().with(NO_HOLD).with_user(&portal, "support", 1, 100).with_file();
    portal.record(1, 10).await;
    let log = setup.drain().await;
    assert!(log.contains("sink is no longer configured") && log.contains("run --forget crm"), "{log}");
    assert!(journaled(&setup) >= 30, "{}", journaled(&setup));

    // Configured again, it continues at its position.
    let setup = pair(setup, NO_HOLD, &portal, &receiver);
    receiver.answer_always(None);
    setup.drain().await;
    assert_exactly_once(&receiver.accepted_ids(), &portal.ids(1).await);

    // Removed without a backlog, it is forgotten automatically.
    let setup = setup.anew().with(NO_HOLD).with_user(&portal, "support", 1, 100).with_file();
    let log = setup.drain().await;
    assert!(log.contains("had settled everything and is forgotten"), "{log}");
}

#[tokio::test]
async fn forgetting_a_removed_sink_lets_go_of_its_backlog() {
    let (portal, receiver) = start().await;
    for mode in [NO_HOLD, HOLD_FOREVER] {
        let setup = pair(Setup::new(), mode, &portal, &receiver);
        receiver.answer_always(Some(503));
        portal.record(1, 30).await;
        let mut relay = setup.run();
        until("filed", async || setup.filed_count() > 0).await;
        until("refused", async || receiver.count() > 0).await;
        until("committed", async || setup.committed_offset("support", "archive") > 1).await;
        relay.stop().await;

        let setup = setup.anew().with(mode).with_user(&portal, "support", 1, 100).with_file();
        let log = setup.drain().await;
        assert!(log.contains("b24relay run --forget crm"), "{log}");
        let configured = finished(&["run", "--once", "--forget", "archive"], setup.folder()).await;
        assert_eq!(code(&configured), 64, "{}", stderr(&configured));
        for _ in 0..2 {
            let forgot = finished(&["run", "--once", "--forget", "crm", "--yes"], setup.folder()).await;
            assert_eq!(code(&forgot), 0, "{}", stderr(&forgot));
        }
        let log = setup.drain().await;
        assert!(!log.contains("no longer configured"), "{log}");
        assert_eq!(journaled(&setup), 0);
    }
}
