//! `check`: it finds everything that would stop a run from working, and changes nothing.

use std::fs;
use std::net::SocketAddr;
use std::process::Output;

use axum::Router;
use axum::http::{Method as Verb, StatusCode};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{code, finished, stderr, stdout};
use crate::support::process::setup::Setup;
use crate::support::receivers::receiver::{Answer, Receiver};

const DEAD: &str = "http://127.0.0.1:1/rest/1/abc/";
const CHECKS: [&str; 9] =
    ["configuration", "reach", "credential", "scopes", "methods", "clock", "rate", "subscription", "backlog"];

/// A source with a poll interval that the portal allows.
fn with_user(setup: Setup, portal: &Portal, name: &str, user: u64) -> Setup {
    with_url(setup, name, &portal.webhook_url(user))
}

fn with_url(setup: Setup, name: &str, url: &str) -> Setup {
    setup.with(&format!("[sources.{name}]\nwebhook_url = \"{url}\"\npoll = {{ timeout = \"5s\" }}"))
}

async fn check(setup: &Setup) -> (i32, Value) {
    let checked = finished(&["check", "--json"], setup.folder()).await;
    let report = serde_json::from_slice(&checked.stdout);
    (code(&checked), report.unwrap_or_else(|error| panic!("{error}: {}", stderr(&checked))))
}

/// The state, detail and hint of one check of a source or sink.
fn found(report: &Value, subject: &str, check: &str) -> [String; 3] {
    let subjects = ["sources", "sinks"].map(|kind| report[kind].as_array().unwrap());
    let subject = subjects.into_iter().flatten().find(|other| other["name"] == subject).unwrap();
    let checks = subject["checks"].as_array().unwrap();
    let found = checks.iter().find(|other| other["check"] == check).unwrap_or_else(|| panic!("{subject}"));
    ["state", "detail", "hint"].map(|key| found[key].as_str().unwrap().to_owned())
}

fn state(report: &Value, subject: &str, check: &str) -> String {
    let [state, ..] = found(report, subject, check);
    state
}

/// The checks of a source with the state `wanted`, in order.
fn checks_in(report: &Value, subject: &str, wanted: &str) -> Vec<&'static str> {
    CHECKS.into_iter().filter(|check| state(report, subject, check) == wanted).collect()
}

fn assert_says(found: &[String; 3], state: &str, words: &[&str]) {
    assert_eq!(found[0], state, "{found:?}");
    for word in words {
        assert!(found[1].contains(word) || found[2].contains(word), "no `{word}` in {found:?}");
    }
}

#[tokio::test]
async fn all_is_well_and_nothing_is_touched() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup =
        with_user(Setup::new(), &portal, "support", 1).with_file().with_stdout().with_receiver(&receiver);
    portal.record(1, 7).await;
    let (code, report) = check(&setup).await;
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(checks_in(&report, "support", "skip"), ["subscription"], "{report:#}");
    assert_eq!(checks_in(&report, "support", "ok").len(), CHECKS.len() - 1, "{report:#}");
    assert_says(&found(&report, "support", "credential"), "ok", &["user 1", "administrator"]);
    assert_says(&found(&report, "support", "subscription"), "skip", &["`b24relay run` subscribes"]);
    let backlog = found(&report, "support", "backlog");
    assert_says(&backlog, "ok", &["7 waiting", "oldest from 20"]);
    assert!(!backlog[1].contains("at least"), "{backlog:?}");
    for sink in ["archive", "console", "crm"] {
        assert_eq!(state(&report, sink, "reach"), "ok", "{report:#}");
    }

    let stats = portal.stats(1).await;
    assert_eq!((&stats["confirmed"], &stats["pending"]), (&json!(0), &json!(7)), "{stats}");
    assert!(receiver.deliveries().iter().all(|delivery| delivery.event_id == 0), "a HEAD has no event");
    assert_eq!(fs::read_dir(setup.folder()).unwrap().count(), 1, "the configuration alone");
}

#[tokio::test]
async fn without_the_network_nobody_is_asked() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup = with_user(Setup::new(), &portal, "support", 1).with_receiver(&receiver);
    let checked = finished(&["check", "--no-network", "--json"], setup.folder()).await;
    let report: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(code(&checked), 0);
    for subject in [&report["sources"][0], &report["sinks"][0]] {
        assert_eq!(subject["checks"].as_array().unwrap().len(), 1, "{report:#}");
        assert_eq!(
            (&subject["checks"][0]["check"], &subject["checks"][0]["state"]),
            (&json!("configuration"), &json!("ok"))
        );
    }
    assert_eq!((requests(&portal).await, receiver.count()), (0, 0));
}

