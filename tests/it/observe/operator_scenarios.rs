//! Typical problems in operation: log priorities in journald, a broken configuration, files owned by root, and clocks
//! that differ.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::process::Stdio;

use rustix::process::geteuid;
use serde_json::json;

use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, append, code, command, finished, stderr, stdout};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::{Answer, Receiver};

/// Starts the relay of `setup` like a service manager whose journal reads its standard error, or the standard error of
/// another process.
fn run_with_journal(setup: &Setup, is_ours: bool) -> Relay {
    let log = append(&setup.path("err")).metadata().unwrap();
    let inode = if is_ours { log.ino() } else { log.ino() + 1 };
    let mut run = command();
    run.arg("run").current_dir(setup.folder()).env("JOURNAL_STREAM", format!("{}:{inode}", log.dev()));
    Relay::start_command(run, setup.folder(), Stdio::null())
}

#[tokio::test]
async fn journald_learns_how_grave_each_line_is() {
    for is_ours in [true, false] {
        let (portal, receiver) = (Portal::start().await, Receiver::start().await);
        let setup = Setup::new().with_source(&portal).with_receiver(&receiver);
        receiver.script([Answer::Status(503), Answer::Status(401)]);
        portal.record(1, 1).await;
        let mut relay = run_with_journal(&setup, is_ours);
        relay.until_logged("sink is held").await;
        relay.stop().await;
        let log = relay.log();
        let begins = |line: &str, prefix: &str| line.starts_with(prefix) == is_ours;
        for (text, prefix) in
            [("b24relay started", "<6>"), ("attempt failed, will try again", "<4>"), ("sink is held", "<3>")]
        {
            let line = log.lines().find(|line| line.contains(text)).unwrap();
            assert!(begins(line, prefix), "{line}");
        }
        assert!(log.lines().all(|line| begins(line, "<")), "{log}");
    }
}

#[tokio::test]
async fn a_daemon_can_be_looked_at_whatever_somebody_has_done_to_its_configuration() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 3).await;
    let mut relay = setup.run();
    until("three are filed", async || setup.filed_count() == 3).await;
    until("they are on record", async || setup.lane_of("archive").await["delivered"] == 3).await;
    let setup = setup.anew().with("[sources.support]\nwebhook_url_file = \"nowhere\"\n");
    for args in [&["status"][..], &["dead-letters", "list"], &["state", "check"]] {
        let looked = finished(args, setup.folder()).await;
        assert_eq!(code(&looked), 0, "{args:?}: {}", stderr(&looked));
    }
    let health = finished(&["healthcheck"], setup.folder()).await;
    assert_eq!(code(&health), 0, "{}", stdout(&health));
    assert!(stdout(&health).contains("the configuration has mistakes, which end the next start"));
    assert_eq!(code(&finished(&["healthcheck", "--strict"], setup.folder()).await), 69);
    relay.stop().await;
    std::fs::write(setup.path("b24relay.toml"), "state = 7").unwrap();
    let looked = finished(&["status"], setup.folder()).await;
    assert_eq!(code(&looked), 78, "{}", stderr(&looked));
    assert!(stderr(&looked).contains("state: "), "{}", stderr(&looked));
}

#[tokio::test]
async fn what_root_makes_belongs_to_whom_the_folder_belongs() {
    // Only root can change the owner of a file.
    if !geteuid().is_root() {
        return;
    }
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    std::fs::create_dir(setup.path("lib")).unwrap();
    chown(setup.path("lib"), Some(12345), Some(12346)).unwrap();
    let set =
        finished(&["offset", "set", "support", "5", "--state", "lib/b24relay.db"], setup.folder()).await;
    assert_eq!(code(&set), 0, "{}", stderr(&set));
    for name in ["lib/b24relay.db", "lib/b24relay.db.lock"] {
        let metadata = setup.path(name).metadata().unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (12345, 12346), "{name}");
    }
}

#[tokio::test]
async fn clocks_that_differ_are_told_once() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    let mut relay = setup.run();
    until("it polls", async || portal.polls().await > 2).await;
    assert!(!relay.log().contains("clock"), "{}", relay.log());
    portal.post("clock", json!({"advance_s": 7200})).await;
    relay.until_logged("this machine's clock and the portal's differ").await;
    let polls = portal.polls().await;
    until("it goes on polling", async || portal.polls().await > polls + 5).await;
    assert_eq!(relay.log().matches("clock and the portal's differ").count(), 1, "{}", relay.log());
    until("status tells", async || {
        let status = stdout(&finished(&["status"], setup.folder()).await);
        // An answer takes a moment: a little less than two hours is shown in minutes.
        ["2 h", "119 min"].iter().any(|ahead| {
            status.contains(&format!("support: the portal's clock is {ahead} ahead of this machine's"))
        })
    })
    .await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
}

#[tokio::test]
async fn check_says_whether_the_state_file_can_be_used() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    let check = async |state: &str| {
        let looked = finished(&["check", "--state", state], setup.folder()).await;
        (code(&looked), stdout(&looked))
    };
    let (first, said) = check("b24relay.db").await;
    assert!(first == 0 && said.contains("is made at the first start"), "{said}");
    assert!(!setup.path("b24relay.db").exists(), "a check makes nothing");
    let mut relay = setup.run();
    until("it runs", async || check("b24relay.db").await.1.contains("in use by process")).await;
    relay.stop().await;
    std::fs::write(setup.path("foreign.db"), "no database").unwrap();
    for (state, told) in [("foreign.db/b.db", "cannot look at it"), ("foreign.db", "cut off")] {
        let (left, said) = check(state).await;
        assert!(left == 74 && said.contains(told), "{state}: {left}: {said}");
    }
}
