//! Before anything is confirmed: is it still the queue that the offsets belong to, recorded, and counted on
//! from where it was?

use std::fs;

use reqwest::Method;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::bot_sources::{self, BOTH, USER_EVENTS, portal_with_bot, with_helper};
use crate::ledger::assert_exactly_once;
use crate::portal::Portal;
use crate::process::{code, finished, stderr};
use crate::receiver::{Answer, Receiver};
use crate::setup::Setup;
use crate::waiting::until;

const RUNS: [&[&str]; 2] = [&["run"], &["run", "--once"]];

/// A portal whose relay has delivered and confirmed five events of user 1.
async fn used() -> (Portal, Setup) {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 5).await;
    setup.drain().await;
    setup.drain().await;
    assert_eq!(portal.stats(1).await["confirmed"], 5);
    (portal, setup)
}

/// What is confirmed for user 1, and what waits.
async fn counts(portal: &Portal) -> [u64; 3] {
    let stats = portal.stats(1).await;
    ["confirmed", "confirmed_unserved", "pending"].map(|key| stats[key].as_u64().unwrap())
}

async fn answer_as(portal: &Portal, user: &Value) {
    let edit = json!({"kind": "rewrite", "pointer": "/result/ID", "value": user});
    let mut fault = edit;
    (fault["method"], fault["times"]) = ("profile".into(), 1000.into());
    portal.post("faults", fault).await;
}

#[tokio::test]
async fn a_credential_of_somebody_else_confirms_nothing() {
    for user in [json!("2"), json!(2)] {
        let portal = Portal::start().await;
        let setup = Setup::new().with_source(&portal).with_file();
        portal.record(1, 3).await;
        answer_as(&portal, &user).await;
        for args in RUNS {
            let refused = finished(args, setup.folder()).await;
            let said = stderr(&refused);
            assert_eq!(code(&refused), 77, "{args:?}: {said}");
            for words in ["user 1", "user 2", "give the source a credential of user 1", "another name"] {
                assert!(said.contains(words), "no `{words}` in: {said}");
            }
        }
        assert_eq!(portal.polls().await, 0, "it was not even looked at");
        let trouble = setup.status_of("support").await["trouble"].clone();
        assert!(trouble.as_str().unwrap().contains("user 2"), "{trouble}");
        portal.control(Method::DELETE, "faults", Value::Null).await;
        setup.drain().await;
        assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
    }
}

#[tokio::test]
async fn a_credential_that_changed_hands_is_noticed_at_the_next_start() {
    let (portal, setup) = used().await;
    portal.record(1, 3).await;
    answer_as(&portal, &json!(2)).await;
    let polls = portal.polls().await;
    for args in RUNS {
        let refused = finished(args, setup.folder()).await;
        assert_eq!(code(&refused), 77, "{args:?}: {}", stderr(&refused));
        assert!(stderr(&refused).contains("user 2") && stderr(&refused).contains("user 1"));
    }
    assert_eq!((portal.polls().await, counts(&portal).await), (polls, [5, 0, 3]));
}

#[tokio::test]
async fn a_stranger_s_source_is_parked_and_the_others_run() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_user(&portal, "sales", 2, 1000).with_file();
    let fault = json!({"kind": "rewrite", "pointer": "/result/ID", "value": "7", "method": "profile", "user": 1, "times": 1000});
    portal.post("faults", fault).await;
    portal.record(1, 3).await;
    portal.record(2, 3).await;
    let mut relay = setup.run();
    until("the other source delivers", async || setup.filed_count() == 3).await;
    relay.until_logged("user 7").await;
    assert!(relay.is_running());
    assert_eq!(portal.stats(1).await["served"], 0);
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_exactly_once(&setup.filed_ids(), &portal.ids(2).await);
}

