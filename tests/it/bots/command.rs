//! `bots`: lists bots and removes them.

use std::process::{Output, Stdio};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{code, command, finished, finished_command, stderr, stdout};
use crate::support::process::setup::Setup;

/// The text that no output may contain.
const SECRET: &str = "b0tS3CRET";

/// A portal that gives these answers one after the other to all calls.
async fn portal_answering(results: &[Value]) -> Portal {
    let portal = Portal::start().await;
    for result in results {
        let body = json!({ "result": result }).to_string();
        portal.post("faults", json!({"kind": "raw", "status": 200, "body": body})).await;
    }
    portal
}

async fn requests(portal: &Portal) -> u64 {
    let stats = portal.control(Method::GET, "stats", Value::Null).await;
    stats["requests"].as_object().unwrap().values().filter_map(Value::as_u64).sum()
}

fn setup(portal: &Portal) -> Setup {
    let setup = Setup::new().with_source(portal).with_file();
    std::fs::write(setup.path("bot.secret"), format!("\u{feff}{SECRET}\r\n")).unwrap();
    std::fs::write(setup.path("other.secret"), "another\n").unwrap();
    setup
}

async fn bots(setup: &Setup, args: &[&str]) -> Output {
    let output = finished(&[&["bots"], args].concat(), setup.folder()).await;
    assert!(!format!("{}{}", stdout(&output), stderr(&output)).contains(SECRET), "{}", stderr(&output));
    output
}

fn first_list() -> Value {
    json!({"39": {"ID": "39", "NAME": "Helper", "CODE": "helper", "OPENLINE": "N"},
           "40": {"ID": 40, "NAME": "Night\u{1b}[2J watch", "CODE": "night", "OPENLINE": "Y"}})
}

#[tokio::test]
async fn the_bots_of_the_portal_are_listed() {
    let portal = portal_answering(&[first_list(), first_list(), json!([])]).await;
    let setup = setup(&portal);
    let table = bots(&setup, &["list", "support"]).await;
    assert_eq!(code(&table), 0, "{}", stderr(&table));
    for words in ["39", "helper", "Helper", "Night [2J watch", "yes"] {
        assert!(stdout(&table).contains(words), "no `{words}` in:\n{}", stdout(&table));
    }
    assert!(!stdout(&table).contains('\u{1b}'), "foreign text moves no cursor");
    let listed: Value =
        serde_json::from_slice(&bots(&setup, &["list", "support", "--json"]).await.stdout).unwrap();
    assert_eq!((&listed["bots"][0]["id"], &listed["bots"][1]["openline"]), (&json!(39), &json!(true)));
    assert_eq!(stdout(&bots(&setup, &["list", "support"]).await), "no bots\n");
}

#[tokio::test]
async fn the_newer_list_is_read_to_its_end() {
    let page = |ids: &[u64], more: bool| {
        let bots: Vec<Value> =
            ids.iter().map(|id| json!({"id": id, "code": "c", "eventMode": "fetch"})).collect();
        json!({"bots": bots, "users": [{"id": ids[0], "name": "Helper"}], "hasNextPage": more})
    };
    let portal = portal_answering(&[page(&[1, 2], true), page(&[3], false)]).await;
    let setup = setup(&portal);
    let listed = bots(&setup, &["list", "support", "--v2", "--bot-token-file", "bot.secret", "--json"]).await;
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let ids: Vec<&Value> = listed["bots"].as_array().unwrap().iter().map(|bot| &bot["id"]).collect();
    assert_eq!(ids, [1, 2, 3]);
    assert_eq!(
        (&listed["bots"][0]["name"], &listed["bots"][0]["event_mode"]),
        (&json!("Helper"), &json!("fetch"))
    );
    assert_eq!(portal.faults_left().await, 0);
}

#[tokio::test]
async fn a_list_without_an_end_is_not_read_for_ever() {
    let portal = Portal::start().await;
    let body = json!({"result": {"bots": [{"id": 1}], "users": [], "hasNextPage": true}}).to_string();
    portal.post("faults", json!({"kind": "raw", "status": 200, "body": body, "times": 1000})).await;
    let listed = bots(&setup(&portal), &["list", "support", "--v2", "--bot-token-file", "bot.secret"]).await;
    assert_eq!(code(&listed), 0, "{}", stderr(&listed));
    assert_eq!(requests(&portal).await, 20);
}