async fn requests(portal: &Portal) -> u64 {
    let stats = portal.control(Method::GET, "stats", Value::Null).await;
    stats["requests"].as_object().unwrap().values().filter_map(Value::as_u64).sum()
}

#[tokio::test]
async fn a_wrong_configuration_is_told_before_anybody_is_asked() {
    let portal = Portal::start().await;
    let setup = with_user(Setup::new(), &portal, "support", 1).with("[sinks.crm]\ntype = \"webhook\"");
    for args in [["check"].as_slice(), &["check", "--json"]] {
        let refused = finished(args, setup.folder()).await;
        assert_eq!((code(&refused), stdout(&refused).as_str()), (78, ""));
        assert!(stderr(&refused).contains("sinks.crm.url"), "{}", stderr(&refused));
    }
    assert_eq!(requests(&portal).await, 0);
}

#[tokio::test]
async fn a_refused_credential_comes_with_its_cure_and_the_rest_is_skipped() {
    let portal = Portal::start().await;
    let setup = with_user(Setup::new(), &portal, "support", 1).with_file();
    portal.post("users/1", json!({"code": "another"})).await;
    let (code, report) = check(&setup).await;
    assert_eq!(code, 77, "{report:#}");
    assert_eq!(state(&report, "support", "reach"), "ok", "somebody did answer");
    let words = ["INVALID_CREDENTIALS", "create the incoming webhook again"];
    assert_says(&found(&report, "support", "credential"), "fail", &words);
    let skipped = ["scopes", "methods", "clock", "subscription", "backlog"];
    assert_eq!(checks_in(&report, "support", "skip"), skipped, "{report:#}");
    assert_eq!(requests(&portal).await, 1, "nothing else is asked");
}

#[tokio::test]
async fn what_does_not_answer_as_a_portal_is_out_of_reach() {
    let portal = Portal::start().await;
    for fault in [
        None,
        Some(json!({"kind": "html", "status": 502})),
        Some(json!({"kind": "html", "status": 404})),
        Some(json!({"kind": "redirect", "status": 302, "location": "http://127.0.0.1:1/login"})),
        Some(json!({"kind": "close_before"})),
    ] {
        let url = if fault.is_some() { portal.webhook_url(1) } else { DEAD.to_owned() };
        if let Some(fault) = &fault {
            portal.post("faults", fault.clone()).await;
        }
        let setup = with_url(Setup::new(), "support", &url).with_file();
        let (code, report) = check(&setup).await;
        assert_eq!(code, 69, "{fault:?}: {report:#}");
        let reach = found(&report, "support", "reach");
        assert!(reach[0] == "fail" && !reach[2].is_empty(), "{fault:?}: {reach:?}");
        assert_eq!(state(&report, "support", "credential"), "skip", "{fault:?}");
    }
}

#[tokio::test]
async fn a_portal_that_wants_https_is_a_matter_of_the_configuration() {
    let portal = Portal::start().await;
    let setup = with_user(Setup::new(), &portal, "support", 1).with_file();
    portal.post("portal", json!({"require_https": true})).await;
    let (code, report) = check(&setup).await;
    assert_eq!(code, 78, "{report:#}");
    assert_says(&found(&report, "support", "credential"), "fail", &["INVALID_REQUEST", "https"]);
}

#[tokio::test]
async fn a_missing_scope_is_named() {
    let portal = Portal::start().await;
    let setup = with_user(Setup::new(), &portal, "support", 1).with_file();
    portal.post("users/1", json!({"scopes": ["crm", "imbot"]})).await;
    let (code, report) = check(&setup).await;
    assert_eq!(code, 77, "{report:#}");
    assert_says(&found(&report, "support", "scopes"), "fail", &["lacks `im`", "tick the scope `im`"]);
    assert_eq!(checks_in(&report, "support", "skip"), ["methods", "subscription", "backlog"]);
    assert_eq!(portal.polls().await, 0);
}

/// A fault that changes the answer of one method.
fn rewrite(method: &str, pointer: &str, value: &Value) -> Value {
    json!({"kind": "rewrite", "method": method, "pointer": pointer, "value": value})
}