#[tokio::test]
async fn check_tells_of_a_stranger_whatever_the_source_reads_of_the_user() {
    let portal = Portal::start().await;
    portal.post("users/1", json!({"scopes": ["im", "imbot"]})).await;
    let bot = portal.post("bots", json!({"code": "helper", "token": "secret"})).await["id"].clone();
    answer_as(&portal, &json!(2)).await;
    let url = portal.webhook_url(1);
    for (keys, expected) in [
        ("", 78),
        (&*format!("kind = \"bot\"\nbot_id = {bot}\nbot_token = \"secret\"\nwith_user_events = true"), 78),
        (&*format!("kind = \"bot\"\nbot_id = {bot}\nbot_token = \"secret\""), 0),
    ] {
        let setup = Setup::new()
            .with_file()
            .with(&format!("[sources.support]\nwebhook_url = \"{url}\"\n{keys}\npoll = {{ idle = \"5s\" }}"));
        let checked = finished(&["check", "--json"], setup.folder()).await;
        let report: Value = serde_json::from_slice(&checked.stdout).unwrap();
        assert_eq!(code(&checked), expected, "{keys}: {report:#}");
        if expected != 0 {
            let text = report.to_string();
            assert!(text.contains("user 2") && text.contains("/user/1"), "{report:#}");
        }
    }
}

#[tokio::test]
async fn another_user_s_webhook_names_the_command_that_settles_it() {
    let (portal, setup) = used().await;
    let before = portal.ids(1).await;
    let setup = setup.anew().with_user(&portal, "support", 2, 1000).with_file();
    portal.record(2, 4).await;
    let polls = portal.polls().await;
    for args in RUNS.iter().copied().chain([["offset", "set", "support", "1"].as_slice()]) {
        let refused = finished(args, setup.folder()).await;
        assert_eq!(code(&refused), 78, "{args:?}: {}", stderr(&refused));
        assert!(stderr(&refused).contains("`b24relay offset set support 1 --new-queue`"));
    }
    assert_eq!(portal.polls().await, polls);

    let settled = finished(&["offset", "set", "support", "1", "--new-queue"], setup.folder()).await;
    assert_eq!(code(&settled), 0, "{}", stderr(&settled));
    setup.drain().await;
    assert_exactly_once(&setup.filed_ids(), &[before, portal.ids(2).await].concat());
    let identity = setup.status_of("support").await["identity"].clone();
    assert!(identity.as_str().unwrap().ends_with("/user/2"), "{identity}");
}

/// The portal is restored from a backup: it counts from 5 on, and has three new events.
async fn restore(portal: &Portal) -> Vec<u64> {
    portal.post("counter", json!({"next": 5})).await;
    portal.record(1, 3).await;
    portal.ids(1).await.into_iter().filter(|id| *id < 100).collect()
}

/// Asserts that no run touches the restored portal, that the way out is told, and that it is one.
async fn assert_refused_until_set(portal: &Portal, setup: &Setup, before: Vec<u64>, low: &[u64]) {
    let confirmed = counts(portal).await[0];
    for args in RUNS {
        let refused = finished(args, setup.folder()).await;
        let said = stderr(&refused);
        assert_eq!(code(&refused), 77, "{args:?}: {said}");
        for words in ["counts anew", "`b24relay offset set support 1`"] {
            assert!(said.contains(words), "no `{words}` in: {said}");
        }
    }
    assert_eq!(counts(portal).await, [confirmed, 0, 3], "nothing is destroyed");

    let set = finished(&["offset", "set", "support", "1"], setup.folder()).await;
    assert_eq!(code(&set), 0, "{}", stderr(&set));
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
    let setup = Setup::new().with_user(&portal, "support", 1, 5).with_receiver(&receiver);
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
    let set = finished(&["offset", "set", "support", "1"], setup.folder()).await;
    assert_eq!(code(&set), 0, "{}", stderr(&set));
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
async fn a_restored_portal_without_events_is_nothing_to_refuse() {
    let (portal, setup) = used().await;
    portal.post("counter", json!({"next": 5})).await;
    setup.drain().await;
    let mut relay = setup.run();
    relay.until_logged("source started").await;
    let polls = portal.polls().await;
    until("it polls", async || portal.polls().await > polls + 2).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert!(!relay.log().contains("ERROR"), "{}", relay.log());
}

#[tokio::test]
async fn every_start_renews_the_subscription() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    for starts in 1..=3 {
        // Somebody ended it meanwhile: a user's queue does not tell (PORTAL.md 2.3).
        portal.post("users/1", json!({"subscribed": false})).await;
        setup.drain().await;
        let stats = portal.stats(1).await;
        assert_eq!((&stats["subscribes"], &stats["subscribed"]), (&json!(starts), &json!(true)));
        portal.record(1, 2).await;
    }
    setup.drain().await;
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
}

