//! `bots` against the portal's own bots: every documented error of either API, with either credential.

use reqwest::Method;
use serde_json::{Value, json};

use crate::application::{CLIENT_ID, log_in, oauth_table};
use crate::bot_sources::TOKEN;
use crate::portal::Portal;
use crate::process::{code, finished, stderr, stdout};
use crate::setup::Setup;

/// A portal with two bots of one owner, and a source `support` that may end them.
async fn bench(is_app: bool) -> (Portal, Setup, Vec<u64>) {
    let portal = Portal::start().await;
    portal.post("users/1", json!({"scopes": ["im", "imbot"]})).await;
    let (key, owner) = if is_app { ("client_id", CLIENT_ID) } else { ("token", TOKEN) };
    for bot in ["one", "two"] {
        portal.post("bots", json!({"code": bot, "name": bot, key: owner})).await;
    }
    let setup = if is_app {
        let table = oauth_table(&portal, "support").await;
        let setup = Setup::new().with_file().with(&format!("[sources.support]\n{table}"));
        log_in(&portal, &setup, "support", 1).await;
        setup
    } else {
        Setup::new().with_file().with_source(&portal)
    };
    std::fs::write(setup.path("bot.secret"), TOKEN).unwrap();
    let ids = registered(&portal).await;
    (portal, setup, ids)
}

async fn registered(portal: &Portal) -> Vec<u64> {
    let bots = portal.control(Method::GET, "bots", Value::Null).await;
    bots.as_array().unwrap().iter().map(|bot| bot["id"].as_u64().unwrap()).collect()
}

/// The arguments that end the bot `id` with either API.
fn ending<'a>(id: &'a str, is_second: bool, is_app: bool) -> Vec<&'a str> {
    let mut args = vec!["bots", "unregister", "support", "--bot-id", id];
    match (is_second, is_app) {
        (true, true) => args.push("--v2"),
        (true, false) => args.extend(["--v2", "--bot-token-file", "bot.secret"]),
        (false, false) => args.extend(["--client-id-file", "bot.secret"]),
        (false, true) => {}
    }
    args
}

const METHODS: [&str; 2] = ["imbot.unregister", "imbot.v2.Bot.unregister"];

#[tokio::test]
async fn an_application_ends_its_bots_without_a_secret() {
    for is_second in [false, true] {
        let (portal, setup, ids) = bench(true).await;
        let id = ids[0].to_string();
        let list: &[&str] =
            if is_second { &["bots", "list", "support", "--v2"] } else { &["bots", "list", "support"] };
        let listed = finished(list, setup.folder()).await;
        assert_eq!(code(&listed), 0, "{}", stderr(&listed));
        assert!(stdout(&listed).contains(&id) && stdout(&listed).contains("two"), "{}", stdout(&listed));
        let args = [ending(&id, is_second, true), vec!["--yes"]].concat();
        for words in ["is unregistered", "not there any more"] {
            let ended = finished(&args, setup.folder()).await;
            assert_eq!(code(&ended), 0, "{}", stderr(&ended));
            assert!(stdout(&ended).contains(words), "{}", stdout(&ended));
        }
        assert_eq!(registered(&portal).await, ids[1..]);
    }
}

#[tokio::test]
async fn without_a_terminal_or_with_a_dry_run_every_bot_stays() {
    for (is_second, is_app) in [(false, false), (false, true), (true, false), (true, true)] {
        let (portal, setup, ids) = bench(is_app).await;
        let id = ids[0].to_string();
        let unasked = finished(&ending(&id, is_second, is_app), setup.folder()).await;
        assert_eq!((code(&unasked), stdout(&unasked).as_str()), (64, ""), "{}", stderr(&unasked));
        assert!(stderr(&unasked).contains("--yes"), "{}", stderr(&unasked));
        for consent in [["--dry-run"].as_slice(), &["--dry-run", "--yes"]] {
            let args = [ending(&id, is_second, is_app), consent.to_vec()].concat();
            let shown = finished(&args, setup.folder()).await;
            assert_eq!(code(&shown), 0, "{}", stderr(&shown));
            let said = stdout(&shown);
            assert!(said.contains("code one") && said.contains("nothing was removed"), "{said}");
        }
        for method in METHODS {
            assert_eq!(portal.requests_of(method).await, 0);
        }
        assert_eq!(registered(&portal).await, ids);
    }
}

