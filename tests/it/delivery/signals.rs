//! The end of a run after a stop signal, and the effects of SIGHUP.

use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::json;

use crate::support::expected::ledger::{assert_at_least_once, assert_exactly_once, ids_in};
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, command};
use crate::support::process::setup::Setup;
use crate::support::process::terminal::pair;
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::{Answer, Receiver};

/// A webhook sink with delays longer than every test, so only a signal can end them.
fn with_slow_retries(setup: Setup, receiver: &Receiver) -> Setup {
    let url = receiver.url();
    setup.with(&format!(
        "[sinks.crm]\ntype = \"webhook\"\nurl = \"{url}\"\ntimeout = \"5m\"\nordering = \"strict\"\nretry = {{ min = \"50m\", max = \"1h\" }}"
    ))
}

/// A relay with waiting events, whose receiver answers the first one and holds the second.
async fn held_in_the_middle(grace: &str, answer: Answer) -> (Portal, Receiver, Setup, Relay) {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup = Setup::new().with(&format!("shutdown_grace = \"{grace}\"")).with_source(&portal);
    let setup = with_slow_retries(setup, &receiver);
    receiver.script([Answer::Status(200), answer]);
    portal.record(1, 10).await;
    let relay = setup.run();
    until("the second event is at the receiver", async || receiver.count() == 2).await;
    (portal, receiver, setup, relay)
}

#[tokio::test]
async fn a_stop_while_idle_ends_cleanly() {
    for signal in [Signal::TERM, Signal::INT] {
        let portal = Portal::start().await;
        let setup = Setup::new().with_source(&portal).with_file();
        portal.record(1, 3).await;
        let mut relay = setup.run();
        until("all three are filed", async || setup.filed_count() == 3).await;
        relay.signal(signal);
        assert_eq!(relay.exit_code().await, 0, "{}", relay.log());
    }
}

#[tokio::test]
async fn a_stop_while_the_portal_is_slow_to_answer_does_not_wait_for_it() {
    let portal = Portal::start().await;
    portal.fault(json!({"kind": "stall", "seconds": 3600})).await;
    let url = portal.webhook_url(1);
    let setup = Setup::new()
        .with("shutdown_grace = \"10m\"")
        .with(&format!("[sources.support]\nwebhook_url = \"{url}\"\npoll.timeout = \"65s\""))
        .with_file();
    let mut relay = setup.run();
    until("the poll is under way", async || portal.polls().await == 1).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
}

#[tokio::test]
async fn a_stop_in_the_middle_of_a_batch_delivers_the_rest_of_it() {
    let (portal, receiver, _setup, mut relay) = held_in_the_middle("10m", Answer::Hold).await;
    relay.signal(Signal::TERM);
    relay.until_logged("stopping").await;
    assert!(relay.is_running(), "{}", relay.log());
    receiver.release();
    assert_eq!(relay.exit_code().await, 0, "{}", relay.log());
    assert_exactly_once(&receiver.accepted_ids(), &portal.ids(1).await);
}

#[tokio::test]
async fn a_stop_while_the_sink_is_down_leaves_at_once_and_loses_nothing() {
    let (portal, receiver, setup, mut relay) = held_in_the_middle("10m", Answer::Status(500)).await;
    relay.until_logged("attempt failed").await;
    assert_eq!(relay.stop().await, 0, "what is left is in the state file: {}", relay.log());

    let mut relay = setup.run();
    until("the rest arrives", async || receiver.accepted_ids().len() == 10).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_exactly_once(&receiver.accepted_ids(), &portal.ids(1).await);
    portal.assert_nothing_confirmed_unseen(1).await;
}

#[tokio::test]
async fn the_grace_ends_a_drain_that_hangs() {
    for grace in ["0s", "50ms"] {
        let (portal, receiver, setup, mut relay) = held_in_the_middle(grace, Answer::Hang).await;
        assert_eq!(relay.stop().await, 75, "{}", relay.log());

        let recorded = portal.ids(1).await;
        let _relay = setup.run();
        until("the rest arrives", async || receiver.accepted_ids().last() == recorded.last()).await;
        // The first event may not have been committed when the grace period ended.
        assert_at_least_once(&receiver.accepted_ids(), &recorded, 1, 1);
    }
}

#[tokio::test]
async fn a_second_signal_leaves_at_once_and_says_which_it_was() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let (_portal, _receiver, _setup, mut relay) = held_in_the_middle("10m", Answer::Hang).await;
        relay.signal(signal);
        relay.until_logged("stopping").await;
        assert!(relay.is_running(), "{}", relay.log());
        until("it leaves", async || {
            let is_running = relay.is_running();
            if is_running {
                relay.signal(signal);
            }
            !is_running
        })
        .await;
        assert_eq!(relay.exit_code().await, code, "{}", relay.log());
    }
}

#[tokio::test]
async fn signals_that_come_together_are_one_stop() {
    let (portal, receiver, _setup, mut relay) = held_in_the_middle("10m", Answer::Hold).await;
    // Like timeout(1), which signals the process and then its group.
    for signal in [Signal::TERM, Signal::TERM, Signal::INT] {
        relay.signal(signal);
    }
    relay.until_logged("stopping").await;
    receiver.release();
    assert_eq!(relay.exit_code().await, 0, "{}", relay.log());
    assert_exactly_once(&receiver.accepted_ids(), &portal.ids(1).await);
}

/// A relay with a controlling terminal, started by `launcher`, and that terminal.
async fn on_a_terminal(launcher: &[&str]) -> (Portal, Setup, Relay, OwnedFd) {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    let (terminal, slave) = pair();
    let relay = env!("CARGO_BIN_EXE_b24relay");
    let mut run = Command::new("setsid");
    run.args(["--ctty"]).args(launcher).args([relay, "run"]);
    run.env_clear().env("PATH", "/usr/bin:/bin").current_dir(setup.folder()).stdin(slave);
    let relay = Relay::start_command(run, setup.folder(), Stdio::null());
    relay.until_logged("source started").await;
    (portal, setup, relay, terminal)
}