#[tokio::test]
async fn a_webhook_without_the_secret_is_not_tried() {
    let portal = Portal::start().await;
    let setup = setup(&portal);
    for (args, words) in [
        (["list", "support", "--v2"].as_slice(), "--bot-token-file"),
        (&["unregister", "support", "--bot-id", "39", "--yes"], "--client-id-file"),
        (&["unregister", "support", "--bot-id", "39", "--v2", "--yes"], "--bot-token-file"),
        (&["unregister", "support", "--bot-id", "39", "--client-id-file", "bot.secret"], "--yes"),
    ] {
        let refused = bots(&setup, args).await;
        assert_eq!((code(&refused), stdout(&refused).as_str()), (64, ""), "{args:?}");
        assert!(stderr(&refused).contains(words), "{args:?}: {}", stderr(&refused));
    }
    for content in ["", "two words", &"x".repeat(2000)] {
        std::fs::write(setup.path("odd"), content).unwrap();
        let refused =
            bots(&setup, &["unregister", "support", "--bot-id", "39", "--client-id-file", "odd", "--yes"])
                .await;
        assert_eq!(code(&refused), 64, "{}", stderr(&refused));
    }
    let refused =
        bots(&setup, &["unregister", "support", "--bot-id", "39", "--client-id-file", "nowhere", "--yes"])
            .await;
    assert_eq!(code(&refused), 74, "{}", stderr(&refused));
    assert_eq!(requests(&portal).await, 0);
}

const FIRST: [&str; 7] =
    ["unregister", "support", "--bot-id", "39", "--client-id-file", "bot.secret", "--yes"];
const SECOND: [&str; 8] =
    ["unregister", "support", "--bot-id", "39", "--v2", "--bot-token-file", "bot.secret", "--yes"];

#[tokio::test]
async fn a_bot_is_unregistered_with_either_api() {
    let second_list =
        json!({"bots": [{"id": 39, "code": "helper"}], "users": [{"id": 39, "name": "Helper"}]});
    let answers = [first_list(), json!(true), second_list, json!({"result": true})];
    let portal = portal_answering(&answers).await;
    let setup = setup(&portal);
    for args in [FIRST.as_slice(), &SECOND] {
        let removed = bots(&setup, args).await;
        assert_eq!(code(&removed), 0, "{}", stderr(&removed));
        assert!(stdout(&removed).contains("bot 39 (Helper, code helper)"), "{}", stdout(&removed));
        assert!(stdout(&removed).contains("bot 39 is unregistered"), "{}", stdout(&removed));
        assert!(stderr(&removed).contains("private chats"), "{}", stderr(&removed));
    }
    assert_eq!(portal.faults_left().await, 0);
}

#[tokio::test]
async fn the_secret_can_come_through_standard_input() {
    let portal = portal_answering(&[first_list(), json!(true)]).await;
    let setup = setup(&portal);
    let mut unregister = command();
    unregister.args(["bots", "unregister", "support", "--bot-id", "39", "--client-id-file", "-", "--yes"]);
    unregister
        .current_dir(setup.folder())
        .stdin(Stdio::from(std::fs::File::open(setup.path("bot.secret")).unwrap()));
    let removed = finished_command(unregister).await;
    assert_eq!(code(&removed), 0, "{}", stderr(&removed));
}

#[tokio::test]
async fn a_dry_run_removes_nothing() {
    let portal = portal_answering(&[first_list()]).await;
    let args =
        ["unregister", "support", "--bot-id", "39", "--client-id-file", "bot.secret", "--dry-run", "--yes"];
    let shown = bots(&setup(&portal), &args).await;
    assert_eq!(code(&shown), 0, "{}", stderr(&shown));
    assert!(stdout(&shown).contains("Helper") && stdout(&shown).contains("nothing was removed"));
    assert_eq!(requests(&portal).await, 1, "the list alone");
}

