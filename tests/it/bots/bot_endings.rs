//! `bots` against the portal's own bots: every documented error of either API, with either credential.

use reqwest::Method;
use serde_json::{Value, json};

use crate::bots::bot_sources::{Access, BOTH, TOKEN, owned};
use crate::support::portal::application::{log_in, oauth_table};
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{code, finished, stderr, stdout};
use crate::support::process::setup::Setup;

/// The generation of the portal's API.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Api {
    Older,
    Newer,
}

const APIS: [Api; 2] = [Api::Older, Api::Newer];

impl Api {
    fn ending(self) -> &'static str {
        match self {
            Self::Older => "imbot.unregister",
            Self::Newer => "imbot.v2.Bot.unregister",
        }
    }

    fn listing(self) -> &'static str {
        match self {
            Self::Older => "imbot.bot.list",
            Self::Newer => "imbot.v2.Bot.list",
        }
    }
}

/// A portal with two bots of one owner, and a source `support` that is allowed to remove them.
async fn bench(access: Access) -> (Portal, Setup, Vec<u64>) {
    let portal = Portal::start().await;
    portal.post("users/1", json!({"scopes": ["im", "imbot"]})).await;
    for bot in ["one", "two"] {
        portal.post("bots", owned(access, &json!({"code": bot, "name": bot}))).await;
    }
    let setup = if access == Access::OAuth {
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

/// The arguments of `bots unregister` for the bot `id`.
fn ending(id: &str, api: Api, access: Access) -> Vec<&str> {
    let mut args = vec!["bots", "unregister", "support", "--bot-id", id];
    args.extend(match (api, access) {
        (Api::Older, Access::Webhook) => ["--client-id-file", "bot.secret"].as_slice(),
        (Api::Older, Access::OAuth) => &[],
        (Api::Newer, Access::Webhook) => &["--v2", "--bot-token-file", "bot.secret"],
        (Api::Newer, Access::OAuth) => &["--v2"],
    });
    args
}

/// The arguments of `bots list`.
fn listing(api: Api, access: Access) -> Vec<&'static str> {
    let mut args = vec!["bots", "list", "support"];
    args.extend(match (api, access) {
        (Api::Older, _) => [].as_slice(),
        (Api::Newer, Access::Webhook) => &["--v2", "--bot-token-file", "bot.secret"],
        (Api::Newer, Access::OAuth) => &["--v2"],
    });
    args
}

#[tokio::test]
async fn an_application_ends_its_bots_without_a_secret() {
    for api in APIS {
        let (portal, setup, ids) = bench(Access::OAuth).await;
        let id = ids[0].to_string();
        let listed = finished(&listing(api, Access::OAuth), setup.folder()).await;
        assert_eq!(code(&listed), 0, "{}", stderr(&listed));
        assert!(stdout(&listed).contains(&id) && stdout(&listed).contains("two"), "{}", stdout(&listed));
        let args = [ending(&id, api, Access::OAuth), vec!["--yes"]].concat();
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
    for (api, access) in APIS.into_iter().flat_map(|api| BOTH.map(|access| (api, access))) {
        let (portal, setup, ids) = bench(access).await;
        let id = ids[0].to_string();
        let unasked = finished(&ending(&id, api, access), setup.folder()).await;
        assert_eq!((code(&unasked), stdout(&unasked).as_str()), (64, ""), "{}", stderr(&unasked));
        assert!(stderr(&unasked).contains("--yes"), "{}", stderr(&unasked));
        for consent in [["--dry-run"].as_slice(), &["--dry-run", "--yes"]] {
            let args = [ending(&id, api, access), consent.to_vec()].concat();
            let shown = finished(&args, setup.folder()).await;
            assert_eq!(code(&shown), 0, "{}", stderr(&shown));
            let said = stdout(&shown);
            assert!(said.contains("code one") && said.contains("nothing was removed"), "{said}");
        }
        assert_eq!(portal.requests_of(api.ending()).await, 0);
        assert_eq!(registered(&portal).await, ids);
    }
}

/// Refuses one removal with a fault, and asserts the exit code and the message.
async fn assert_refused(api: Api, status: u16, refusal: &str, expected: i32, words: &str) {
    let (portal, setup, ids) = bench(Access::Webhook).await;
    let id = ids[0].to_string();
    let method = api.ending();
    let text = format!("the portal repeats {TOKEN}");
    let fault =
        json!({"kind": "error", "method": method, "status": status, "code": refusal, "description": text});
    portal.post("faults", fault).await;
    let args = [ending(&id, api, Access::Webhook), vec!["--yes", "--log-level", "trace"]].concat();
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
        assert_refused(Api::Older, status, refusal, expected, words).await;
    }
}

#[tokio::test]
async fn every_documented_refusal_of_the_newer_api_is_understood() {
    // The documentation says 400 or 403, the portal's code says 400 (PORTAL.md 3.1).
    for status in [400, 403] {
        for (refusal, expected, words) in [
            ("BOT_TOKEN_NOT_SPECIFIED", 77, "--bot-token-file"),
            ("CLIENT_ID_NOT_SPECIFIED", 77, "--bot-token-file"),
            ("BOT_ID_REQUIRED", 77, "--bot-id"),
            ("BOT_NOT_FOUND", 0, "not there any more"),
            ("BOT_OWNERSHIP_ERROR", 77, "give the one it was registered with"),
            ("BOT_UNREGISTER_FAILED", 69, "ask an administrator to remove it"),
        ] {
            assert_refused(Api::Newer, status, refusal, expected, words).await;
        }
    }
}

#[tokio::test]
async fn a_refused_list_ends_it_before_anything_is_removed() {
    for (api, refusal, status) in [
        (Api::Older, "WRONG_AUTH_TYPE", 403),
        (Api::Older, "insufficient_scope", 401),
        (Api::Newer, "BOT_TOKEN_NOT_SPECIFIED", 400),
        (Api::Newer, "ERROR_METHOD_NOT_FOUND", 404),
    ] {
        let (portal, setup, ids) = bench(Access::Webhook).await;
        let id = ids[0].to_string();
        let method = api.listing();
        let fault = json!({"kind": "error", "method": method, "status": status, "code": refusal, "times": 2});
        portal.post("faults", fault).await;
        let unregister = [ending(&id, api, Access::Webhook), vec!["--yes"]].concat();
        for args in [listing(api, Access::Webhook), unregister] {
            let refused = finished(&args, setup.folder()).await;
            assert_eq!(code(&refused), 77, "{refusal}: {}", stderr(&refused));
            assert!(stderr(&refused).contains(refusal), "{}", stderr(&refused));
        }
        assert_eq!(registered(&portal).await, ids);
    }
}
