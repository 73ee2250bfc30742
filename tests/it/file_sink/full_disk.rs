//! A full disk: the relay keeps running, reports the problem, and loses nothing. A limit on the size of files simulates
//! the disk.

use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::expected::ledger::assert_exactly_once;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, append, code, command, finished, stdout};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;

/// The limit is in blocks of 512 bytes.
fn run_with_files_up_to(blocks: u64, setup: &Setup) -> Relay {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" run")]);
    shell.arg(command().get_program()).env_clear().current_dir(setup.folder()).stdin(Stdio::null());
    Relay::start_command(shell, setup.folder(), append(&setup.path("out")).into())
}

#[tokio::test]
async fn a_state_that_does_not_fit_is_waited_for() {
    let portal = Portal::start().await;
    // A commit for each event, so that the state grows faster than the file.
    let setup = Setup::new().with_user(&portal, "support", 1, 1).with_file();
    portal.record(1, 60).await;
    let mut relay = run_with_files_up_to(640, &setup);
    relay.until_logged("cannot write the state, will try again").await;
    // All status outputs show it, although it cannot be stored in the state file.
    let health = finished(&["healthcheck"], setup.folder()).await;
    assert_eq!(code(&health), 69, "{}", stdout(&health));
    let status = finished(&["status"], setup.folder()).await;
    for told in [stdout(&health), stdout(&status)] {
        assert!(told.contains("nothing goes on until the state can be written: "), "{told}");
    }
    let confirmed = portal.stats(1).await["confirmed"].as_u64().unwrap();
    assert!(relay.is_running() && confirmed < 60, "{}", relay.log());
    portal.record(1, 5).await;
    assert_eq!(relay.stop().await, 75, "{}", relay.log());

    let mut relay = setup.run();
    until("all are filed", async || setup.filed_count() >= 65).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
    portal.assert_nothing_confirmed_unseen(1).await;
}

#[tokio::test]
async fn a_file_that_does_not_fit_is_waited_for() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_lag("0s").with_user(&portal, "support", 1, 10).with_file();
    // The state file reuses space, while the events file grows. So there is room for the state and its log, but not for
    // the events file.
    for _ in 0..8 {
        portal.record_as(json!({"user": 1, "count": 100, "bytes": 4000})).await;
        setup.drain().await;
    }
    portal.record_as(json!({"user": 1, "count": 60, "bytes": 4000})).await;
    let before = setup.filed_count();
    let length = std::fs::metadata(setup.path("events.jsonl")).unwrap().len();
    let mut relay = run_with_files_up_to(length / 512 + 200, &setup);
    relay.until_logged("attempt failed, will try again").await;
    assert!(relay.log().contains("events.jsonl") && relay.is_running(), "{}", relay.log());
    assert_eq!(relay.stop().await, 0, "what is left is in the journal: {}", relay.log());
    let filed = setup.filed_ids();
    assert!((before..before + 60).contains(&filed.len()), "{} whole lines", filed.len());

    let mut relay = setup.run();
    until("all are filed", async || setup.filed_count() >= before + 60).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
    portal.assert_nothing_confirmed_unseen(1).await;
}

#[tokio::test]
async fn a_log_that_does_not_fit_stops_nobody() {
    let portal = Portal::start().await;
    let setup = Setup::new().with("[log]\nlevel = \"trace\"").with_user(&portal, "support", 1, 1);
    let setup = setup.with_stdout();
    // The events go to a pipe, which has no size. Only the log exceeds the limit.
    let (mut reader, writer) = std::io::pipe().unwrap();
    let counter = std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    let log = append(&setup.path("err"));
    log.set_len(10 << 20).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 20000; exec \"$0\" run"]);
    shell.arg(command().get_program()).env_clear().current_dir(setup.folder()).stdin(Stdio::null());
    let mut relay = Relay::start_command(shell, setup.folder(), writer.into());
    portal.record(1, 5).await;
    until("all are confirmed", async || portal.stats(1).await["confirmed"] == 5).await;
    assert_eq!(relay.stop().await, 0);
    drop(relay);
    assert!(counter.join().unwrap().unwrap() > 0);
    assert_eq!(log.metadata().unwrap().len(), 10 << 20, "nothing fitted into the log");
}

#[tokio::test]
async fn a_disk_that_is_full_at_the_start_is_told() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    let mut relay = run_with_files_up_to(4, &setup);
    assert_eq!(relay.exit_code().await, 74, "{}", relay.log());
    assert!(relay.log().contains("cannot use the state file"), "{}", relay.log());
    assert_eq!(portal.polls().await, 0);

    let mut relay = setup.run();
    portal.record(1, 2).await;
    until("both are filed", async || setup.filed_count() == 2).await;
    assert_eq!(relay.stop().await, 0, "what the full disk left behind is no obstacle: {}", relay.log());
}
