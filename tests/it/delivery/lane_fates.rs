//! `max_event_age` and `start`: events that a sink does not want are settled and counted, never dropped silently.

use serde_json::{Value, json};

use crate::support::expected::ledger::assert_exactly_once;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{finished, stdout};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::Receiver;

fn counts(lane: &Value) -> [Option<u64>; 3] {
    ["delivered", "filtered", "expired"].map(|count| lane[count].as_u64())
}

/// A file with these settings, and one that gets all events.
fn beside_a_whole_file(portal: &Portal, lines: &str) -> Setup {
    let all = "[sinks.all]\ntype = \"file\"\npath = \"all.jsonl\"";
    Setup::new().with_source(portal).with_file().with(lines).with(all)
}

#[tokio::test]
async fn events_that_are_too_old_are_let_go_and_counted() {
    let portal = Portal::start().await;
    let setup = beside_a_whole_file(&portal, "max_event_age = \"1h\"");
    portal.post("clock", json!({"advance_s": -4200})).await;
    portal.record(1, 3).await;
    portal.post("clock", json!({"advance_s": 3000})).await;
    portal.record(1, 2).await;
    portal.post("clock", json!({"advance_s": 1200})).await;
    portal.record(1, 1).await;
    setup.drain().await;
    let ids = portal.ids(1).await;
    assert_exactly_once(&setup.filed_ids(), &ids[3..]);
    assert_exactly_once(&setup.filed_ids_of("all"), &ids);
    assert_eq!(counts(&setup.lane_of("archive").await), [Some(3), Some(0), Some(3)]);
    assert_eq!(counts(&setup.lane_of("all").await), [Some(6), Some(0), Some(0)]);
    let shown = stdout(&finished(&["status"], setup.folder()).await);
    assert!(shown.contains("EXPIRED"), "{shown}");
    portal.assert_nothing_confirmed_unseen(1).await;
}

#[tokio::test]
async fn events_that_grow_too_old_while_their_sink_is_down_are_let_go_and_counted() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    receiver.answer_always(Some(503));
    let setup = Setup::new().with_source(&portal).with_receiver(&receiver).with("max_event_age = \"1h\"");
    portal.post("clock", json!({"advance_s": -7200})).await;
    portal.record(1, 4).await;
    let mut relay = setup.run();
    until("the sink is down", async || receiver.count() > 0).await;
    portal.post("clock", json!({"advance_s": 7200})).await;
    until("all are let go", async || setup.lane_of("crm").await["expired"] == 4).await;
    receiver.answer_always(None);
    portal.record(1, 2).await;
    until("later ones are delivered", async || receiver.accepted_ids().len() == 2).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_exactly_once(&receiver.accepted_ids(), &portal.ids(1).await[4..]);
}

#[tokio::test]
async fn after_a_restart_age_is_told_by_the_portals_clock_and_not_by_ours() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    receiver.answer_always(Some(503));
    let setup = Setup::new().with_source(&portal).with_receiver(&receiver).with("max_event_age = \"1h\"");
    // By this machine's clock, every event is two hours old when it is recorded.
    portal.post("clock", json!({"advance_s": -7200})).await;
    let mut relay = setup.run();
    relay.until_logged("source started").await;
    portal.record(1, 3).await;
    until("all are in the journal", async || setup.status_of("support").await["journal_events"] == 3).await;
    until("the sink is down", async || receiver.count() > 0).await;
    relay.kill();
    // The portal's clock is no longer known, but events in the journal are delivered anyway.
    portal.post("portal", json!({"closed": true})).await;
    receiver.answer_always(None);
    let relay = setup.run();
    until("all are delivered", async || receiver.accepted_ids().len() >= 3).await;
    assert_exactly_once(&receiver.accepted_ids(), &portal.ids(1).await);
    drop(relay);
}

#[tokio::test]
async fn a_portal_whose_clock_is_ahead_expires_nothing() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup = Setup::new().with_source(&portal).with_receiver(&receiver).with("max_event_age = \"1h\"");
    portal.record(1, 3).await;
    portal.post("clock", json!({"advance_s": 7200})).await;
    setup.drain().await;
    assert_exactly_once(&receiver.accepted_ids(), &portal.ids(1).await);
}

#[tokio::test]
async fn a_sink_that_starts_now_leaves_out_what_was_before_and_counts_it() {
    let portal = Portal::start().await;
    let setup = beside_a_whole_file(&portal, "start = \"now\"");
    portal.record(1, 3).await;
    portal.post("clock", json!({"advance_s": 60})).await;
    let mut relay = setup.run();
    until("its beginning is on record", async || setup.lane_of("archive").await["filtered"] == 3).await;
    portal.record(1, 2).await;
    until("later ones are filed", async || setup.filed_count() == 2).await;
    until("by the other sink as well", async || setup.filed_ids_of("all").len() == 5).await;
    relay.kill();

    // The start of the sink does not move: events during the downtime are later than the start.
    portal.post("clock", json!({"advance_s": 60})).await;
    portal.record(1, 2).await;
    portal.post("clock", json!({"advance_s": 60})).await;
    setup.drain().await;
    let ids = portal.ids(1).await;
    assert_exactly_once(&setup.filed_ids(), &ids[3..]);
    assert_exactly_once(&setup.filed_ids_of("all"), &ids);
    assert_eq!(counts(&setup.lane_of("archive").await)[1], Some(3));
}

#[tokio::test]
async fn now_is_the_portals_present_however_wrong_our_clock_is() {
    for advance_s in [-7200, 7200] {
        let portal = Portal::start().await;
        portal.post("clock", json!({"advance_s": advance_s - 60})).await;
        let setup = Setup::new().with_source(&portal).with_file().with("start = \"now\"");
        portal.record(1, 2).await;
        portal.post("clock", json!({"advance_s": 60})).await;
        let mut relay = setup.run();
        until("the first are left out", async || setup.lane_of("archive").await["filtered"] == 2).await;
        portal.record(1, 3).await;
        until("the next are filed", async || setup.filed_count() == 3).await;
        assert_eq!(relay.stop().await, 0);
        assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await[2..]);
    }
}

#[tokio::test]
async fn a_beginning_before_the_first_event_survives_a_kill() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file().with("start = \"now\"");
    let mut relay = setup.run();
    until("its beginning is on record", async || !setup.lane_of("archive").await.is_null()).await;
    relay.kill();
    portal.post("clock", json!({"advance_s": 60})).await;
    portal.record(1, 3).await;
    portal.post("clock", json!({"advance_s": 60})).await;
    setup.drain().await;
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
}
