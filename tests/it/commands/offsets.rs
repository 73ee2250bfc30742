//! `offset`: shows the position of the sinks and changes it. Nothing else changes it.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::expected::ledger::{assert_exactly_once, ids_in};
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{code, finished, stderr, stdout};
use crate::support::process::setup::Setup;
use crate::support::receivers::receiver::Receiver;

async fn offset(setup: &Setup, args: &[&str]) -> Output {
    finished(&[&["offset"], args].concat(), setup.folder()).await
}

async fn set(setup: &Setup, to: u64) {
    let set = offset(setup, &["set", "support", &to.to_string(), "--yes"]).await;
    assert_eq!(code(&set), 0, "{}", stderr(&set));
    assert!(stdout(&set).contains(&format!("offset {to} of the queue")), "{}", stdout(&set));
}

async fn shown(setup: &Setup) -> Value {
    let shown = offset(setup, &["show", "support", "--json"]).await;
    assert_eq!(code(&shown), 0, "{}", stderr(&shown));
    serde_json::from_slice(&shown.stdout).unwrap()
}

const SECOND: &str = "[sinks.second]\ntype = \"file\"\npath = \"second.jsonl\"";

#[tokio::test]
async fn it_is_shown_to_people_and_machines() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_lag("0s").with_source(&portal).with_file().with(SECOND);
    portal.record(1, 3).await;
    setup.drain().await;
    let next = portal.ids(1).await[2] + 1;
    let queue = format!("{}/user/1", portal.sandbox.address());
    let expected = json!({
        "source": "support", "queue": queue, "confirmed": 1, "wanted": 1, "next": 4,
        "sinks": [{"sink": "archive", "next": 4, "pending": 0}, {"sink": "second", "next": 4, "pending": 0}],
    });
    assert_eq!(shown(&setup).await, expected);
    let table = stdout(&offset(&setup, &["show", "support"]).await);
    for words in [&*queue, "below id 1", "3 events", "archive", "second"] {
        assert!(table.contains(words), "no `{words}` in:\n{table}");
    }
    setup.drain().await;
    assert_eq!(shown(&setup).await["confirmed"], next);
}

#[tokio::test]
async fn an_unknown_source_and_a_nonsense_offset_are_usage_errors() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    for args in [["show", "suport"].as_slice(), &["set", "suport", "1"]] {
        let refused = offset(&setup, args).await;
        assert_eq!(code(&refused), 64, "{args:?}: {}", stderr(&refused));
        assert!(stderr(&refused).contains("only support"), "{}", stderr(&refused));
    }
    for nonsense in ["0", "-1", "1.5", "", "many", "9223372036854775808", "18446744073709551616"] {
        let refused = offset(&setup, &["set", "support", nonsense]).await;
        assert_eq!(code(&refused), 64, "{nonsense}: {}", stderr(&refused));
    }
    let refused = offset(&setup, &["set", "support", "0"]).await;
    assert!(stderr(&refused).contains("a whole number from 1 to"), "{}", stderr(&refused));
    for args in [["set", "support"].as_slice(), &["set"], &[]] {
        assert_eq!(code(&offset(&setup, args).await), 64, "{args:?}");
    }
    assert!(!setup.path("b24relay.db").exists(), "nothing was created for it");
}

#[tokio::test]
async fn a_running_daemon_is_left_alone() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 3).await;
    setup.drain().await;
    let mut relay = setup.run();
    relay.until_logged("source started").await;
    for args in [["set", "support", "1"].as_slice(), &["set", "support", "1", "--new-queue"]] {
        let refused = offset(&setup, args).await;
        assert_eq!(code(&refused), 75, "{}", stderr(&refused));
        assert!(stderr(&refused).contains(&format!("process {}", relay.id())), "{}", stderr(&refused));
    }
    assert_eq!(shown(&setup).await["sinks"][0]["next"], 4, "it can be looked at");
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
}

#[tokio::test]
async fn before_the_first_run_there_is_none_to_show_but_one_to_set() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_user(&portal, "sales", 2, 1000).with_file();
    let refused = offset(&setup, &["show", "support"]).await;
    assert_eq!(code(&refused), 74, "{}", stderr(&refused));
    assert!(stderr(&refused).contains("has `b24relay run` been started"), "{}", stderr(&refused));

    portal.record(1, 5).await;
    let ids = portal.ids(1).await;
    set(&setup, ids[3]).await;
    assert_eq!(shown(&setup).await["sinks"][0], json!({"sink": "archive", "next": 1, "pending": 0}));
    let refused = offset(&setup, &["show", "sales"]).await;
    assert_eq!(code(&refused), 64, "{}", stderr(&refused));
    assert!(stderr(&refused).contains("not been polled yet"), "{}", stderr(&refused));
    assert_eq!(portal.stats(1).await["confirmed"], 0, "the portal is asked how many, and confirms nothing");
    setup.drain().await;
    assert_exactly_once(&setup.filed_ids(), &ids[3..]);
}

