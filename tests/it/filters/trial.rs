//! `b24relay test`: what a filter does with known events.

use serde_json::Value;

use super::{record_six, sink};
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{code, finished, stderr, stdout};
use crate::support::process::setup::Setup;

const KEYS: &str = "events = [\"ONIMV2MESSAGEADD\"]\nown = false\nfilter = \"'hello' in message.text\"";

#[tokio::test]
async fn a_file_shows_what_would_pass_and_what_not() {
    let portal = Portal::start().await;
    record_six(&portal).await;
    let setup = Setup::new().with_source(&portal).with(&sink("all", "")).with(&sink("crm", KEYS));
    setup.drain().await;
    let before = setup.lane_of("crm").await;
    let tested = finished(&["test", "crm", "--from", "all.jsonl"], setup.folder()).await;
    assert_eq!(code(&tested), 0, "{}", stderr(&tested));
    let shown = stdout(&tested);
    let results: Vec<&str> =
        shown.lines().skip(1).take(6).map(|line| line.rsplit("  ").next().unwrap()).collect();
    let expected = [
        "left out by `own`",
        "left out by `filter`",
        "passes",
        "left out by `filter`",
        "left out by `filter`",
        "left out by `events`",
    ];
    assert_eq!(results, expected, "{shown}");
    assert!(
        shown.ends_with("`crm` takes 1 of 6; left out: 1 by `events`, 3 by `filter`, 1 by `own`\n"),
        "{shown}"
    );
    assert_eq!(setup.lane_of("crm").await["next"], before["next"], "nothing has moved");
    let json = finished(&["test", "crm", "--from", "all.jsonl", "--json"], setup.folder()).await;
    let json: Value = serde_json::from_str(&stdout(&json)).unwrap();
    assert_eq!((&json["passed"], &json["leftOut"]["filter"]), (&1.into(), &3.into()), "{json}");
    assert_eq!(json["events"][0]["leftOutBy"], "own");
}

#[tokio::test]
async fn the_journal_is_judged_beside_a_running_relay() {
    let portal = Portal::start().await;
    record_six(&portal).await;
    let setup = Setup::new().with_source(&portal).with(&sink("crm", KEYS)).with("[journal]\nkeep = \"1h\"");
    let mut relay = setup.run();
    crate::support::process::waiting::until("one is written", async || setup.filed_ids_of("crm").len() == 1)
        .await;
    let tested = finished(&["test", "crm", "--journal"], setup.folder()).await;
    assert_eq!(code(&tested), 0, "{}", stderr(&tested));
    assert!(stdout(&tested).contains("`crm` takes 1 of 6"), "{}", stdout(&tested));
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
}

#[tokio::test]
async fn what_cannot_be_tested_is_told() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with(&sink("crm", KEYS));
    std::fs::write(setup.path("odd.jsonl"), "{\"eventId\":1,\"data\":{}}\n\nnothing\n").unwrap();
    for (args, expected, words) in [
        (&["test", "crn", "--journal"][..], 64, "there is no sink `crn` in the configuration, only crm"),
        (&["test", "crm", "--from", "odd.jsonl"], 64, "`odd.jsonl`, line 3: no event"),
        (&["test", "crm", "--from", "absent.jsonl"], 74, "open `absent.jsonl`"),
    ] {
        let tested = finished(args, setup.folder()).await;
        assert_eq!(code(&tested), expected, "{args:?}: {}", stderr(&tested));
        assert!(stderr(&tested).contains(words), "{args:?}: {}", stderr(&tested));
    }
}
