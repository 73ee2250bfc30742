//! `state check` and `state backup`: damage is reported with a hint, a copy is reliable, and damage that is found
//! during operation ends the process before anything is confirmed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use b24relay::event::{Event, EventId};
use b24relay::store::{NewDeadLetter, Progress, Store, Tally};
use rusqlite::Connection;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::support::expected::ledger::{assert_at_least_once, assert_exactly_once};
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{code, command, finished, finished_command, stderr, stdout};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::Receiver;
use crate::support::state::populated_state::{PopulatedState, STATE, deciding};

/// Runs SQL on the state file, like an inexperienced operator.
fn tamper(setup: &Setup, sql: &str) {
    Connection::open(setup.path(STATE)).unwrap().execute_batch(sql).unwrap();
}

/// Runs `state check`, which must end with `expected`, and returns the table.
async fn checked(setup: &Setup, expected: i32) -> String {
    let check = finished(&["state", "check"], setup.folder()).await;
    assert_eq!(code(&check), expected, "{}{}", stdout(&check), stderr(&check));
    let json = finished(&["state", "check", "--json"], setup.folder()).await;
    assert_eq!(code(&json), expected);
    let shown: Value = serde_json::from_slice(&json.stdout).unwrap();
    let soundness = match expected {
        0 => "sound",
        74 => "damaged",
        _ => "foreign",
    };
    assert_eq!(shown["inspection"]["soundness"], soundness, "{shown:#}");
    assert_eq!(shown["hint"].is_null(), expected == 0, "{shown:#}");
    stdout(&check)
}

/// A folder whose relay has delivered five events and stopped.
async fn used(portal: &Portal) -> Setup {
    let setup = Setup::new().with_source(portal).with_file();
    portal.record(1, 5).await;
    setup.drain().await;
    setup
}

#[tokio::test]
async fn a_sound_state_is_called_sound_with_all_that_was_looked_at() {
    let populated = PopulatedState::of_mode("journal").await;
    populated.receiver.answer_always(None);
    for is_running in [false, true] {
        let mut relay = is_running.then(|| populated.setup.run());
        if let Some(relay) = &relay {
            relay.until_logged("source started").await;
        }
        until("the state is held as it should be", async || {
            checked(&populated.setup, 0).await.contains("running: process") == is_running
        })
        .await;
        let shown = checked(&populated.setup, 0).await;
        let words =
            ["write-ahead log", "layout", "integrity_check", "foreign_key_check", "seals", "source office"];
        for word in words.iter().chain(&["checkpoint support -> crm", "journal", "dead letters", "logins"]) {
            assert!(shown.contains(word), "no `{word}` in:\n{shown}");
        }
        assert!(!shown.contains("WRONG"), "{shown}");
        assert_eq!(shown.contains("running: process"), is_running, "{shown}");
        if let Some(relay) = &mut relay {
            assert_eq!(relay.stop().await, 0, "{}", relay.log());
        }
    }
}

#[tokio::test]
async fn what_is_wrong_is_named_with_the_way_out_and_nothing_is_changed() {
    let portal = Portal::start().await;
    for (sql, words) in [
        ("UPDATE lane SET next = 9", "`support/archive` of `lane` is not as it was written"),
        ("UPDATE source SET confirmed = 2", "`support` of `source` is not as it was written"),
        ("DELETE FROM lane", "rows of `lane` are missing"),
        ("DROP TABLE batch", "`batch."),
        ("ALTER TABLE lane ADD COLUMN mine INTEGER", "`lane.mine`"),
        ("PRAGMA user_version = 2", "layout 2"),
    ] {
        let setup = used(&portal).await;
        tamper(&setup, sql);
        let before = fs::read(setup.path(STATE)).unwrap();
        let shown = checked(&setup, 74).await;
        let ways = ["state backup", "move it away", "24 hours", "run --new-state", "restore"];
        for word in [words].iter().chain(&ways) {
            assert!(shown.contains(word), "{sql}: no `{word}` in:\n{shown}");
        }
        for args in [["run", "--once"].as_slice(), &["status"]] {
            let refused = finished(args, setup.folder()).await;
            assert_eq!(code(&refused), 74, "{sql}, {args:?}: {}", stderr(&refused));
            assert!(stderr(&refused).contains("`b24relay state check`"), "{}", stderr(&refused));
        }
        assert!(fs::read(setup.path(STATE)).unwrap() == before, "{sql}: looking changed it");
    }
}