#[tokio::test]
async fn forward_skips_and_the_skipped_never_come() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file().with(SECOND);
    portal.record(1, 2).await;
    setup.drain().await;
    portal.record(1, 6).await;
    let ids = portal.ids(1).await;
    set(&setup, ids[5]).await;
    assert_eq!(portal.stats(1).await["pending"], 8, "not before the next run");
    setup.drain().await;
    setup.drain().await;
    let expected = [&ids[..2], &ids[5..]].concat();
    assert_exactly_once(&setup.filed_ids(), &expected);
    assert_exactly_once(&ids_in(&setup.path("second.jsonl"), false), &expected);

    // Beyond all current events: these are skipped, and later events are delivered.
    portal.record(1, 2).await;
    let next = *portal.ids(1).await.last().unwrap() + 1;
    set(&setup, next).await;
    portal.record(1, 2).await;
    setup.drain().await;
    let ids = portal.ids(1).await;
    assert_exactly_once(&setup.filed_ids(), &[expected, ids[10..].to_vec()].concat());
}

#[tokio::test]
async fn a_sink_without_a_checkpoint_waits_for_nothing_that_the_journal_has_no_more() {
    let portal = Portal::start().await;
    let setup =
        Setup::new().with("delivery.hold = \"forever\"").with_lag("0s").with_source(&portal).with_file();
    portal.record(1, 3).await;
    // The portal deletes them in the second run, and the journal in the third.
    for _ in 0..3 {
        setup.drain().await;
    }
    let setup = setup.with(SECOND);
    portal.record(1, 3).await;
    let ids = portal.ids(1).await;
    set(&setup, ids[4]).await;
    assert_eq!(shown(&setup).await["sinks"][1], json!({"sink": "second", "next": 4, "pending": 0}));
    setup.drain().await;
    assert_exactly_once(&ids_in(&setup.path("second.jsonl"), false), &ids[4..]);
}

#[tokio::test]
async fn back_delivers_again_with_the_same_ids() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup = Setup::new().with_source(&portal).with_receiver(&receiver);
    portal.record(1, 5).await;
    setup.drain().await;
    let ids = portal.ids(1).await;
    // The portal still has them: the next poll would have confirmed them.
    set(&setup, ids[2]).await;
    setup.drain().await;
    assert_eq!(receiver.accepted_ids(), [&ids[..], &ids[2..]].concat());
    let deliveries = receiver.deliveries();
    for (first, again) in deliveries[2..5].iter().zip(&deliveries[5..]) {
        assert_eq!((&first.webhook_id, &first.body), (&again.webhook_id, &again.body));
    }

    // Deleted events do not come back, which is not an error.
    setup.drain().await;
    set(&setup, 1).await;
    setup.drain().await;
    assert_eq!(receiver.count(), 8);
    portal.record(1, 1).await;
    setup.drain().await;
    assert_eq!(receiver.accepted_ids().last(), portal.ids(1).await.last());
    portal.assert_nothing_confirmed_unseen(1).await;
}

#[tokio::test]
async fn back_writes_again_into_a_file_as_into_any_sink() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 5).await;
    setup.drain().await;
    set(&setup, 1).await;
    setup.drain().await;
    let ids = portal.ids(1).await;
    assert_eq!(setup.filed_ids(), [&ids[..], &ids].concat());
}

#[tokio::test]
async fn only_the_named_source_is_moved() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_user(&portal, "sales", 2, 1000).with_file();
    portal.record(1, 2).await;
    portal.record(2, 2).await;
    setup.drain().await;
    let before = setup.committed_offset("sales", "archive");
    set(&setup, 1).await;
    let new_queue = offset(&setup, &["set", "support", "2", "--new-queue"]).await;
    assert_eq!(code(&new_queue), 0, "the queue being the same is no error: {}", stderr(&new_queue));
    let next = setup.lane_of("archive").await["next"].clone();
    assert_eq!((next, setup.committed_offset("sales", "archive")), (json!(1), before));
}

#[tokio::test]
async fn an_offset_that_no_event_has_come_near_is_refused_with_the_highest_that_was_seen() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 5).await;
    let highest = portal.ids(1).await[4];
    // Known from the portal only, then from the state file only.
    for _ in 0..2 {
        for typed in [highest * 10, highest + 2] {
            let refused = offset(&setup, &["set", "support", &typed.to_string(), "--yes"]).await;
            assert_eq!(code(&refused), 64, "{}", stderr(&refused));
            for word in [format!("is {highest}:"), format!("above {}", highest + 1), "--beyond".to_owned()] {
                assert!(stderr(&refused).contains(&word), "no `{word}` in: {}", stderr(&refused));
            }
        }
        setup.drain().await;
        setup.drain().await;
    }
    set(&setup, highest + 1).await;
    let beyond = (highest + 3).to_string();
    let agreed = offset(&setup, &["set", "support", &beyond, "--yes", "--beyond"]).await;
    assert_eq!(code(&agreed), 0, "{}", stderr(&agreed));
    portal.record(1, 5).await;
    setup.drain().await;
    let ids = portal.ids(1).await;
    let expected: Vec<u64> = ids.into_iter().filter(|id| *id <= highest || *id >= highest + 3).collect();
    assert_exactly_once(&setup.filed_ids(), &expected);
}
