//! The same refusal by the portal in every command: the same exit code, suitable advice, and few retries.

use std::process::Output;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::portal::application::{log_in, oauth_table};
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{code, finished, stderr, stdout};
use crate::support::process::setup::Setup;

/// Every command that calls the portal and then exits. The first two lock the state file.
const COMMANDS: [&[&str]; 11] = [
    &["offset", "set", "app", "9000", "--dry-run"],
    &["unsubscribe", "app", "--discard", "--yes"],
    &["subscribe", "app"],
    &["tap", "app", "--once"],
    &["check"],
    &["login", "app", "--tokens", "pair.json"],
    &["handlers", "list", "app"],
    &["handlers", "unbind", "app", "--event", "ONTASKADD", "--yes"],
    &["bots", "list", "app"],
    &["bots", "list", "app", "--v2"],
    &["bots", "unregister", "app", "--bot-id", "39", "--yes"],
];

/// HTTP status, code, exit code, and words of the advice.
const REFUSALS: [(u16, &str, i32, &str); 14] = [
    (403, "ACCESS_DENIED", 77, ""),
    (401, "INVALID_CREDENTIALS", 77, "login"),
    (401, "insufficient_scope", 77, "scope"),
    (401, "ERROR_OAUTH", 77, "install the application"),
    (403, "WRONG_LICENSE", 77, "subscription"),
    (404, "ERROR_METHOD_NOT_FOUND", 77, ""),
    (403, "WRONG_AUTH_TYPE", 77, ""),
    (401, "INVALID_REQUEST", 78, "https"),
    (400, "ERROR_ARGUMENT", 70, "please report it"),
    (400, "ERROR_EVENT_NOT_FOUND", 64, ""),
    (400, "NEVER_SEEN", 69, "the portal's answer"),
    (429, "OPERATION_TIME_LIMIT", 69, "run the command again in"),
    (503, "QUERY_LIMIT_EXCEEDED", 69, "run the command again in a minute"),
    (500, "INTERNAL_SERVER_ERROR", 69, "run the command again in a few minutes"),
];

async fn logged_in(portal: &Portal) -> Setup {
    let table = oauth_table(portal, "app").await;
    let setup = Setup::new().with_unlimited(portal).with_file().with(&format!("[sources.app]\n{table}"));
    log_in(portal, &setup, "app", 1).await;
    portal.post("handlers", json!({"event": "ONTASKADD", "handler": "https://old.example.com/"})).await;
    setup
}

async fn all(setup: &Setup) -> Vec<Output> {
    let (alone, beside) = COMMANDS.split_at(2);
    let mut outputs = Vec::new();
    for args in alone {
        outputs.push(finished(args, setup.folder()).await);
    }
    outputs.extend(join_all(beside.iter().map(|args| finished(args, setup.folder()))).await);
    outputs
}

#[tokio::test]
async fn one_refusal_has_one_exit_code_and_advice_at_every_command() {
    let portal = Portal::start().await;
    let setup = logged_in(&portal).await;
    for (status, refusal, expected, words) in REFUSALS {
        let fault = json!({"kind": "error", "status": status, "code": refusal, "times": 100_000});
        portal.post("faults", fault).await;
        for (args, refused) in COMMANDS.iter().zip(all(&setup).await) {
            let said = format!("{}{}", stdout(&refused), stderr(&refused));
            assert_eq!(code(&refused), expected, "{refusal}, {args:?}: {said}");
            assert!(said.contains(refusal) && said.contains(words), "{refusal}, {args:?}: {said}");
            assert!(!said.contains("0 handlers removed"), "{refusal}, {args:?}: {said}");
        }
        portal.control(Method::DELETE, "faults", Value::Null).await;
    }
}

#[tokio::test]
async fn advice_fits_the_refusal() {
    let portal = Portal::start().await;
    let setup = logged_in(&portal).await;
    for text in ["REST is available only by subscription.", "REST API is available only on commercial plans."]
    {
        let fault = json!({"kind": "error", "status": 401, "code": "ACCESS_DENIED", "description": text, "times": 1000});
        portal.post("faults", fault).await;
        for refused in all(&setup).await {
            let said = format!("{}{}", stdout(&refused), stderr(&refused));
            assert!(said.contains("subscription"), "{said}");
            for wrong in ["administrator", "--client-id-file"] {
                assert!(!said.contains(wrong), "a plan is no matter of `{wrong}`: {said}");
            }
        }
        portal.control(Method::DELETE, "faults", Value::Null).await;
    }
    let fault = json!({"kind": "error", "status": 403, "code": "ACCESS_DENIED", "times": 1000});
    portal.post("faults", fault).await;
    let listed = finished(&["bots", "list", "app"], setup.folder()).await;
    assert!(!stderr(&listed).contains("--client-id-file"), "it has no such flag: {}", stderr(&listed));
    let listed = finished(&["handlers", "list", "app"], setup.folder()).await;
    assert!(stderr(&listed).contains("log in as an administrator"), "{}", stderr(&listed));
}

#[tokio::test]
async fn what_passes_is_tried_three_times_and_what_stays_is_tried_once() {
    let portal = Portal::start().await;
    let setup = logged_in(&portal).await;
    for (status, refusal, times, tries, expected) in [
        (503, "QUERY_LIMIT_EXCEEDED", 2, 3, 0),
        (500, "INTERNAL_SERVER_ERROR", 1000, 3, 69),
        (403, "ACCESS_DENIED", 1000, 1, 77),
        (400, "NEVER_SEEN", 1000, 1, 69),
    ] {
        let before = portal.requests_of("im.v2.Event.subscribe").await;
        let fault = json!({"kind": "error", "status": status, "code": refusal, "times": times,
                           "method": "im.v2.Event.subscribe"});
        portal.post("faults", fault).await;
        let subscribed = finished(&["subscribe", "app", "--log-level", "info"], setup.folder()).await;
        assert_eq!(code(&subscribed), expected, "{refusal}: {}", stderr(&subscribed));
        assert_eq!(portal.requests_of("im.v2.Event.subscribe").await - before, tries, "{refusal}");
        assert_eq!(stderr(&subscribed).matches("trying again").count() + 1, usize::try_from(tries).unwrap());
        portal.control(Method::DELETE, "faults", Value::Null).await;
    }
    let fault = json!({"kind": "error", "status": 503, "code": "QUERY_LIMIT_EXCEEDED", "times": 1000,
                       "headers": {"Retry-After": "3600"}});
    portal.post("faults", fault).await;
    let refused = finished(&["subscribe", "app", "--log-level", "info"], setup.folder()).await;
    assert_eq!(code(&refused), 69);
    assert!(!stderr(&refused).contains("trying again"), "an hour is no pause: {}", stderr(&refused));
}
