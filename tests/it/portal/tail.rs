//! The end of the queue: ids that appear late, and other readers that take events (PORTAL.md 2.9, hazards 1 and 2).

use serde_json::{Value, json};

use crate::support::expected::ledger::assert_once_each;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::Relay;
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;

/// As long as the lag, minus the time of a poll.
const LATE: u64 = 800;

/// A portal whose ids appear up to [`LATE`] ms after higher ones.
async fn late_portal() -> Portal {
    let portal = Portal::start().await;
    portal.post("portal", json!({"late": {"share": 0.3, "up_to_ms": LATE}})).await;
    portal
}

fn setup(portal: &Portal, hold: &str, limit: u16) -> Setup {
    Setup::new()
        .with(&format!("[delivery]\nhold = \"{hold}\""))
        .with_lag("2s")
        .with_user(portal, "support", 1, limit)
        .with_file()
}

/// Waits for all events, and compares them with the portal's record: nothing is lost, nothing comes twice.
async fn assert_all_arrive(portal: &Portal, setup: &Setup, mut relay: Relay, count: usize) {
    until("all have arrived", async || setup.filed_count() >= count).await;
    until("all are confirmed", async || portal.stats(1).await["pending"] == 0).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    let recorded = portal.ids(1).await;
    assert_eq!(recorded.len(), count);
    assert_once_each(&setup.filed_ids(), &recorded);
    portal.assert_nothing_confirmed_unseen(1).await;
}

#[tokio::test]
async fn ids_that_show_late_are_delivered_once_at_a_leisurely_pace() {
    for hold in ["forever", "0s"] {
        let portal = late_portal().await;
        let setup = setup(&portal, hold, 1000);
        let relay = setup.run();
        for count in 1..=40 {
            portal.record(1, 5).await;
            let shown = 5 * count - 4;
            until("some of them", async || setup.filed_count() >= shown / 2).await;
        }
        assert_all_arrive(&portal, &setup, relay, 200).await;
    }
}

#[tokio::test]
async fn ids_that_show_late_are_delivered_once_under_more_than_a_page_within_the_lag() {
    for hold in ["forever", "0s"] {
        let portal = late_portal().await;
        let setup = setup(&portal, hold, 100);
        let relay = setup.run();
        for _ in 0..5 {
            portal.record(1, 700).await;
        }
        assert_all_arrive(&portal, &setup, relay, 3500).await;
    }
}

#[tokio::test]
async fn ids_that_show_late_survive_kills() {
    for hold in ["forever", "0s"] {
        let portal = late_portal().await;
        let setup = setup(&portal, hold, 50);
        for life in 0..12 {
            portal.record(1, 30).await;
            let mut relay = setup.run();
            until("it is at work", async || setup.filed_count() > life * 25).await;
            relay.kill();
        }
        let relay = setup.run();
        assert_all_arrive(&portal, &setup, relay, 360).await;
    }
}

#[tokio::test]
async fn ids_that_show_late_are_delivered_once_whatever_the_dates_say() {
    let odd: [(Value, Value); 4] = [
        (json!({"date_skew_s": -3600}), json!({})),
        (json!({"date_skew_s": 86_400}), json!({})),
        (json!({}), json!({"freeze": true})),
        (json!({}), json!({"advance_s": -86_400})),
    ];
    for (switches, clock) in odd {
        let portal = late_portal().await;
        portal.post("portal", switches).await;
        portal.post("clock", clock).await;
        let setup = setup(&portal, "forever", 1000);
        let relay = setup.run();
        for count in 1..=20 {
            portal.record(1, 5).await;
            until("some of them", async || setup.filed_count() >= 5 * count / 2).await;
        }
        assert_all_arrive(&portal, &setup, relay, 100).await;
    }
}

#[tokio::test]
async fn without_a_lag_nothing_is_read_twice() {
    let portal = Portal::start().await;
    let setup =
        Setup::new().with("[delivery]\nhold = \"0s\"").with_lag("0s").with_user(&portal, "support", 1, 10);
    let setup = setup.with_file();
    let mut relay = setup.run();
    portal.record(1, 100).await;
    until("filed", async || setup.filed_count() == 100).await;
    until("confirmed", async || portal.stats(1).await["pending"] == 0).await;
    assert_eq!(portal.stats(1).await["served_again"], 0);
    relay.stop().await;
}

#[tokio::test]
async fn a_second_reader_is_noticed_and_the_daemon_goes_on() {
    let portal = Portal::start().await;
    let setup = setup(&portal, "forever", 1000);
    let mut relay = setup.run();
    portal.record(1, 20).await;
    until("filed", async || setup.filed_count() == 20).await;
    assert!(!relay.log().contains("disappeared"), "{}", relay.log());
    // It takes events that the relay has read and not confirmed yet.
    portal.post("steal", json!({"user": 1})).await;
    relay.until_logged("does another program read this user's queue").await;
    until("it is in the state", async || {
        setup.status_of("support").await["stolen"].as_u64().is_some_and(|stolen| (1..=20).contains(&stolen))
    })
    .await;
    portal.record(1, 5).await;
    until("it goes on", async || setup.filed_count() == 25).await;
    assert_eq!(relay.stop().await, 0);
}
