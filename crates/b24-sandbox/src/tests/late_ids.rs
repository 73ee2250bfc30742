//! The end of a queue, over real TCP: ids that become visible late, wrong dates and clocks, and events that
//! are not read in time.

use jiff::{Timestamp, Unit};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::tests::bench::{Bench, PATIENCE};

const GET: &str = "im.v2.Event.get";

const DAY_H: i64 = 24;

/// Reads a whole page without confirming anything.
async fn page(bench: &Bench) -> (Timestamp, Value) {
    let response = bench.send(GET, json!({"offset": 1, "limit": 1000})).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let date = response.headers()["date"].to_str().unwrap();
    let date = jiff::fmt::rfc2822::parse(date).unwrap().timestamp();
    (date, serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

fn moment(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

/// How far `clock` is ahead of `other`, rounded to hours, because no machine is that slow.
fn hours_ahead(clock: Timestamp, other: Timestamp) -> i64 {
    clock.duration_since(other).round(Unit::Hour).unwrap().as_hours()
}

#[tokio::test]
async fn late_rows_show_out_of_order_by_themselves_though_the_portals_clock_stands_still() {
    let bench = Bench::subscribed().await;
    bench.control("clock", json!({"freeze": true})).await;
    bench.control("portal", json!({"late": {"share": 0.2, "up_to_ms": 1000}})).await;
    let order = bench.control("events", json!({"user": 1, "count": 5000})).await;
    assert_eq!(order["count"], 5000);
    let hidden = bench.sandbox.stats().users[&1].held;
    assert!((1..=1200).contains(&hidden), "{hidden} of 5000 are late");

    // An incorrect reader: it confirms all that it has read, and so skips rows that become visible late.
    let (mut offset, mut seen) = (1, 0);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let ids = bench.poll(offset).await;
        seen += ids.len() as u64;
        offset = ids.last().map_or(offset, |last| last + 1);
        let stats = &bench.sandbox.stats().users[&1];
        if stats.held == 0 && stats.pending == 0 {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{stats:?}");
        tokio::task::yield_now().await;
    }
    let stats = &bench.sandbox.stats().users[&1];
    assert_eq!((stats.recorded, stats.confirmed_unserved), (5000, 5000 - seen));
    assert!(seen >= 3800 && stats.confirmed_unserved > 0, "{seen} seen, {stats:?}");
    assert_eq!(bench.sandbox.ledger(1).len(), 5000);
}

#[tokio::test]
async fn late_rows_keep_the_date_of_their_recording_and_can_be_released() {
    let bench = Bench::subscribed().await;
    bench.control("clock", json!({"set": "2026-08-20T06:15:02Z", "freeze": true})).await;
    bench.control("portal", json!({"late": {"share": 1, "up_to_ms": 3_600_000}})).await;
    let first = bench.control("events", json!({"user": 1, "count": 20})).await["first"].clone();
    bench.control("clock", json!({"advance_s": 60})).await;
    bench.control("portal", json!({"late": null})).await;
    let ledger = bench.record(1);
    assert_eq!(bench.poll(1).await, ledger, "the last one alone shows, before those of lower ids");
    assert_eq!(bench.control("release", json!({"user": 1})).await["released"], 20);
    let (_, json) = page(&bench).await;
    let events = json["result"]["events"].as_array().unwrap();
    assert_eq!((events.len(), &events[0]["eventId"]), (21, &first));
    assert_eq!(events[0]["date"], "2026-08-20T09:15:02+03:00");
    assert_eq!(events[20]["date"], "2026-08-20T09:16:02+03:00");
}

#[tokio::test]
async fn lateness_out_of_bounds_is_refused_by_name() {
    let bench = Bench::subscribed().await;
    for (late, named) in [
        (json!({"share": 1.5, "up_to_ms": 10}), "share"),
        (json!({"share": 0.5, "up_to_ms": 3_600_001}), "up_to_ms"),
        (json!({"share": 0.5}), "up_to_ms"),
        (json!({"share": 0.5, "up_to_ms": 10, "from_ms": 5}), "from_ms"),
    ] {
        let url = format!("http://{}/sandbox/portal", bench.sandbox.address());
        let response = bench.client.post(url).body(json!({"late": late}).to_string()).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert!(response.text().await.unwrap().contains(named), "{late}");
    }
}

#[tokio::test]
async fn dates_of_events_can_be_days_off_while_the_portals_clock_is_right() {
    let bench = Bench::subscribed().await;
    for skew_h in [3 * DAY_H, -3 * DAY_H] {
        bench.control("steal", json!({"user": 1})).await;
        bench.control("portal", json!({"date_skew_s": skew_h * 3600})).await;
        bench.record(1);
        // Recorded events keep their date when the switch changes.
        bench.control("portal", json!({"date_skew_s": 0})).await;
        bench.record(1);
        let (header, json) = page(&bench).await;
        let dates: Vec<_> =
            json["result"]["events"].as_array().unwrap().iter().map(|event| moment(&event["date"])).collect();
        assert_eq!(hours_ahead(dates[0], dates[1]), skew_h);
        for clock in [header, moment(&json["time"]["date_start"]), dates[1]] {
            assert_eq!(hours_ahead(clock, Timestamp::now()), 0, "{clock} is now");
        }
    }
    assert_eq!(
        bench.control("clean", json!({})).await["removed"],
        0,
        "the cleaner goes by the portal's clock"
    );
}

#[tokio::test]
async fn the_portals_clock_can_be_days_off_in_all_that_it_says() {
    let bench = Bench::subscribed().await;
    let mut ahead_h = 0;
    for step_h in [2 * DAY_H, -4 * DAY_H] {
        bench.control("steal", json!({"user": 1})).await;
        bench.control("clock", json!({"advance_s": step_h * 3600})).await;
        ahead_h += step_h;
        bench.record(1);
        let (header, json) = page(&bench).await;
        let event = moment(&json["result"]["events"][0]["date"]);
        for clock in [header, moment(&json["time"]["date_start"]), event] {
            assert_eq!(hours_ahead(clock, Timestamp::now()), ahead_h, "{clock}");
        }
        bench.fault(json!({"kind": "html", "status": 503})).await;
        let refused = bench.send(GET, json!({})).await.unwrap();
        let date = jiff::fmt::rfc2822::parse(refused.headers()["date"].to_str().unwrap()).unwrap();
        assert_eq!(hours_ahead(date.timestamp(), Timestamp::now()), ahead_h, "in every answer");
    }
}

#[tokio::test]
async fn a_clock_that_stands_still_dates_everything_alike() {
    let bench = Bench::subscribed().await;
    bench.control("clock", json!({"set": "2026-08-20T06:15:02Z", "freeze": true})).await;
    let frozen: Timestamp = "2026-08-20T06:15:02Z".parse().unwrap();
    for _ in 0..3 {
        bench.record(1);
        let (header, json) = page(&bench).await;
        assert_eq!((header, moment(&json["time"]["date_finish"])), (frozen, frozen));
        let events = json["result"]["events"].as_array().unwrap();
        assert!(events.iter().all(|event| moment(&event["date"]) == frozen), "{json}");
    }
}

#[tokio::test]
async fn what_nobody_read_in_a_day_is_gone_and_counted_apart_from_what_a_reader_lost() {
    let bench = Bench::subscribed().await;
    let ledger = bench.record(30);
    // Ten rows are read, and five of them confirmed. Later, a reader confirms three rows without reading them.
    bench.call(GET, json!({"offset": 1, "limit": 10})).await;
    bench.call(GET, json!({"offset": ledger[5], "limit": 5})).await;
    bench.control("clock", json!({"advance_s": 25 * 3600})).await;
    bench.control("clean", json!({})).await;
    let stats = &bench.sandbox.stats().users[&1];
    assert_eq!((stats.confirmed, stats.confirmed_unserved), (5, 0));
    assert_eq!((stats.expired, stats.expired_unserved, stats.pending), (25, 20, 0));
    assert_eq!(bench.poll(1).await, [0; 0]);

    let later = bench.record(3);
    assert_eq!(bench.poll(later[32] + 1).await, [0; 0]);
    let stats = &bench.sandbox.stats().users[&1];
    assert_eq!((stats.confirmed_unserved, stats.expired_unserved), (3, 20));
}
