//! `handlers`: lists the bound handlers of an application and unbinds them.

use std::process::Output;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::portal::application::{CLIENT_ID, log_in, oauth_table};
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{code, finished, stderr, stdout};
use crate::support::process::setup::Setup;

#[tokio::test]
async fn a_webhook_is_told_what_is_missing_before_the_portal_is_asked() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    for args in [
        ["handlers", "list", "support"].as_slice(),
        &["handlers", "list", "support", "--json"],
        &["handlers", "unbind", "support", "--event", "ONTASKADD", "--yes"],
        &["handlers", "unbind", "support", "--event", "ONTASKADD", "--dry-run"],
    ] {
        let refused = finished(args, setup.folder()).await;
        assert_eq!((code(&refused), stdout(&refused).as_str()), (78, ""), "{args:?}");
        for words in ["[sources.support.oauth]", "`b24relay login support`"] {
            assert!(stderr(&refused).contains(words), "no `{words}` in: {}", stderr(&refused));
        }
    }
    let stats = portal.control(Method::GET, "stats", Value::Null).await;
    assert_eq!(stats["requests"], serde_json::json!({}), "nobody was asked");
}

#[tokio::test]
async fn nothing_is_unbound_unasked() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    let refused = finished(&["handlers", "unbind", "support", "--event", "ONTASKADD"], setup.folder()).await;
    assert_eq!((code(&refused), stdout(&refused).as_str()), (64, ""));
    assert!(stderr(&refused).contains("--yes"), "{}", stderr(&refused));
}

const OLD: &str = "https://old.example.com/b24?k=S3CRET";

/// A source `app` with a login of `user`.
async fn logged_in(portal: &Portal, user: u64) -> Setup {
    let setup =
        Setup::new().with_file().with(&format!("[sources.app]\n{}", oauth_table(portal, "app").await));
    log_in(portal, &setup, "app", user).await;
    setup
}

async fn bind(portal: &Portal, event: &str, handler: &str, auth_type: u64) {
    let handler = json!({"event": event, "handler": handler, "auth_type": auth_type});
    portal.post("handlers", handler).await;
}

async fn bind_offline(portal: &Portal, event: &str) {
    portal.post("handlers", json!({"event": event, "event_type": "offline"})).await;
}

async fn bound_count(portal: &Portal) -> usize {
    portal.control(Method::GET, "handlers", Value::Null).await.as_array().unwrap().len()
}

async fn handlers(setup: &Setup, args: &[&str]) -> Output {
    finished(&[&["handlers"], args].concat(), setup.folder()).await
}

#[tokio::test]
async fn what_is_bound_is_listed() {
    let portal = Portal::start().await;
    let setup = logged_in(&portal, 1).await;
    let empty = handlers(&setup, &["list", "app"]).await;
    assert_eq!((code(&empty), stdout(&empty).as_str()), (0, "no handlers are bound\n"), "{}", stderr(&empty));

    bind(&portal, "ONIMBOTMESSAGEADD", OLD, 7).await;
    bind_offline(&portal, "ONTASKADD").await;
    let table = stdout(&handlers(&setup, &["list", "app"]).await);
    for words in ["ONIMBOTMESSAGEADD", OLD, "online", "7", "ONTASKADD", "offline"] {
        assert!(table.contains(words), "no `{words}` in:\n{table}");
    }
    let listed: Value =
        serde_json::from_slice(&handlers(&setup, &["list", "app", "--json"]).await.stdout).unwrap();
    let first = json!({"event": "ONIMBOTMESSAGEADD", "handler": OLD, "auth_type": 7, "connector_id": "",
                       "offline": false});
    assert_eq!(listed["handlers"][0], first);
    assert_eq!(listed["handlers"][1]["offline"], true);
}

#[tokio::test]
async fn only_what_matches_goes_and_the_count_is_told() {
    let portal = Portal::start().await;
    let setup = logged_in(&portal, 1).await;
    for user in [0, 7] {
        bind(&portal, "ONTASKADD", OLD, user).await;
    }
    bind(&portal, "ONTASKADD", "https://new.example.com/", 0).await;
    bind(&portal, "ONTASKUPDATE", OLD, 0).await;
    bind_offline(&portal, "ONTASKADD").await;

    let unbind = async |args: &[&str]| {
        let unbound =
            handlers(&setup, &[&["unbind", "app", "--yes", "--event", "onTaskAdd"], args].concat()).await;
        assert_eq!(code(&unbound), 0, "{args:?}: {}", stderr(&unbound));
        (stdout(&unbound).lines().last().unwrap().to_owned(), bound_count(&portal).await)
    };
    assert_eq!(unbind(&["--dry-run"]).await, ("nothing was removed: this was a dry run".into(), 5));
    let (said, left) = unbind(&["--handler", "https://old.example.com/b24?k=s3cret"]).await;
    assert!(said.starts_with("0 handlers removed") && left == 5, "byte for byte: {said}");
    assert_eq!(unbind(&["--handler", OLD, "--auth-type", "7"]).await, ("1 handler removed".into(), 4));
    assert_eq!(unbind(&["--event-type", "offline"]).await, ("1 handler removed".into(), 3));
    assert_eq!(unbind(&[]).await, ("2 handlers removed".into(), 1));
    let (said, left) = unbind(&[]).await;
    assert!(said.starts_with("0 handlers removed") && left == 1, "{said}");
}