#[tokio::test]
async fn every_refusal_comes_with_what_to_do() {
    for (refusal, expected, words) in [
        ("BOT_ID_ERROR", 0, "not there any more"),
        ("BOT_NOT_FOUND", 0, "not there any more"),
        ("APP_ID_ERROR", 77, "another application"),
        ("BOT_OWNERSHIP_ERROR", 77, "another application"),
        ("ACCESS_DENIED", 77, "--client-id-file"),
        ("WRONG_REQUEST", 77, "administrator"),
        ("BOT_UNREGISTER_FAILED", 69, "administrator"),
        ("BOT_TOKEN_NOT_SPECIFIED", 77, "--bot-token-file"),
        ("insufficient_scope", 77, "`imbot`"),
        ("WRONG_AUTH_TYPE", 77, "credential"),
        ("ERROR_METHOD_NOT_FOUND", 77, "--v2"),
        ("NEVER_SEEN", 69, "NEVER_SEEN"),
    ] {
        let portal = portal_answering(&[first_list()]).await;
        let text = format!("the portal repeats {SECRET} and {}", portal.code(1));
        let fault = json!({"kind": "error", "status": 400, "code": refusal, "description": text});
        portal.post("faults", fault).await;
        let refused = bots(&setup(&portal), &FIRST).await;
        assert_eq!(code(&refused), expected, "{refusal}: {}", stderr(&refused));
        let said = format!("{}{}", stdout(&refused), stderr(&refused));
        assert!(said.contains(words) && !said.contains(&portal.code(1)), "{refusal}: {said}");
    }
}

/// A portal with its own bots, which the webhook of its first user can list.
async fn portal_with_bots(count: usize) -> Portal {
    let portal = Portal::start().await;
    portal.post("users/1", json!({"scopes": ["im", "imbot"]})).await;
    for number in 0..count {
        let bot = json!({"code": format!("bot{number}"), "name": format!("Bot {number}"), "token": SECRET});
        portal.post("bots", bot).await;
    }
    portal
}

async fn registered(portal: &Portal) -> Vec<u64> {
    let bots = portal.control(Method::GET, "bots", Value::Null).await;
    bots.as_array().unwrap().iter().map(|bot| bot["id"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn more_bots_than_a_page_holds_are_all_listed() {
    let portal = portal_with_bots(60).await;
    let setup = setup(&portal);
    for args in [["--json"].as_slice(), &["--json", "--v2", "--bot-token-file", "bot.secret"]] {
        let listed = bots(&setup, &[&["list", "support"], args].concat()).await;
        assert_eq!(code(&listed), 0, "{}", stderr(&listed));
        let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
        let mut ids: Vec<u64> =
            listed["bots"].as_array().unwrap().iter().map(|bot| bot["id"].as_u64().unwrap()).collect();
        ids.sort_unstable();
        assert_eq!(ids, registered(&portal).await);
        assert!(
            listed["bots"]
                .as_array()
                .unwrap()
                .iter()
                .all(|bot| bot["name"].as_str().unwrap().starts_with("Bot "))
        );
    }
    let none = bots(&setup, &["list", "support", "--v2", "--bot-token-file", "other.secret"]).await;
    assert!(stdout(&none).contains("a wrong one has none"), "{}", stdout(&none));
}

#[tokio::test]
async fn either_api_ends_a_bot_and_doing_it_again_is_no_error() {
    for v2 in [false, true] {
        let portal = portal_with_bots(2).await;
        let setup = setup(&portal);
        let ids = registered(&portal).await;
        let id = ids[0].to_string();
        let api: &[&str] = if v2 {
            &["--v2", "--bot-token-file", "bot.secret"]
        } else {
            &["--client-id-file", "bot.secret"]
        };
        let unregister = [&["unregister", "support", "--bot-id", &id, "--yes"], api].concat();
        for words in ["is unregistered", "not there any more"] {
            let removed = bots(&setup, &unregister).await;
            assert_eq!(code(&removed), 0, "{}", stderr(&removed));
            assert!(stdout(&removed).contains(words), "no `{words}` in: {}", stdout(&removed));
            assert_eq!(registered(&portal).await, ids[1..]);
        }
    }
}

#[tokio::test]
async fn the_bot_of_somebody_else_stays() {
    let portal = portal_with_bots(1).await;
    let setup = setup(&portal);
    let ids = registered(&portal).await;
    let id = ids[0].to_string();
    for api in
        [["--client-id-file", "other.secret"].as_slice(), &["--v2", "--bot-token-file", "other.secret"]]
    {
        let refused =
            bots(&setup, &[&["unregister", "support", "--bot-id", &id, "--yes"], api].concat()).await;
        assert_eq!(code(&refused), 77, "{}", stderr(&refused));
        assert!(stderr(&refused).contains("give the one it was registered with"), "{}", stderr(&refused));
    }
    portal.post("users/1", json!({"scopes": ["im"]})).await;
    let refused = bots(&setup, &["list", "support"]).await;
    assert_eq!(code(&refused), 77, "{}", stderr(&refused));
    assert!(stderr(&refused).contains("`imbot`"), "{}", stderr(&refused));
    assert_eq!(registered(&portal).await, ids);
}
