//! `tap`: shows each event once, and takes none away from other readers.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use rustix::process::Signal;
use serde_json::json;

use crate::support::expected::ledger::{assert_exactly_once, ids_in};
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, append, code, command, finished, output_of, stderr, stdout};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;

fn tap(setup: &Setup, args: &[&str]) -> Command {
    let mut tap = command();
    tap.args(["tap", "support"]).args(args).current_dir(setup.folder());
    tap
}

/// A tap in the background that prints to `out`.
fn start(setup: &Setup, args: &[&str]) -> Relay {
    Relay::start_command(tap(setup, args), setup.folder(), append(&setup.path("out")).into())
}

/// How many complete lines it has printed so far.
fn shown_count(setup: &Setup) -> usize {
    fs::read_to_string(setup.path("out")).unwrap_or_default().matches('\n').count()
}

async fn assert_all_still_there(portal: &Portal, count: usize) {
    let stats = portal.stats(1).await;
    assert_eq!((&stats["confirmed"], &stats["pending"]), (&json!(0), &json!(count)), "{stats}");
}

#[tokio::test]
async fn one_look_shows_what_is_waiting_as_the_sinks_would() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 12).await;
    let looked = finished(&["tap", "support", "--once"], setup.folder()).await;
    assert_eq!((code(&looked), stderr(&looked).as_str()), (0, ""));
    assert_all_still_there(&portal, 12).await;
    assert!(!setup.path("b24relay.db").exists() && !setup.path("events.jsonl").exists());

    assert_eq!(code(&finished(&["run", "--once"], setup.folder()).await), 0);
    assert_eq!(fs::read_to_string(setup.path("events.jsonl")).unwrap(), stdout(&looked));
}

#[tokio::test]
async fn it_follows_and_shows_each_event_once() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 5).await;
    portal.record_as(json!({"user": 1, "count": 1, "hold": true})).await;
    portal.record(1, 5).await;
    let mut tap = start(&setup, &[]);
    until("the first are shown", async || shown_count(&setup) >= 10).await;
    let polls = portal.polls().await;
    until("it looks again and again", async || portal.polls().await > polls + 3).await;
    portal.post("release", json!({"user": 1})).await;
    portal.record(1, 5).await;
    until("the late one and the new ones are shown", async || shown_count(&setup) >= 16).await;
    assert_eq!(tap.stop().await, 0, "{}", tap.log());
    let mut shown = ids_in(&setup.path("out"), false);
    assert!(!shown.is_sorted(), "the late one came late");
    shown.sort_unstable();
    assert_exactly_once(&shown, &portal.ids(1).await);
    assert_all_still_there(&portal, 16).await;
}

#[tokio::test]
async fn a_daemon_beside_it_misses_nothing() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    let mut tap = start(&setup, &[]);
    let mut relay = Relay::start_command(
        {
            let mut run = command();
            run.arg("run").current_dir(setup.folder());
            run
        },
        setup.folder(),
        append(&setup.path("run.out")).into(),
    );
    for _ in 0..10 {
        portal.record(1, 20).await;
    }
    until("all are filed", async || setup.filed_count() >= 200).await;
    assert_eq!((relay.stop().await, tap.stop().await), (0, 0), "{}", tap.log());
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
    portal.assert_nothing_confirmed_unseen(1).await;
    let shown = ids_in(&setup.path("out"), false);
    assert_eq!(shown.iter().collect::<BTreeSet<_>>().len(), shown.len(), "none was shown twice");
}

#[tokio::test]
async fn only_the_types_asked_for_are_shown() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    for kind in ["ONIMV2MESSAGEADD", "ONIMV2JOINCHAT", "ONIMV2MESSAGEDELETE"] {
        portal.record_as(json!({"user": 1, "count": 2, "type": kind})).await;
    }
    let args = ["tap", "support", "--once", "--types", "onimv2joinchat,ONIMV2MESSAGEDELETE"];
    let looked = finished(&args, setup.folder()).await;
    assert_eq!(stdout(&looked).lines().count(), 4, "{}", stdout(&looked));
    assert!(!stdout(&looked).contains("MESSAGEADD"), "{}", stdout(&looked));
}