#[tokio::test]
async fn an_offline_handler_with_a_connector_is_shown_and_removed() {
    let portal = Portal::start().await;
    let setup = logged_in(&portal, 1).await;
    bind_offline(&portal, "ONTASKADD").await;
    for connector in ["crm", "erp"] {
        let bound = json!({"event": "ONTASKADD", "event_type": "offline", "connector": connector});
        portal.post("handlers", bound).await;
    }
    let table = stdout(&handlers(&setup, &["list", "app"]).await);
    assert!(table.contains("CONNECTOR") && table.contains("crm") && table.contains("erp"), "{table}");
    let unbind = ["unbind", "app", "--event", "ONTASKADD", "--yes"];
    let one = handlers(&setup, &[unbind.as_slice(), &["--connector", "crm"]].concat()).await;
    assert_eq!((code(&one), bound_count(&portal).await), (0, 2), "{}{}", stdout(&one), stderr(&one));
    let rest = handlers(&setup, &unbind).await;
    assert!(stdout(&rest).ends_with("2 handlers removed\n"), "{}", stdout(&rest));
    assert_eq!(bound_count(&portal).await, 0);
}

#[tokio::test]
async fn a_refusal_is_explained_and_shows_no_handler() {
    let portal = Portal::start().await;
    let setup = logged_in(&portal, 1).await;
    bind(&portal, "ONTASKADD", OLD, 0).await;
    for (status, refusal, expected, words) in [
        (403, "WRONG_AUTH_TYPE", 77, "[sources.app.oauth]"),
        (403, "ACCESS_DENIED", 77, "administrator"),
        (400, "ERROR_EVENT_NOT_FOUND", 64, "is the name right"),
        (503, "QUERY_LIMIT_EXCEEDED", 69, "QUERY_LIMIT_EXCEEDED"),
        (403, "WRONG_LICENSE", 77, "another login does not help"),
    ] {
        let text = format!("cannot unbind {OLD}");
        let fault = json!({"kind": "error", "method": "event.unbind", "status": status, "code": refusal, "description": text, "times": 3});
        portal.post("faults", fault).await;
        let refused =
            handlers(&setup, &["unbind", "app", "--event", "ONTASKADD", "--yes", "--log-level", "trace"])
                .await;
        assert_eq!(code(&refused), expected, "{refusal}: {}", stderr(&refused));
        assert!(stderr(&refused).contains(words), "{refusal}: {}", stderr(&refused));
        assert!(!stderr(&refused).contains("S3CRET"), "a log shows no handler: {}", stderr(&refused));
        assert!(!stdout(&refused).contains("0 handlers removed"), "{}", stdout(&refused));
        portal.control(Method::DELETE, "faults", Value::Null).await;
    }
    assert_eq!(bound_count(&portal).await, 1);
}

#[tokio::test]
async fn somebody_who_is_no_administrator_sees_his_own() {
    let portal = Portal::start().await;
    let setup = logged_in(&portal, 2).await;
    bind(&portal, "ONTASKADD", OLD, 1).await;
    bind(&portal, "ONTASKADD", OLD, 2).await;
    let listed: Value =
        serde_json::from_slice(&handlers(&setup, &["list", "app", "--json"]).await.stdout).unwrap();
    assert_eq!(listed["handlers"].as_array().unwrap().len(), 1, "{listed}");
    let unbound = handlers(&setup, &["unbind", "app", "--event", "ONTASKADD", "--yes"]).await;
    assert!(stdout(&unbound).contains("1 handler removed"), "{}", stdout(&unbound));
    assert_eq!(bound_count(&portal).await, 1);
}

