//! A state file of the first layout: commands read it without changing it, and a run migrates it.

use std::fs;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::expected::ledger::assert_exactly_once;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{code, finished, stderr};
use crate::support::process::setup::Setup;

/// A state file in the first layout, with a checkpoint of `support` at `offset`.
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
    let lane = setup.lane_of("archive").await;
    assert_eq!((&lane["delivered"], &lane["filtered"]), (&json!(40), &json!(2)), "{lane}");
    for (args, exit) in [(["status"].as_slice(), 69), (&["offset", "show", "support"], 0)] {
        let shown = finished(args, setup.folder()).await;
        assert_eq!(code(&shown), exit, "{}", stderr(&shown));
        assert!(String::from_utf8_lossy(&shown.stdout).contains("archive"), "{args:?}");
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
    // With the next poll, the portal deletes the events that the old program had delivered.
    setup.drain().await;
    portal.assert_nothing_confirmed_unseen(1).await;
    assert_exactly_once(&setup.filed_ids(), &ids[2..]);
}
