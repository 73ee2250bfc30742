//! The portal's retention of 24 hours: the remaining time, and the report of a gap after it was too short.

use serde_json::{Value, json};

use crate::support::portal::sandbox::Portal;
use crate::support::process::setup::Setup;

/// The gaps in a file.
fn gaps_in(setup: &Setup) -> Vec<Value> {
    let text = std::fs::read_to_string(setup.path("events.jsonl")).unwrap_or_default();
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["type"] == "B24RELAY_GAP").collect()
}

async fn let_pass(portal: &Portal, seconds: u64) {
    portal.post("clock", json!({"advance_s": seconds})).await;
    portal.post("clean", json!({})).await;
}

#[tokio::test]
async fn an_outage_longer_than_a_day_leaves_a_gap_on_record_and_tells_sinks_that_want_it() {
    for (mode, tells) in [("direct", true), ("journal", true), ("direct", false)] {
        let portal = Portal::start().await;
        let setup = Setup::new()
            .with(&format!("[delivery]\nmode = \"{mode}\"\ngap_events = {tells}"))
            .with_source(&portal)
            .with_file();
        portal.record(1, 3).await;
        setup.drain().await;
        portal.record(1, 4).await;
        let_pass(&portal, 30 * 3600).await;
        portal.record(1, 5).await;
        let log = setup.drain().await;
        assert!(log.contains("events of this time may be lost"), "{log}");
        let again = setup.drain().await;
        assert!(!again.contains("may be lost"), "told once: {again}");

        let gaps = setup.status_of("support").await["gaps"].clone();
        assert_eq!(gaps.as_array().map(Vec::len), Some(1), "{gaps}");
        let told = gaps_in(&setup);
        assert_eq!(told.len(), usize::from(tells), "{told:?}");
        for gap in told {
            assert_eq!(gap["source"], "support");
            let (from, to) = (gap["data"]["from"].as_str().unwrap(), gap["data"]["to"].as_str().unwrap());
            let [from, to] = [from, to].map(|at| at.parse::<jiff::Timestamp>().unwrap());
            let hours = (to - from).as_secs_f64() / 3600.0;
            assert!((5.9..6.1).contains(&hours), "{from} to {to}");
        }
        assert_eq!(setup.filed_count(), 3 + 5 + usize::from(tells));
    }
}

#[tokio::test]
async fn a_shorter_outage_is_no_gap() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 3).await;
    setup.drain().await;
    portal.record(1, 4).await;
    let_pass(&portal, 23 * 3600).await;
    let log = setup.drain().await;
    assert!(!log.contains("may be lost"), "{log}");
    assert_eq!(setup.filed_ids(), portal.ids(1).await);
}
