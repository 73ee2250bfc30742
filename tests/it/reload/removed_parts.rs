//! The effects of a reload on removed sources and sinks: their problems are no longer reported, their events are, and a
//! hanging one delays only the reload.

use serde_json::json;

use crate::reload::reloading::{apply, refuse};
use crate::support::expected::ledger::assert_exactly_once;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, command};
use crate::support::process::setup::Setup;
use crate::support::process::shown::{LISTEN, Shown};
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::Receiver;

const NO_HOLD: &str = "[delivery]\nhold = \"0s\"";

#[tokio::test]
async fn a_source_that_is_gone_is_nobodys_trouble() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup = |setup: Setup| setup.with(NO_HOLD).with(LISTEN).with_receiver(&receiver);
    let first = setup(Setup::new()).with_user(&portal, "support", 1, 100).with_user(&portal, "sales", 2, 100);
    let fault =
        json!({"kind": "error", "status": 401, "code": "INVALID_CREDENTIALS", "times": 10_000, "user": 2});
    portal.fault(fault).await;
    let mut shown = Shown::start(&first).await;
    until("a person is needed", async || shown.text("readyz").await.1.contains("source `sales`")).await;

    let _second = setup(first.anew()).with_user(&portal, "support", 1, 100);
    apply(&shown.relay).await;
    until("nobody is needed", async || shown.text("readyz").await.1 == "ok\n").await;
    for path in ["", "status", "metrics"] {
        let (_, text) = shown.text(path).await;
        let lines = text.lines().filter(|line| !line.contains("polls") && !line.contains("source_errors"));
        let told: Vec<&str> =
            lines.filter(|line| line.contains("sales") && line.contains("needs_operator")).collect();
        assert!(told.is_empty(), "{path}: {told:#?}");
    }
    assert_eq!(shown.metric(r#"b24relay_source_up{source="sales"}"#).await, None);
    assert_eq!(shown.metric(r#"b24relay_source_up{source="support"}"#).await, Some(1.0));
    assert_eq!(shown.relay.stop().await, 0, "{}", shown.relay.log());
}

#[tokio::test]
async fn what_the_journal_has_of_a_source_that_is_gone_is_told_and_comes_when_it_is_back() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    receiver.answer_always(Some(503));
    let setup = |setup: Setup, name: &str| {
        setup.with(NO_HOLD).with_user(&portal, name, 1, 100).with_receiver(&receiver)
    };
    let first = setup(Setup::new(), "support");
    portal.record(1, 5).await;
    let mut relay = first.run();
    until("they are in the journal", async || portal.stats(1).await["confirmed"] == 5).await;

    let told = "source is no longer configured: the journal keeps its events";
    let second = setup(first.anew(), "desk");
    assert!(apply(&relay).await.contains(told), "{}", relay.log());
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    let mut relay = second.run();
    until("it is told at a start as well", async || relay.log().matches(told).count() == 2).await;

    receiver.answer_always(None);
    let third = setup(second.anew(), "support");
    apply(&relay).await;
    until("all have arrived", async || receiver.accepted_ids().len() == 5).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_exactly_once(&receiver.accepted_ids(), &portal.ids(1).await);
    drop(third);
}

#[tokio::test]
async fn a_sink_that_hangs_holds_up_the_reload_and_nothing_else() {
    let portal = Portal::start().await;
    let setup = |setup: Setup, idle: &str| {
        let setup = setup.with(NO_HOLD).with(LISTEN).with_file().with_stdout();
        let url = portal.webhook_url(1);
        setup
            .with_unlimited(&portal)
            .with(&format!("[sources.support]\nwebhook_url = \"{url}\"\npoll.idle = \"{idle}\""))
    };
    let first = setup(Setup::new(), "20ms");
    // Nothing reads, and a pipe holds 64 KiB.
    let (reader, writer) = std::io::pipe().unwrap();
    portal.record_as(json!({"user": 1, "count": 40, "bytes": 4000})).await;
    let mut run = command();
    run.arg("run").current_dir(first.folder());
    let mut shown = Shown::of(Relay::start_command(run, first.folder(), writer.into())).await;
    until("the file has all", async || first.filed_count() == 40).await;

    let second = setup(first.anew(), "30ms");
    // A reload waits for an attempt that is younger than this, because it may still end.
    let age_s = r#"b24relay_sink_oldest_attempt_seconds{sink="console"}"#;
    let is_old = async || shown.metric(age_s).await.is_some_and(|age_s| age_s > 30.0);
    until("the attempt is under way for more than 30 s", is_old).await;
    let said = refuse(&shown.relay).await;
    assert!(said.contains("sinks.console: an attempt has been under way for"), "{said}");
    portal.record(1, 5).await;
    until("the file has what comes", async || second.filed_count() == 45).await;

    let reading = std::thread::spawn(move || std::io::copy(&mut { reader }, &mut std::io::sink()));
    until("the other one has all", async || second.lane_of("console").await["delivered"] == 45).await;
    apply(&shown.relay).await;
    portal.record(1, 5).await;
    until("the file has the rest", async || second.filed_count() == 50).await;
    assert_eq!(shown.relay.stop().await, 0, "{}", shown.relay.log());
    drop(shown);
    reading.join().unwrap().unwrap();
    assert_exactly_once(&second.filed_ids(), &portal.ids(1).await);
}