#[tokio::test]
async fn the_way_out_that_is_told_carries_an_offset_over() {
    let portal = Portal::start().await;
    let setup = used(&portal).await;
    let offset = portal.ids(1).await[4] + 1;
    tamper(&setup, "DELETE FROM manifest");
    let shown = checked(&setup, 74).await;
    let way = format!("`b24relay offset set support {offset}`");
    assert!(shown.contains(&way), "no `{way}` in:\n{shown}");
    fs::rename(setup.path(STATE), setup.path("damaged.db")).unwrap();
    let set = finished(&["offset", "set", "support", &offset.to_string(), "--yes"], setup.folder()).await;
    assert_eq!(code(&set), 0, "{}", stderr(&set));
    portal.record(1, 2).await;
    setup.drain().await;
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
}

#[tokio::test]
async fn a_foreign_and_a_newer_file_are_told_from_a_damaged_one() {
    let portal = Portal::start().await;
    for sql in ["PRAGMA user_version = 99", "DROP TABLE gap; DROP TABLE memory; PRAGMA application_id = 7"] {
        let setup = used(&portal).await;
        tamper(&setup, sql);
        checked(&setup, 78).await;
    }
    let setup = Setup::new().with_source(&portal).with_file();
    let missing = finished(&["state", "check"], setup.folder()).await;
    assert_eq!(code(&missing), 74, "{}", stderr(&missing));
    assert!(stderr(&missing).contains("there is none yet"), "{}", stderr(&missing));
    assert!(!setup.path(STATE).exists());
}

#[tokio::test]
async fn a_copy_beside_a_writing_daemon_is_whole_private_and_alone() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_user(&portal, "support", 1, 5).with_file();
    let mut relay = setup.run();
    for round in 1..=5 {
        portal.record(1, 100).await;
        until("it writes", async || setup.filed_count() > (round - 1) * 100).await;
        let name = format!("copy{round}.db");
        let made = finished(&["state", "backup", &name], setup.folder()).await;
        assert_eq!(code(&made), 0, "{}", stderr(&made));
        assert!(stdout(&made).contains("checked, and on the disk"), "{}", stdout(&made));
        let copy = setup.path(&name);
        assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        for suffix in [".part", ".part-journal", ".part-wal", "-wal", "-shm"] {
            assert!(!setup.path(&format!("{name}{suffix}")).exists(), "{suffix} is left");
        }
        let check = finished(&["state", "check", "--state", &name], setup.folder()).await;
        assert_eq!(code(&check), 0, "{}", stdout(&check));
    }
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
}

#[tokio::test]
async fn a_copy_never_takes_the_place_of_anything() {
    let portal = Portal::start().await;
    let setup = used(&portal).await;
    let before = fs::read(setup.path(STATE)).unwrap();
    fs::write(setup.path("precious"), "mine").unwrap();
    for (target, word) in
        [("precious", "already"), (STATE, "already"), (".", "already"), ("no/such/folder", "No such file")]
    {
        let refused = finished(&["state", "backup", target], setup.folder()).await;
        assert_eq!(code(&refused), 74, "{target}: {}", stderr(&refused));
        let said = stderr(&refused);
        assert!(said.contains(word) && said.contains(target), "{target}: {said}");
    }
    assert_eq!(fs::read(setup.path("precious")).unwrap(), b"mine");
    assert!(fs::read(setup.path(STATE)).unwrap() == before);
}

#[tokio::test]
async fn a_damaged_state_is_copied_and_called_damaged_and_a_foreign_one_is_not_copied() {
    let populated = PopulatedState::of_mode("journal").await;
    for (sql, word) in [
        ("UPDATE lane SET next = 9", "of `lane` is not as it was written"),
        ("UPDATE batch SET body = x'00'", "not as it was written"),
        ("UPDATE dead_letter SET data = '{}'", "not as it was written"),
        ("PRAGMA user_version = 2", "layout 2"),
        ("PRAGMA user_version = -1", "layout -1"),
    ] {
        populated.put_into(populated.setup.folder());
        tamper(&populated.setup, sql);
        let made = finished(&["state", "backup", "copy.db"], populated.setup.folder()).await;
        assert_eq!(code(&made), 74, "{sql}: {}", stderr(&made));
        let said = stderr(&made);
        assert!(said.contains(word) && said.contains("b24relay.db` is damaged"), "{sql}: {said}");
        assert!(!stdout(&made).contains("checked"), "{sql}: {}", stdout(&made));
        let copy = populated.setup.path("copy.db");
        let letters: u64 = Connection::open(&copy)
            .unwrap()
            .query_row("SELECT count(*) FROM dead_letter", [], |row| row.get(0))
            .unwrap();
        assert_eq!(letters, 2, "{sql}");
        fs::remove_file(copy).unwrap();
        assert!(!populated.setup.path("copy.db.part").exists(), "{sql}");
    }
    populated.put_into(populated.setup.folder());
    tamper(&populated.setup, "PRAGMA user_version = 99");
    let refused = finished(&["state", "backup", "copy.db"], populated.setup.folder()).await;
    assert_eq!(code(&refused), 78, "{}", stderr(&refused));
    assert!(!populated.setup.path("copy.db").exists() && !populated.setup.path("copy.db.part").exists());
}

