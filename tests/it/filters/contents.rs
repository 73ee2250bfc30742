//! Filters by content, in a running relay.

use serde_json::json;

use super::{message, record, record_six, sink};
use crate::support::portal::sandbox::Portal;
use crate::support::process::setup::Setup;
use crate::support::process::shown::{LISTEN, Shown};
use crate::support::process::waiting::until;

/// Keys of a sink, and which of the six events pass them.
const CASES: [(&str, &str, &[usize]); 11] = [
    ("all", "", &[0, 1, 2, 3, 4, 5]),
    ("room", "chats = [318]", &[0, 1, 2, 4, 5]),
    ("others", "chats = [\"-chat318\"]", &[3]),
    ("colleague", "authors = [4]", &[1, 2, 5]),
    ("strangers", "authors = [-4, -39]", &[0, 4]),
    ("guard", "own = false", &[1, 2, 3, 4, 5]),
    ("people", "bots = false\nsystem = false", &[0, 1, 2, 5]),
    ("mentioned", "mentions = true", &[2]),
    ("invoices", "filter = \"'invoice' in message.text|lower\"", &[0, 1]),
    ("deletions", "filter = \"event.type == 'ONIMV2MESSAGEDELETE' and data.messageId == 7\"", &[5]),
    ("together", "chats = [318]\nown = false\nfilter = \"message.text\"", &[1, 2, 4]),
];

#[tokio::test]
async fn each_sink_gets_what_passes_its_keys_and_settles_the_rest() {
    let portal = Portal::start().await;
    record_six(&portal).await;
    let ids = portal.ids(1).await;
    let lines: Vec<String> = CASES.iter().map(|(name, keys, _)| sink(name, keys)).collect();
    let setup = Setup::new().with_source(&portal).with(&lines.join("\n"));
    setup.drain().await;
    for (name, keys, passing) in CASES {
        let expected: Vec<u64> = passing.iter().map(|at| ids[*at]).collect();
        assert_eq!(setup.filed_ids_of(name), expected, "{keys}");
        let lane = setup.lane_of(name).await;
        let filtered = ids.len() - expected.len();
        assert_eq!((&lane["filtered"], &lane["pending"]), (&json!(filtered), &json!(0)), "{keys}: {lane}");
    }
}

#[tokio::test]
async fn what_is_left_out_is_counted_by_its_key() {
    let portal = Portal::start().await;
    record_six(&portal).await;
    let keys =
        "events = [\"ONIMV2MESSAGEADD\"]\nchats = [318]\nown = false\nfilter = \"'hello' in message.text\"";
    let setup = Setup::new().with_source(&portal).with(&sink("crm", keys)).with(LISTEN);
    let shown = Shown::start(&setup).await;
    until("all are settled", async || setup.lane_of("crm").await["filtered"] == 5).await;
    for (reason, count) in [("events", 1.0), ("chats", 1.0), ("own", 1.0), ("filter", 2.0)] {
        let line = format!(
            "b24relay_sink_filtered_events_total{{source=\"support\",sink=\"crm\",reason=\"{reason}\"}}"
        );
        assert_eq!(shown.metric(&line).await, Some(count), "{reason}");
    }
}

#[tokio::test]
async fn an_expression_that_cannot_be_evaluated_lets_events_pass_and_is_told_once() {
    let portal = Portal::start().await;
    let deleted = json!({"messageId": 7, "chat": {"id": 318}});
    for _ in 0..3 {
        record(&portal, "ONIMV2MESSAGEDELETE", &deleted).await;
    }
    record(&portal, "ONIMV2MESSAGEADD", &message(318, &json!({"id": 4}), "hi")).await;
    let setup =
        Setup::new().with_source(&portal).with(&sink("crm", "filter = \"message.id % 2 == 0\"")).with(LISTEN);
    let shown = Shown::start(&setup).await;
    until("all are settled", async || setup.lane_of("crm").await["filtered"] == 1).await;
    until("the others are written", async || setup.filed_ids_of("crm").len() == 3).await;
    let line = "b24relay_sink_filter_failures_total{source=\"support\",sink=\"crm\"}";
    assert_eq!(shown.metric(line).await, Some(3.0));
    let log = std::fs::read_to_string(setup.path("err")).unwrap();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("B24-S11")).collect();
    assert_eq!(told.len(), 1, "{log}");
    assert!(told[0].contains("column ") && told[0].contains("ONIMV2MESSAGEDELETE"), "{}", told[0]);
}

#[tokio::test]
async fn a_gap_event_passes_every_filter() {
    let portal = Portal::start().await;
    record_six(&portal).await;
    let ids = portal.ids(1).await;
    let keys = "chats = [1]\nmentions = true\nfilter = \"false\"";
    let setup =
        Setup::new().with_source(&portal).with(&sink("crm", keys)).with("[delivery]\ngap_events = true");
    setup.drain().await;
    // The portal loses what nobody has read for a day.
    portal.post("clock", json!({"advance_s": 26 * 3600})).await;
    setup.drain().await;
    let kinds: Vec<String> = std::fs::read_to_string(setup.path("crm.jsonl"))
        .unwrap()
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["type"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(kinds, ["B24RELAY_GAP"], "{ids:?}");
}

#[tokio::test]
async fn a_mistake_in_a_filter_is_refused_with_its_column() {
    let portal = Portal::start().await;
    for (keys, words) in [
        ("filter = \"chat.id ==\"", &["sinks.crm.filter", "column 9"][..]),
        ("filter = \"chat.id == 5 and mesage.text\"", &["column 18", "did you mean `message`?"]),
        ("filter = \"message.text|lowre\"", &["column 14", "lowre"]),
        ("filter = \"\"", &["sinks.crm.filter", "must not be empty"]),
        ("chats = [\"user4\"]", &["sinks.crm.chats", "`user4`"]),
        ("authors = [4, -4]", &["sinks.crm.authors", "takes 4 and excludes it"]),
        ("own = \"no\"", &["sinks.crm.own", "`true` or `false`"]),
    ] {
        Setup::new().with_source(&portal).with(&sink("crm", keys)).assert_mistaken(words).await;
    }
}