#[tokio::test]
async fn a_closed_terminal_ends_the_run_that_was_started_on_it() {
    let shell = ["sh", "-c", "\"$@\"; true", "sh"];
    for launcher in [&[][..], &shell] {
        let (portal, setup, mut relay, terminal) = on_a_terminal(launcher).await;
        portal.record(1, 3).await;
        until("all three are filed", async || setup.filed_count() == 3).await;
        drop(terminal);
        relay.until_logged("b24relay stopped: everything that was read is delivered").await;
        relay.ended().await;
    }
}

#[tokio::test]
async fn a_nudge_is_no_closed_terminal() {
    let (_portal, _setup, mut relay, terminal) = on_a_terminal(&[]).await;
    relay.signal(Signal::HUP);
    relay.until_logged("configuration reloaded").await;
    assert!(relay.is_running(), "{}", relay.log());
    drop(terminal);
    assert_eq!(relay.exit_code().await, 0, "{}", relay.log());
}

#[tokio::test]
async fn a_run_under_nohup_outlives_its_terminal_and_still_reloads() {
    let (_portal, _setup, mut relay, terminal) = on_a_terminal(&["nohup"]).await;
    drop(terminal);
    relay.until_logged("configuration reloaded").await;
    assert!(relay.is_running(), "{}", relay.log());
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
}

#[tokio::test]
async fn a_nudge_reopens_a_file_that_was_moved_away() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 20).await;
    let mut relay = setup.run();
    until("twenty are filed", async || setup.filed_count() == 20).await;

    std::fs::rename(setup.path("events.jsonl"), setup.path("events.jsonl.1")).unwrap();
    relay.signal(Signal::HUP);
    // The signal arrives at an unknown time, so events continue until then.
    until("the new file is there", async || {
        portal.record(1, 1).await;
        setup.path("events.jsonl").exists()
    })
    .await;
    let moved = setup.path("events.jsonl.1");
    let moved_bytes = std::fs::metadata(&moved).unwrap().len();
    portal.record(1, 20).await;
    let ids = portal.ids(1).await;
    let kept = ids_in(&moved, false);
    until("all are filed", async || kept.len() + setup.filed_count() >= ids.len()).await;

    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_exactly_once(&[kept, setup.filed_ids()].concat(), &ids);
    assert!(setup.filed_ids().len() >= 20);
    assert_eq!(std::fs::metadata(&moved).unwrap().len(), moved_bytes, "the old file is left alone");
}

#[tokio::test]
async fn a_nudge_ends_the_wait_of_a_source_that_was_refused() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    let code = portal.code(1);
    let mut relay = setup.run();
    until("the relay is let in", async || portal.polls().await > 0).await;
    portal.post("users/1", json!({"code": "another"})).await;
    portal.record(1, 3).await;
    relay.until_logged("the portal refuses this source").await;
    // Twice, because the second wait is longer than any test.
    until("it is refused twice", async || {
        relay.signal(Signal::HUP);
        relay.log().matches("the portal refuses this source").count() >= 2
    })
    .await;
    portal.post("users/1", json!({"code": code})).await;
    until("all three are filed", async || {
        relay.signal(Signal::HUP);
        setup.filed_count() == 3
    })
    .await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
}

#[tokio::test]
async fn a_nudge_ends_the_wait_of_a_sink_that_was_down() {
    for refusal in [500, 401] {
        let (portal, receiver, _setup, mut relay) = held_in_the_middle("10m", Answer::Status(refusal)).await;
        until("the rest arrives", async || {
            relay.signal(Signal::HUP);
            receiver.accepted_ids().len() == 10
        })
        .await;
        assert_eq!(relay.stop().await, 0, "{}", relay.log());
        assert_exactly_once(&receiver.accepted_ids(), &portal.ids(1).await);
    }
}

#[tokio::test]
async fn a_closed_standard_output_ends_the_run_and_loses_nothing() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_stdout();
    portal.record(1, 5).await;
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut relay = Relay::start_with(setup.folder(), &[], Stdio::from(writer));
    assert_eq!(relay.exit_code().await, 74, "{}", relay.log());
    assert!(relay.log().contains("sinks.console"), "{}", relay.log());

    let mut relay = setup.run();
    until("all five are printed", async || setup.printed_ids().len() == 5).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_exactly_once(&setup.printed_ids(), &portal.ids(1).await);
}

#[tokio::test]
async fn a_log_that_nobody_takes_does_not_stop_the_relay() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 3).await;
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut run = command();
    run.arg("run").current_dir(setup.folder());
    let mut relay = Relay::start_logging_to(run, setup.folder(), writer.into());
    until("all three are filed", async || setup.filed_count() == 3).await;
    assert_eq!(relay.stop().await, 0);
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
}

#[tokio::test]
async fn a_drain_that_is_stopped_is_not_called_complete() {
    let portal = Portal::start().await;
    portal.record(1, 20).await;
    // A pause between pages longer than the test.
    let poll = r#"poll = { busy = "5m", limit = 10 }"#;
    let source = format!("[sources.support]\nwebhook_url = \"{}\"\n{poll}", portal.webhook_url(1));
    let setup = Setup::new().with(&source).with_file();
    let mut relay = Relay::start(setup.folder(), &["--once"]);
    until("the first page is filed", async || setup.filed_count() == 10).await;
    assert_eq!(relay.stop().await, 75, "{}", relay.log());
}