#[tokio::test]
async fn a_state_whose_log_is_torn_in_the_middle_is_copied_up_to_there() {
    let populated = PopulatedState::of_mode("journal").await;
    let mut log = populated.files[1].clone();
    let middle = log.len() / 2;
    log[middle] ^= 1;
    fs::write(populated.setup.path("b24relay.db-wal"), log).unwrap();
    let run = finished(&["run", "--once"], populated.setup.folder()).await;
    assert_eq!(code(&run), 74, "{}", stderr(&run));
    let made = finished(&["state", "backup", "copy.db"], populated.setup.folder()).await;
    assert_eq!(code(&made), 74, "{}", stderr(&made));
    assert!(stderr(&made).contains("its `-wal` lacks commits"), "{}", stderr(&made));
    let check = finished(&["state", "check", "--state", "copy.db"], populated.setup.folder()).await;
    assert_eq!(code(&check), 0, "the copy is an older state: {}", stdout(&check));
}

/// Like [`Setup::drain`], without the lag of the populated state's sources.
async fn drain_at_once(setup: &Setup) {
    let mut command = command();
    command.args(["run", "--once"]).current_dir(setup.folder());
    for source in ["SUPPORT", "OFFICE"] {
        command.env(format!("B24RELAY_SOURCES__{source}__CONFIRM_LAG"), "0s");
    }
    let once = finished_command(command).await;
    assert_eq!(code(&once), 0, "{}", stderr(&once));
}

/// The state after a copy replaced the state file of a killed daemon.
#[tokio::test]
async fn an_index_of_another_log_beside_a_sound_state_is_no_damage() {
    let [populated, other] =
        [PopulatedState::of_mode("journal").await, PopulatedState::of_mode("journal").await];
    let setup = &populated.setup;
    populated.receiver.answer_always(None);
    assert_eq!(code(&finished(&["state", "backup", "copy.db"], setup.folder()).await), 0);
    fs::remove_file(setup.path("b24relay.db-wal")).unwrap();
    for index in [populated.files[2].clone(), other.files[2].clone(), vec![7; 32768], Vec::new()] {
        fs::copy(setup.path("copy.db"), setup.path(STATE)).unwrap();
        fs::write(setup.path("b24relay.db-shm"), &index).unwrap();
        checked(setup, 0).await;
        fs::write(setup.path("b24relay.db-shm"), &index).unwrap();
        drain_at_once(setup).await;
        assert!(!setup.path("b24relay.db-shm").exists());
    }
    // A copy that is older than the existing log.
    populated.put_into(setup.folder());
    fs::write(setup.path("b24relay.db-shm"), &other.files[2]).unwrap();
    drain_at_once(setup).await;
    assert_eq!(populated.receiver.accepted_ids().iter().max(), populated.portal.ids(2).await.last());
}

#[tokio::test]
async fn an_event_of_any_depth_is_sound() {
    let populated = PopulatedState::of_mode("journal").await;
    let store = Store::open(&populated.setup.path(STATE)).unwrap();
    let queue = populated.queue("support");
    let lane = store.bind(&queue).await.unwrap().lanes.remove("crm").unwrap();
    let event = Event {
        queue: Arc::clone(&queue),
        id: EventId::try_new(77_777).unwrap(),
        kind: "ONIMV2MESSAGEADD".into(),
        date: RawValue::from_string("\"2025-01-15T10:30:00+02:00\"".into()).unwrap(),
        data: RawValue::from_string("[".repeat(2000) + &"]".repeat(2000)).unwrap(),
    };
    let reason = "the receiver answered 422".to_owned();
    let new_letter =
        NewDeadLetter { event, reason, status: Some(422), answer: "no".into(), attempts: 1, first_ms: 1 };
    let (checkpoint, mark, start_ms) = (lane.checkpoint, lane.mark, lane.start_ms);
    let tally = Tally { buried: 1, ..Tally::default() };
    let progress = Progress { checkpoint, tally, new_letters: vec![new_letter], mark, start_ms };
    store.commit("support", "crm", progress).await.unwrap();
    drop(store);
    checked(&populated.setup, 0).await;
    let made = finished(&["state", "backup", "copy.db"], populated.setup.folder()).await;
    assert_eq!(code(&made), 0, "{}", stderr(&made));
}

