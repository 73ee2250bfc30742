//! `login`: a pair of tokens is stored only if it opens the right queue.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use crate::support::expected::ledger::assert_exactly_once;
use crate::support::portal::logins::{answer_with, code_in};
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, code, command, finished, finished_command, stderr, stdout};
use crate::support::process::setup::Setup;

async fn office() -> (Portal, Setup) {
    let portal = Portal::start().await;
    let setup = Setup::new().with_login(&portal, "office").with_file();
    (portal, setup)
}

/// Delivers the waiting events with the stored login.
async fn drain(setup: &Setup) -> i32 {
    Relay::start(setup.folder(), &["--once"]).exit_code().await
}

#[track_caller]
fn assert_refused(output: &Output, expected: i32, words: &[&str]) {
    assert_eq!(code(output), expected, "{}{}", stdout(output), stderr(output));
    for words in words {
        assert!(stderr(output).contains(words), "no `{words}` in:\n{}", stderr(output));
    }
    assert!(!stdout(output).contains("logged in"), "{}", stdout(output));
}

#[tokio::test]
async fn a_pasted_address_and_its_query_log_in() {
    for is_address in [false, true] {
        let (portal, setup) = office().await;
        portal.record(2, 5).await;
        let output = setup
            .paste("office", async |url| {
                let location = portal.agree(url, 2).await;
                if is_address { location } else { location.split_once('?').unwrap().1.to_owned() }
            })
            .await;
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        for words in ["logged in for `office`", "(user 2)", "im, imbot"] {
            assert!(stdout(&output).contains(words), "no `{words}` in:\n{}", stdout(&output));
        }
        assert_eq!(drain(&setup).await, 0);
        assert_exactly_once(&setup.filed_ids(), &portal.ids(2).await);
        assert_eq!(portal.token_requests().await, 1, "the exchange, and no refresh");
    }
}

#[tokio::test]
async fn the_answer_to_another_login_is_not_exchanged() {
    let (portal, setup) = office().await;
    let output = setup
        .paste("office", async |url| {
            let (url, state) = url.rsplit_once("state=").unwrap();
            assert!(state.len() >= 16, "{state} is easily guessed");
            portal.agree(&format!("{url}state=0123456789abcdef"), 1).await
        })
        .await;
    assert_refused(&output, 64, &["another login"]);
    let nothing = setup.paste("office", async |_| String::new()).await;
    assert_refused(&nothing, 64, &["no code"]);
    let alone = setup.paste("office", async |url| code_in(&portal.agree(url, 1).await)).await;
    assert_refused(&alone, 64, &["no `state`", "paste the whole address"]);
    assert_eq!(portal.token_requests().await, 0);
    assert_eq!(drain(&setup).await, 77, "nobody has logged in");
}

#[tokio::test]
async fn a_code_is_good_once_and_not_for_long() {
    let (portal, setup) = office().await;
    let mut used = String::new();
    let first = setup
        .paste("office", async |url| {
            let location = portal.agree(url, 1).await;
            used = code_in(&location);
            location
        })
        .await;
    assert_eq!(code(&first), 0, "{}", stderr(&first));
    let again = setup.paste("office", async |url| answer_with(&used, url)).await;
    assert_refused(&again, 77, &["bad_verification_code", "`b24relay login office` again"]);
    let late = setup
        .paste("office", async |url| {
            let location = portal.agree(url, 1).await;
            portal.post("clock", json!({"advance_s": 31})).await;
            location
        })
        .await;
    assert_refused(&late, 77, &["bad_verification_code", "30 seconds"]);
    assert_eq!(drain(&setup).await, 0, "the login of before is untouched");
}

#[tokio::test]
async fn a_code_that_was_stolen_from_a_login_is_worth_nothing_without_that_login() {
    let (portal, setup) = office().await;
    let mut stolen = String::new();
    let refused = setup.paste("office", async |url| {
        stolen = code_in(&portal.agree(url, 1).await);
        "no answer".to_owned()
    });
    assert_refused(&refused.await, 64, &["no `state`"]);
    let other = setup.paste("office", async |url| answer_with(&stolen, url)).await;
    assert_refused(&other, 77, &["invalid_grant"]);
}

#[tokio::test]
async fn a_wrong_application_is_told_with_the_way_out() {
    let (portal, setup) = office().await;
    let right = fs::read_to_string(setup.path("b24relay.toml")).unwrap();
    let (id, secret) = (portal.sandbox.client_id(), portal.sandbox.client_secret());
    for (from, to, words) in [(&id, "local.nobody", "wrong_client"), (&secret, "another", "invalid_client")] {
        fs::write(setup.path("b24relay.toml"), right.replace(from.as_str(), to)).unwrap();
        let refused = setup.paste("office", async |url| answer_with("abc", url)).await;
        assert_refused(&refused, 77, &[words, "`client_id`, `client_secret` and `server`"]);
    }
    fs::write(setup.path("b24relay.toml"), right).unwrap();
    portal.set_app(json!({"installed": false})).await;
    let refused = setup.paste("office", async |url| answer_with("abc", url)).await;
    assert_refused(&refused, 77, &["NOT_INSTALLED", "install the application"]);
}