#[tokio::test]
async fn a_subscription_refused_at_the_start_keeps_the_source_from_polling() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 2).await;
    let fault = json!({"kind": "error", "method": "im.v2.Event.subscribe", "status": 403, "code": "ACCESS_DENIED", "times": 2});
    portal.post("faults", fault).await;
    for args in RUNS {
        let refused = finished(args, setup.folder()).await;
        assert_eq!(code(&refused), 77, "{args:?}: {}", stderr(&refused));
        assert!(stderr(&refused).contains("im.v2.Event.subscribe"), "{}", stderr(&refused));
    }
    assert_eq!(portal.polls().await, 0);
    setup.drain().await;
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
}

/// A state file as the first layout had it, with a checkpoint of `support` at `offset`.
fn write_first_layout(setup: &Setup, portal: &Portal, offset: u64) {
    let file = Connection::open(setup.path("b24relay.db")).unwrap();
    file.pragma_update(None, "journal_mode", "WAL").unwrap();
    file.execute_batch(&format!(
        "CREATE TABLE source (
            name TEXT PRIMARY KEY, identity TEXT NOT NULL, adopted_ms INTEGER NOT NULL,
            polled_ms INTEGER, trouble TEXT NOT NULL DEFAULT ''
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE checkpoint (
            source TEXT NOT NULL REFERENCES source (name), sink TEXT NOT NULL,
            offset INTEGER NOT NULL CHECK (offset >= 1), committed_ms INTEGER NOT NULL,
            delivered INTEGER NOT NULL DEFAULT 0, filtered INTEGER NOT NULL DEFAULT 0,
            trouble TEXT NOT NULL DEFAULT '', PRIMARY KEY (source, sink)
        ) STRICT, WITHOUT ROWID;
        INSERT INTO source VALUES ('support', '{}/user/1', 1700000000000, 1700000001000, '');
        INSERT INTO checkpoint VALUES ('support', 'archive', {offset}, 1700000002000, 40, 2, '');
        PRAGMA application_id = {}; PRAGMA user_version = 1;",
        portal.sandbox.address(),
        0x6232_3472
    ))
    .unwrap();
}

fn layout(setup: &Setup) -> u32 {
    let file = Connection::open(setup.path("b24relay.db")).unwrap();
    file.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_state_of_the_first_layout_can_be_looked_at_and_stays_as_it_is() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    write_first_layout(&setup, &portal, 4711);
    let before = fs::read(setup.path("b24relay.db")).unwrap();
    let status = setup.status_of("support").await;
    assert_eq!((&status["confirmed"], &status["losses"]), (&json!(1), &json!(0)), "{status}");
    for args in [["status"].as_slice(), &["offset", "show", "support"]] {
        let shown = finished(args, setup.folder()).await;
        assert_eq!(code(&shown), 0, "{}", stderr(&shown));
        assert!(String::from_utf8_lossy(&shown.stdout).contains("4711"), "{args:?}");
    }
    assert!(fs::read(setup.path("b24relay.db")).unwrap() == before, "looking changed it");
    assert_eq!(layout(&setup), 1);
}

#[tokio::test]
async fn a_state_of_the_first_layout_is_brought_forward_with_its_checkpoints() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 5).await;
    let ids = portal.ids(1).await;
    write_first_layout(&setup, &portal, ids[2]);
    setup.drain().await;
    assert_exactly_once(&setup.filed_ids(), &ids[2..]);
    assert!(layout(&setup) > 1);
    let status = finished(&["status", "--json"], setup.folder()).await;
    let report: Value = serde_json::from_slice(&status.stdout).unwrap();
    let lane = &report["lanes"][0];
    assert_eq!((&lane["delivered"], &lane["filtered"]), (&json!(43), &json!(2)), "{report:#}");
    assert_eq!(report["sources"][0]["confirmed"], ids[2], "{report:#}");
}