#[tokio::test]
async fn a_copy_holds_all_that_decides() {
    let populated = PopulatedState::of_mode("journal").await;
    let made = finished(&["state", "backup", "copy.db"], populated.setup.folder()).await;
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    let truth = populated.truth();
    for table in ["source", "lane", "batch", "dead letter", "memory"] {
        let is_of_table = |row: &Vec<_>| row[0] == rusqlite::types::Value::Text(table.to_owned());
        assert!(truth.iter().any(is_of_table), "nothing in {table}: this test proves nothing");
    }
    assert_eq!(deciding(&populated.setup.path("copy.db")).unwrap(), truth);
}

/// Events confirmed after the copy are gone at the portal, but were delivered. The others arrive.
#[tokio::test]
async fn a_relay_goes_on_from_a_copy_without_an_error_and_loses_nothing() {
    for mode in ["direct", "journal"] {
        let (portal, receiver) = (Portal::start().await, Receiver::start().await);
        let setup = Setup::new().with(&format!("[delivery]\nmode = \"{mode}\""));
        let setup = setup.with_source(&portal).with_file().with_receiver(&receiver);
        portal.record(1, 5).await;
        setup.drain().await;
        assert_eq!(code(&finished(&["state", "backup", "copy.db"], setup.folder()).await), 0);
        portal.record(1, 5).await;
        let mut relay = setup.run();
        let confirmed = async || portal.stats(1).await["confirmed"] == 10;
        until("all is confirmed", confirmed).await;
        assert_eq!(relay.stop().await, 0, "{}", relay.log());
        portal.record(1, 5).await;

        // As on another host: there is only the copy.
        fs::remove_file(setup.path(STATE)).unwrap();
        fs::rename(setup.path("copy.db"), setup.path(STATE)).unwrap();
        let log = setup.drain().await;
        assert!(!log.contains("ERROR"), "{mode}: {log}");
        assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
        assert_at_least_once(&receiver.accepted_ids(), &portal.ids(1).await, 1, 5);
        portal.assert_nothing_confirmed_unseen(1).await;
    }
}

#[tokio::test]
async fn damage_met_in_the_middle_ends_the_process_before_anything_is_confirmed() {
    // Damage by a failing disk, by an operator with a shell, and by a page with invalid content.
    let malformed =
        "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = 99999 WHERE name = 'lane';
         PRAGMA schema_version = 1000";
    for mode in ["direct", "journal"] {
        for sql in ["UPDATE lane SET next = next + 1000000", "DROP TABLE lane", malformed] {
            let portal = Portal::start().await;
            let setup = Setup::new().with(&format!("[delivery]\nmode = \"{mode}\""));
            let setup = setup.with_source(&portal).with_file();
            portal.record(1, 5).await;
            let mut relay = setup.run();
            until("all is confirmed, and on record", async || {
                let lane = setup.lane_of("archive").await;
                portal.stats(1).await["confirmed"] == 5 && lane["delivered"] == 5
            })
            .await;
            tamper(&setup, sql);
            portal.record(1, 5).await;
            assert_eq!(relay.exit_code().await, 74, "{mode}, {sql}: {}", relay.log());
            let log = relay.log();
            assert!(log.contains("is damaged") && log.contains("`b24relay state check`"), "{sql}: {log}");
            assert!(!log.contains("panicked"), "{sql}: {log}");
            let again = finished(&["run"], setup.folder()).await;
            assert_eq!(code(&again), 74, "{mode}, {sql}: {}", stderr(&again));
            let stats = portal.stats(1).await;
            assert_eq!(stats["confirmed_unserved"], 0, "{stats}");
            if mode == "direct" {
                assert_eq!(
                    stats["confirmed"], 5,
                    "{sql}: nothing that is not on record is confirmed: {stats}"
                );
            }
        }
    }
}