#[tokio::test]
async fn every_documented_refusal_has_its_exit_code() {
    let portal = Portal::start().await;
    let setup = logged_in(&portal, 1).await;
    bind(&portal, "ONTASKADD", OLD, 0).await;
    let unbind = ["unbind", "app", "--event", "ONTASKADD", "--yes"];
    for (method, args) in [("event.unbind", unbind.as_slice()), ("event.get", &["list", "app"])] {
        for (status, refusal, expected, words) in [
            (403, "WRONG_AUTH_TYPE", 77, "`b24relay login app`"),
            (403, "ACCESS_DENIED", 77, "log in as an administrator"),
            (403, "WRONG_LICENSE", 77, "subscription"),
            (400, "ERROR_ARGUMENT", 70, "please report it"),
            (400, "ERROR_EVENT_NOT_FOUND", 64, "has the application its scope"),
            (400, "ERROR_CORE", 69, "the portal's answer"),
            (400, "ERROR_UNSUPPORTED_PROTOCOL", 69, "ERROR_UNSUPPORTED_PROTOCOL"),
            (400, "ERROR_WRONG_HANDLER_URL", 69, "ERROR_WRONG_HANDLER_URL"),
            (401, "insufficient_scope", 77, "tick the scopes"),
            (401, "ERROR_OAUTH", 77, "install the application"),
            (404, "ERROR_METHOD_NOT_FOUND", 77, "ERROR_METHOD_NOT_FOUND"),
        ] {
            let extra = if refusal == "ERROR_ARGUMENT" { json!({"argument": "EVENT"}) } else { json!({}) };
            let times = if refusal == "ERROR_CORE" { 3 } else { 1 };
            let fault = json!({"kind": "error", "method": method, "status": status, "code": refusal, "extra": extra,
                               "times": times});
            portal.post("faults", fault).await;
            let refused = handlers(&setup, args).await;
            assert_eq!(code(&refused), expected, "{method} {refusal}: {}", stderr(&refused));
            assert!(stderr(&refused).contains(words), "{method} {refusal}: {}", stderr(&refused));
            assert_eq!(portal.faults_left().await, 0, "{method} {refusal}");
        }
    }
    assert_eq!(bound_count(&portal).await, 1);
}

#[tokio::test]
async fn without_a_terminal_or_with_a_dry_run_nothing_goes() {
    let portal = Portal::start().await;
    let setup = logged_in(&portal, 1).await;
    bind(&portal, "ONTASKADD", OLD, 0).await;
    let asked = portal.requests_of("event.get").await;
    let unasked = handlers(&setup, &["unbind", "app", "--event", "ONTASKADD"]).await;
    assert_eq!((code(&unasked), stdout(&unasked).as_str()), (64, ""));
    assert!(stderr(&unasked).contains("--yes"), "{}", stderr(&unasked));
    assert_eq!(portal.requests_of("event.get").await, asked, "nobody was asked");

    for args in [["--dry-run"].as_slice(), &["--dry-run", "--yes"]] {
        let shown = handlers(&setup, &[&["unbind", "app", "--event", "ONTASKADD"], args].concat()).await;
        assert_eq!(code(&shown), 0, "{}", stderr(&shown));
        assert!(stdout(&shown).contains(OLD) && stdout(&shown).contains("this was a dry run"));
    }
    assert_eq!((portal.requests_of("event.unbind").await, bound_count(&portal).await), (0, 1));
}

#[tokio::test]
async fn what_went_before_a_refusal_is_counted() {
    let portal = Portal::start().await;
    let setup = logged_in(&portal, 1).await;
    bind(&portal, "ONTASKADD", OLD, 0).await;
    bind(&portal, "ONTASKADD", "https://new.example.com/", 0).await;
    let fault =
        json!({"kind": "error", "method": "event.unbind", "status": 403, "code": "ACCESS_DENIED", "skip": 1});
    portal.post("faults", fault).await;
    let unbind = ["unbind", "app", "--event", "ONTASKADD", "--yes"];
    let cut_short = handlers(&setup, &unbind).await;
    assert_eq!(code(&cut_short), 77, "{}", stderr(&cut_short));
    assert!(stdout(&cut_short).ends_with("1 handler removed\n"), "{}", stdout(&cut_short));
    assert!(stderr(&cut_short).contains("not everything was removed"), "{}", stderr(&cut_short));
    let again = handlers(&setup, &unbind).await;
    assert_eq!((code(&again), bound_count(&portal).await), (0, 0), "{}", stderr(&again));
}

#[tokio::test]
async fn a_login_is_needed_and_renewed_by_itself() {
    let portal = Portal::start().await;
    let setup =
        Setup::new().with_file().with(&format!("[sources.app]\n{}", oauth_table(&portal, "app").await));
    let refused = handlers(&setup, &["list", "app"]).await;
    assert_eq!(code(&refused), 77, "{}", stderr(&refused));
    assert!(stderr(&refused).contains("run `b24relay login app`"), "{}", stderr(&refused));

    log_in(&portal, &setup, "app", 1).await;
    bind(&portal, "ONTASKADD", OLD, 0).await;
    portal.post(&format!("apps/{CLIENT_ID}/expire"), json!({})).await;
    let listed = handlers(&setup, &["list", "app"]).await;
    assert_eq!(code(&listed), 0, "{}", stderr(&listed));
    assert!(stdout(&listed).contains("ONTASKADD"), "{}", stdout(&listed));
}