#[tokio::test]
async fn people_get_a_short_line_for_each_event() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record_as(json!({"user": 1, "count": 1, "text": "hello \u{1b}[2J there"})).await;
    let looked = finished(&["tap", "support", "--once", "--format", "text"], setup.folder()).await;
    let shown = stdout(&looked);
    assert!(shown.contains("support") && shown.contains("hello  [2J there"), "{shown}");
    assert!(!shown.contains('\u{1b}') && !shown.starts_with('{'), "{shown}");
}

#[tokio::test]
async fn what_lies_behind_a_full_page_is_told() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 1005).await;
    let looked = finished(&["tap", "support", "--once"], setup.folder()).await;
    assert_eq!((code(&looked), stdout(&looked).lines().count()), (0, 1000));
    assert!(stderr(&looked).contains("1000 events and more are waiting"), "{}", stderr(&looked));
    assert_all_still_there(&portal, 1005).await;
}

#[tokio::test]
async fn a_page_too_large_is_looked_at_in_part() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record_as(json!({"user": 1, "count": 40, "bytes": 1_000_000})).await;
    let looked = finished(&["tap", "support", "--once"], setup.folder()).await;
    assert_eq!(code(&looked), 0, "{}", stderr(&looked));
    let count = stdout(&looked).lines().count();
    assert!((1..=16).contains(&count), "{count}");
    assert!(stderr(&looked).contains("and more are waiting"), "{}", stderr(&looked));
}

#[tokio::test]
async fn refusals_are_told_and_waited_out() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 3).await;
    portal.fault(json!({"kind": "error", "status": 503, "code": "QUERY_LIMIT_EXCEEDED"})).await;
    portal.fault(json!({"kind": "html", "status": 502})).await;
    let looked = finished(&["tap", "support", "--once"], setup.folder()).await;
    assert_eq!((code(&looked), stdout(&looked).lines().count()), (0, 3), "{}", stderr(&looked));
    for words in ["QUERY_LIMIT_EXCEEDED", "502", "again in"] {
        assert!(stderr(&looked).contains(words), "no `{words}` in: {}", stderr(&looked));
    }
}

#[tokio::test]
async fn a_refusal_that_needs_a_person_ends_it_with_the_cure() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    let secret = portal.code(1);
    let mut tap = start(&setup, &[]);
    until("it has looked", async || portal.polls().await > 0).await;
    portal.post("users/1", json!({"code": "another"})).await;
    assert_eq!(tap.exit_code().await, 77, "{}", tap.log());
    for words in ["INVALID_CREDENTIALS", "create the incoming webhook again"] {
        assert!(tap.log().contains(words), "{}", tap.log());
    }
    assert!(!tap.log().contains(&secret));
}

#[tokio::test]
async fn a_single_look_gives_up_on_a_portal_that_stays_down() {
    let setup =
        Setup::new().with("[sources.support]\nwebhook_url = \"http://127.0.0.1:1/rest/1/abc/\"").with_file();
    let mut tap = start(&setup, &["--once"]);
    tap.until_logged("cannot connect").await;
    // SIGHUP shortens the delays.
    until("it leaves", async || {
        let is_running = tap.is_running();
        if is_running {
            tap.signal(Signal::HUP);
        }
        !is_running
    })
    .await;
    assert_eq!(tap.exit_code().await, 69, "{}", tap.log());
}

#[tokio::test]
async fn a_reader_who_has_seen_enough_ends_it() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 3).await;
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut tap = Relay::start_command(tap(&setup, &[]), setup.folder(), writer.into());
    assert_eq!(tap.exit_code().await, 0, "{}", tap.log());
}

#[test]
fn an_unknown_source_is_a_usage_error_that_names_the_known_ones() {
    let setup =
        Setup::new().with("[sources.support]\nwebhook_url = \"https://a.example/rest/1/abc/\"").with_file();
    let mut tap = command();
    tap.args(["tap", "suport"]).current_dir(setup.folder());
    let refused = output_of(tap);
    assert_eq!(code(&refused), 64);
    assert!(stderr(&refused).contains("only support"), "{}", stderr(&refused));
}