#[tokio::test]
async fn what_works_but_is_odd_is_a_warning() {
    let portal = Portal::start().await;
    let url = portal.webhook_url(1);
    let source = format!("[sources.support]\nwebhook_url = \"{url}\"\npoll.idle = \"20ms\"");
    let setup = Setup::new().with(&source).with_file();
    let faults = json!([
        rewrite("method.get", "/result/isAvailable", &json!(false)),
        rewrite("server.time", "/result", &json!("2020-01-01T00:00:00+03:00")),
    ]);
    portal.post("faults", faults).await;
    let (code, report) = check(&setup).await;
    assert_eq!(code, 0, "{report:#}");
    let words = ["`im.v2.Event.subscribe` is not allowed", "not final"];
    assert_says(&found(&report, "support", "methods"), "warn", &words);
    assert_says(&found(&report, "support", "clock"), "warn", &["behind", "NTP"]);
    assert_says(&found(&report, "support", "rate"), "warn", &["50.0 a second", "poll.idle"]);
}

#[tokio::test]
async fn a_webhook_that_answers_for_somebody_else_is_not_used() {
    let portal = Portal::start().await;
    let setup = with_user(Setup::new(), &portal, "support", 1).with_file();
    portal.post("faults", rewrite("profile", "/result/ID", &json!("9"))).await;
    let (code, report) = check(&setup).await;
    assert_eq!(code, 78, "{report:#}");
    assert_says(&found(&report, "support", "credential"), "fail", &["user 9", "/user/1", "create a new one"]);
}

#[tokio::test]
async fn a_backlog_too_long_to_see_or_too_old_is_told() {
    let portal = Portal::start().await;
    let setup = with_user(Setup::new(), &portal, "support", 1).with_file();
    portal.record(1, 1001).await;
    let (code, report) = check(&setup).await;
    assert_eq!(code, 0, "{report:#}");
    assert_says(&found(&report, "support", "backlog"), "ok", &["at least 1000 waiting"]);

    portal.post("clock", json!({"set": "2026-01-01T00:00:00Z"})).await;
    portal.record(2, 1).await;
    let setup = with_user(Setup::new(), &portal, "sales", 2).with_file();
    let (code, report) = check(&setup).await;
    assert_eq!(code, 0, "{report:#}");
    assert_says(&found(&report, "sales", "backlog"), "warn", &["oldest from 2026-01-01T", "24 hours"]);
    assert_eq!(
        (&portal.stats(1).await["confirmed"], &portal.stats(2).await["confirmed"]),
        (&json!(0), &json!(0))
    );
}

#[tokio::test]
async fn a_refused_look_at_the_queue_is_a_failure_of_its_own() {
    let portal = Portal::start().await;
    let setup = with_user(Setup::new(), &portal, "support", 1).with_file();
    for (status, refusal, expected) in [(403, "ACCESS_DENIED", 77), (503, "QUERY_LIMIT_EXCEEDED", 69)] {
        portal.fault(json!({"kind": "error", "status": status, "code": refusal})).await;
        let (code, report) = check(&setup).await;
        assert_eq!(code, expected, "{report:#}");
        let backlog = found(&report, "support", "backlog");
        assert_says(&backlog, "fail", &[refusal]);
        assert!(!backlog[2].is_empty(), "{backlog:?}");
    }
}

#[tokio::test]
async fn every_source_is_checked_and_the_worst_one_decides() {
    let portal = Portal::start_with(b24_sandbox::SandboxConfig { users: 6, ..Default::default() }).await;
    let mut setup = with_url(Setup::new(), "dead", DEAD);
    for user in 1..=6 {
        setup = with_user(setup, &portal, &format!("user{user}"), user);
    }
    portal.post("users/3", json!({"code": "another"})).await;
    let (code, report) = check(&setup.with_file()).await;
    assert_eq!(code, 77, "{report:#}");
    let names: Vec<&Value> =
        report["sources"].as_array().unwrap().iter().map(|source| &source["name"]).collect();
    assert_eq!(names, ["dead", "user1", "user2", "user3", "user4", "user5", "user6"]);
    assert_eq!(
        (state(&report, "dead", "reach"), state(&report, "user3", "credential")),
        ("fail".into(), "fail".into())
    );
    for user in [1, 2, 4, 5, 6] {
        assert_eq!(state(&report, &format!("user{user}"), "backlog"), "ok", "{report:#}");
    }
}