/// Refuses one ending with a fault, and asserts what is made of it.
async fn assert_refused(is_second: bool, status: u16, refusal: &str, expected: i32, words: &str) {
    let (portal, setup, ids) = bench(false).await;
    let id = ids[0].to_string();
    let method = METHODS[usize::from(is_second)];
    let text = format!("the portal repeats {TOKEN}");
    let fault =
        json!({"kind": "error", "method": method, "status": status, "code": refusal, "description": text});
    portal.post("faults", fault).await;
    let args = [ending(&id, is_second, false), vec!["--yes", "--log-level", "trace"]].concat();
    let ended = finished(&args, setup.folder()).await;
    let said = format!("{}{}", stdout(&ended), stderr(&ended));
    assert_eq!(code(&ended), expected, "{method} {status} {refusal}: {said}");
    assert!(said.contains(words) && !said.contains(TOKEN), "{method} {status} {refusal}: {said}");
    assert!(!said.contains("is unregistered"), "{said}");
    assert_eq!((portal.faults_left().await, registered(&portal).await), (0, ids), "{refusal}");
}

#[tokio::test]
async fn every_documented_refusal_of_the_older_api_is_understood() {
    for (status, refusal, expected, words) in [
        (403, "WRONG_AUTH_TYPE", 77, "check the source's credential"),
        (403, "ACCESS_DENIED", 77, "--client-id-file"),
        (400, "BOT_ID_ERROR", 0, "not there any more"),
        (400, "APP_ID_ERROR", 77, "give the one it was registered with"),
        (400, "WRONG_REQUEST", 77, "ask an administrator to remove it"),
    ] {
        assert_refused(false, status, refusal, expected, words).await;
    }
}

#[tokio::test]
async fn every_documented_refusal_of_the_newer_api_is_understood() {
    // The docs say 400 or 403, the code 400 (PORTAL.md 3.1).
    for status in [400, 403] {
        for (refusal, expected, words) in [
            ("BOT_TOKEN_NOT_SPECIFIED", 77, "--bot-token-file"),
            ("CLIENT_ID_NOT_SPECIFIED", 77, "--bot-token-file"),
            ("BOT_ID_REQUIRED", 77, "--bot-id"),
            ("BOT_NOT_FOUND", 0, "not there any more"),
            ("BOT_OWNERSHIP_ERROR", 77, "give the one it was registered with"),
            ("BOT_UNREGISTER_FAILED", 69, "ask an administrator to remove it"),
        ] {
            assert_refused(true, status, refusal, expected, words).await;
        }
    }
}

#[tokio::test]
async fn a_refused_list_ends_it_before_anything_is_removed() {
    for (is_second, refusal, status) in [
        (false, "WRONG_AUTH_TYPE", 403),
        (false, "insufficient_scope", 401),
        (true, "BOT_TOKEN_NOT_SPECIFIED", 400),
        (true, "ERROR_METHOD_NOT_FOUND", 404),
    ] {
        let (portal, setup, ids) = bench(false).await;
        let id = ids[0].to_string();
        let method = if is_second { "imbot.v2.Bot.list" } else { "imbot.bot.list" };
        let fault = json!({"kind": "error", "method": method, "status": status, "code": refusal, "times": 2});
        portal.post("faults", fault).await;
        let list: &[&str] = if is_second {
            &["bots", "list", "support", "--v2", "--bot-token-file", "bot.secret"]
        } else {
            &["bots", "list", "support"]
        };
        for args in [list.to_vec(), [ending(&id, is_second, false), vec!["--yes"]].concat()] {
            let refused = finished(&args, setup.folder()).await;
            assert_eq!(code(&refused), 77, "{refusal}: {}", stderr(&refused));
            assert!(stderr(&refused).contains(refusal), "{}", stderr(&refused));
        }
        assert_eq!(registered(&portal).await, ids);
    }
}