#[tokio::test]
async fn a_pair_is_read_from_a_file_and_from_standard_input() {
    let (portal, setup) = office().await;
    setup.log_in(&portal, "office", 1).await;

    fs::write(setup.path("pair"), portal.tokens(1).await.to_string()).unwrap();
    let mut login = command();
    login.args(["login", "office", "--tokens", "-"]).current_dir(setup.folder());
    login.stdin(Stdio::from(fs::File::open(setup.path("pair")).unwrap()));
    let output = finished_command(login).await;
    assert_eq!(code(&output), 0, "{}", stderr(&output));

    for tokens in [json!([]), json!({"access_token": "s3cr3t"}), Value::Null] {
        let refused = setup.give("office", &tokens, &[]).await;
        assert_refused(&refused, 64, &["`access_token` and `refresh_token`"]);
        assert!(!stderr(&refused).contains("s3cr3t"));
    }
    let missing = finished(&["login", "office", "--tokens", "nowhere.json"], setup.folder()).await;
    assert_refused(&missing, 74, &["nowhere.json"]);
    let foreign = json!({"access_token": "x", "refresh_token": "y", "client_id": "local.other"});
    assert_refused(&setup.give("office", &foreign, &[]).await, 78, &["local.other", "client_id"]);
    assert_eq!(portal.token_requests().await, 0);
}

#[tokio::test]
async fn a_pair_that_has_expired_is_refreshed_whatever_is_on_record() {
    let (portal, setup) = office().await;
    for attempt in 1..=2 {
        let pair = portal.tokens(1).await;
        portal.expire().await;
        let output = setup.give("office", &pair, &[]).await;
        assert_eq!(code(&output), 0, "{attempt}: {}", stderr(&output));
        assert_eq!(portal.token_requests().await, attempt);
    }
    portal.record(1, 3).await;
    assert_eq!(drain(&setup).await, 0);
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
    assert_eq!(portal.token_requests().await, 2, "what was refreshed is what was kept");
    // The stored pair is completely invalid, which is the usual reason for a new login.
    portal.post(&format!("apps/{}/expire", portal.sandbox.client_id()), json!({"refresh": true})).await;
    let pair = portal.tokens(1).await;
    portal.expire().await;
    assert_eq!(code(&setup.give("office", &pair, &[]).await), 0);
    assert_eq!(drain(&setup).await, 0);
}

#[tokio::test]
async fn another_user_is_refused_and_the_old_login_still_works() {
    let (portal, setup) = office().await;
    setup.log_in(&portal, "office", 1).await;
    portal.record(1, 3).await;
    portal.record(2, 4).await;
    assert_eq!(drain(&setup).await, 0);

    let (fresh, expired) = (portal.tokens(2).await, portal.tokens(2).await);
    let refused = setup.give("office", &fresh, &[]).await;
    assert_refused(&refused, 78, &["/user/1", "/user/2", "nothing was kept", "--new-queue"]);
    portal.expire().await;
    let refused = setup.give("office", &expired, &[]).await;
    assert_refused(&refused, 78, &["nothing was kept"]);
    portal.record(1, 3).await;
    assert_eq!(drain(&setup).await, 0, "with the login of before");
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
    assert_eq!(portal.stats(2).await["confirmed"], 0);
}

#[tokio::test]
async fn another_queue_is_an_operators_decision_and_not_beside_a_daemon() {
    let (portal, setup) = office().await;
    setup.log_in(&portal, "office", 1).await;
    portal.record(1, 3).await;
    let mut relay = setup.run();
    relay.until_logged("source started").await;
    let beside = setup.give("office", &portal.tokens(2).await, &["--new-queue"]).await;
    assert_refused(&beside, 75, &["b24relay.db"]);
    assert_eq!(relay.stop().await, 0);
    assert_eq!(drain(&setup).await, 0);

    portal.record(2, 4).await;
    let output = setup.give("office", &portal.tokens(2).await, &["--new-queue"]).await;
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(drain(&setup).await, 0);
    assert_exactly_once(&setup.filed_ids(), &[portal.ids(1).await, portal.ids(2).await].concat());
}

#[tokio::test]
async fn the_tokens_are_the_owners_alone() {
    let (portal, setup) = office().await;
    setup.log_in(&portal, "office", 1).await;
    let mut relay = setup.run();
    relay.until_logged("source started").await;
    let mut seen = 0;
    for entry in fs::read_dir(setup.folder()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_str().unwrap().starts_with("b24relay.db") {
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", entry.path().display());
            seen += 1;
        }
    }
    assert!(seen >= 2, "the state file and what lies beside it");
    assert_eq!(relay.stop().await, 0);
}

#[tokio::test]
async fn a_source_without_a_login_of_its_own_says_whose_it_uses() {
    let portal = Portal::start().await;
    let setup = Setup::new()
        .with_login(&portal, "office")
        .with_bot("porter", "office")
        .with_user(&portal, "hook", 2, 10)
        .with_file();
    let refused = finished(&["login", "porter", "--tokens", "x"], setup.folder()).await;
    assert_refused(&refused, 64, &["`b24relay login office`"]);
    let refused = finished(&["login", "hook", "--tokens", "x"], setup.folder()).await;
    assert_refused(&refused, 78, &["needs no login"]);
}