#[tokio::test]
async fn a_sink_out_of_reach_is_told_without_its_address() {
    let (portal, folder) = (Portal::start().await, TempDir::new().unwrap());
    let path = folder.path().display();
    let setup = with_user(Setup::new(), &portal, "support", 1)
        .with(&format!("[sinks.folder]\ntype = \"file\"\npath = \"{path}\""))
        .with(&format!("[sinks.missing]\ntype = \"file\"\npath = \"{path}/a/b.jsonl\""))
        .with("[sinks.crm]\ntype = \"webhook\"\nurl = \"http://127.0.0.1:1/S3CRET?k=S3CRET\"");
    let checked = finished(&["check", "--json", "--log-level", "trace"], setup.folder()).await;
    let report: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(code(&checked), 69, "{report:#}");
    assert_says(&found(&report, "folder", "reach"), "fail", &["not a regular file", "correct `path`"]);
    assert_says(&found(&report, "missing", "reach"), "ok", &["can be created"]);
    assert_says(&found(&report, "crm", "reach"), "fail", &["127.0.0.1:1", "refused", "correct `url`"]);
    assert!(!format!("{}{}", stdout(&checked), stderr(&checked)).contains("S3CRET"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was created");
}

#[tokio::test]
async fn any_answer_of_a_receiver_will_do_and_no_redirect_is_followed() {
    let (portal, receiver, elsewhere) =
        (Portal::start().await, Receiver::start().await, Receiver::start().await);
    let setup = with_user(Setup::new(), &portal, "support", 1).with_receiver(&receiver);
    let location: &'static str = Box::leak(elsewhere.url().into_boxed_str());
    for (answer, status) in [
        (Answer::Status(405), "405"),
        (Answer::Status(500), "500"),
        (Answer::StatusWith(302, "location", location), "302"),
    ] {
        receiver.script([answer]);
        let (code, report) = check(&setup).await;
        assert_eq!(code, 0, "{report:#}");
        assert_says(&found(&report, "crm", "reach"), "ok", &[status]);
    }
    assert_eq!((receiver.count(), elsewhere.count()), (3, 0));
}

/// A receiver that only answers a HEAD request, with a 200.
async fn head_receiver() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = async |verb: Verb| if verb == Verb::HEAD { StatusCode::OK } else { StatusCode::IM_A_TEAPOT };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await.unwrap() });
    address
}

#[tokio::test]
async fn a_receiver_is_not_given_an_event_to_find_out() {
    let portal = Portal::start().await;
    let url = format!("http://{}/hooks", head_receiver().await);
    let setup = with_user(Setup::new(), &portal, "support", 1);
    let (code, report) =
        check(&setup.with(&format!("[sinks.crm]\ntype = \"webhook\"\nurl = \"{url}\""))).await;
    assert_eq!(code, 0, "{report:#}");
    assert_says(&found(&report, "crm", "reach"), "ok", &["200"]);
}

/// Whether a line of the output contains all of `words`.
fn has_line(output: &Output, words: &[&str]) -> bool {
    stdout(output).lines().any(|line| words.iter().all(|word| line.contains(word)))
}

#[tokio::test]
async fn people_get_a_table_with_the_cure_below_the_failure() {
    let portal = Portal::start().await;
    let setup = with_user(Setup::new(), &portal, "support", 1);
    let setup = with_url(setup, "dead", DEAD).with_file();
    portal.post("users/1", json!({"scopes": ["crm"]})).await;
    let checked = finished(&["check"], setup.folder()).await;
    assert_eq!(code(&checked), 77, "{}", stderr(&checked));
    for words in [
        ["the configuration is right", ""],
        ["support", "reach"],
        ["scopes", "fail"],
        ["->", "tick the scope `im`"],
        ["methods", "skip"],
        ["dead", "fail"],
        ["archive", "ok"],
    ] {
        assert!(has_line(&checked, &words), "no {words:?} in:\n{}", stdout(&checked));
    }
    assert!(stderr(&checked).is_empty(), "{}", stderr(&checked));
}

#[tokio::test]
async fn no_answer_makes_it_show_the_secret() {
    let portal = Portal::start().await;
    let setup = with_user(Setup::new(), &portal, "support", 1).with_file();
    let (secret, url) = (portal.code(1), portal.webhook_url(1));
    for method in ["profile", "scope", "method.get", "server.time", "im.v2.Event.get"] {
        for fault in [
            json!({"kind": "error", "status": 400, "code": format!("X_{secret}"), "description": url}),
            json!({"kind": "redirect", "status": 302, "location": url}),
            rewrite(method, "/result", &json!(url)),
        ] {
            let mut fault = fault;
            fault["method"] = method.into();
            portal.post("faults", fault.clone()).await;
            let checked = finished(&["check", "--log-level", "trace"], setup.folder()).await;
            assert_ne!(code(&checked), 0, "{fault}");
            let said = format!("{}{}", stdout(&checked), stderr(&checked));
            assert!(!said.contains(&secret), "{fault}: {said}");
        }
    }
}
