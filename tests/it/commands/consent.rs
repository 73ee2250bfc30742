//! Nothing is destroyed without a question. Tests every command that can destroy, found by its flags in the manual
//! pages.

use std::collections::BTreeSet;
use std::process::Output;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::portal::application::{CLIENT_ID, log_in, oauth_table};
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{code, finished, output, stderr, stdout};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::Receiver;

const NO_HOLD: &str = "[delivery]\nhold = \"0s\"";
const SECRET: &str = "b0tS3CRET";

/// A command and the data that it can destroy.
struct Scene {
    portal: Portal,
    setup: Setup,
    args: Vec<String>,
    /// The number of affected events in the text of a dry run.
    count: &'static str,
}

impl Scene {
    fn new(portal: Portal, setup: Setup, args: &[&str], count: &'static str) -> Self {
        Self { portal, setup, args: args.iter().map(ToString::to_string).collect(), count }
    }

    async fn run(&self, flags: &[&str]) -> Output {
        let args: Vec<&str> = self.args.iter().map(String::as_str).chain(flags.iter().copied()).collect();
        finished(&args, self.setup.folder()).await
    }

    /// Everything that a command could have changed, at the portal and here.
    async fn everything(&self) -> Value {
        let stats = self.portal.stats(1).await;
        let kept =
            ["pending", "subscribed", "confirmed", "purged", "unsubscribes"].map(|key| stats[key].clone());
        let lanes: Vec<Value> = match b24relay::store::Store::report(&self.setup.path("b24relay.db")) {
            Ok(report) => {
                let lanes = report.lanes.iter();
                let lanes = lanes
                    .map(|lane| json!([lane.source, lane.sink, lane.next, lane.pending, lane.dead_letters]));
                let sources = report.sources.iter().map(|source| json!([source.name, source.floor]));
                lanes.chain(sources).collect()
            }
            Err(_) => Vec::new(),
        };
        let handlers = self.portal.control(Method::GET, "handlers", Value::Null).await;
        let bots = self.portal.control(Method::GET, "bots", Value::Null).await;
        json!({"user": kept, "lanes": lanes, "handlers": handlers, "bots": bots})
    }
}

/// A journal with 30 events that are undelivered to the sink `crm`.
async fn backlog(portal: &Portal, credential: &str) -> Setup {
    let receiver = Receiver::start().await;
    receiver.answer_always(Some(503));
    let setup = Setup::new().with(NO_HOLD).with_unlimited(portal).with_file().with_receiver(&receiver);
    let poll = "poll = { idle = \"20ms\", busy = \"0s\", timeout = \"5s\" }\nconfirm_lag = \"50ms\"";
    let setup = setup.with(&format!("[sources.support]\n{poll}\n{credential}"));
    if credential.contains("oauth") {
        log_in(portal, &setup, "support", 1).await;
    }
    portal.record(1, 30).await;
    let mut relay = setup.run();
    until("the journal has them", async || setup.lane_of("crm").await["pending"] == 30).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    setup
}

async fn scene(command: &str) -> Scene {
    let portal = Portal::start().await;
    let plain = |portal: &Portal| Setup::new().with_lag("0s").with_source(portal).with_file();
    match command {
        "offset-set" => {
            let setup = plain(&portal);
            portal.record(1, 2).await;
            setup.drain().await;
            portal.record(1, 6).await;
            let end = (portal.ids(1).await[6] + 1).to_string();
            Scene::new(portal, setup, &["offset", "set", "support", &end], "5 events of `support`")
        }
        "unsubscribe" => {
            let setup = plain(&portal);
            portal.record(1, 2).await;
            setup.drain().await;
            portal.record(1, 5).await;
            Scene::new(portal, setup, &["unsubscribe", "support", "--discard"], "5 events wait at the portal")
        }
        "run" => {
            let webhook = format!("webhook_url = \"{}\"", portal.webhook_url(1));
            let setup = backlog(&portal, &webhook).await;
            let setup = setup.anew().with(NO_HOLD).with_user(&portal, "support", 1, 100).with_file();
            Scene::new(
                portal,
                setup,
                &["run", "--once", "--forget", "crm"],
                "30 events have not been delivered to `crm`",
            )
        }
        "login" => {
            let setup = backlog(&portal, &oauth_table(&portal, "support").await).await;
            let pair = portal.post(&format!("apps/{CLIENT_ID}/login"), json!({"user": 2})).await;
            std::fs::write(setup.path("pair.json"), pair.to_string()).unwrap();
            let args = ["login", "support", "--new-queue", "--tokens", "pair.json"];
            Scene::new(portal, setup, &args, "30 events of the queue")
        }
        "dead-letters-discard" => {
            let receiver = Receiver::start().await;
            receiver.answer_always(Some(422));
            let setup = plain(&portal).with_receiver(&receiver);
            portal.record(1, 3).await;
            setup.drain().await;
            Scene::new(portal, setup, &["dead-letters", "discard"], "3 dead letters")
        }
        "handlers-unbind" => {
            let setup = plain(&portal).with(&format!("[sources.app]\n{}", oauth_table(&portal, "app").await));
            log_in(&portal, &setup, "app", 1).await;
            for handler in ["https://one.example.com/", "https://two.example.com/"] {
                portal.post("handlers", json!({"event": "ONTASKADD", "handler": handler})).await;
            }
            let args = ["handlers", "unbind", "app", "--event", "ONTASKADD"];
            Scene::new(portal, setup, &args, "2 handlers match")
        }
        "bots-unregister" => {
            portal.post("users/1", json!({"scopes": ["im", "imbot"]})).await;
            let bot = portal.post("bots", json!({"code": "helper", "name": "Helper", "token": SECRET})).await;
            let id = bot["id"].to_string();
            let setup = plain(&portal);
            std::fs::write(setup.path("bot.secret"), SECRET).unwrap();
            let args = ["bots", "unregister", "support", "--bot-id", &id, "--client-id-file", "bot.secret"];
            Scene::new(portal, setup, &args, "1 bot")
        }
        other => panic!("`{other}` can destroy and has no scene here: add one"),
    }
}

/// The text of a manual page.
fn read_page(page: &std::path::PathBuf) -> String {
    let text = std::fs::read_to_string(page).unwrap();
    ["\\fB", "\\fI", "\\fR", "\\"].iter().fold(text, |text, markup| text.replace(markup, ""))
}

/// The commands that ask, by the names of their manual pages.
fn commands_that_ask() -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(code(&output(&["man", "man"], folder.path())), 0);
    let pages = std::fs::read_dir(folder.path().join("man")).unwrap().map(|page| page.unwrap().path());
    let asks = pages.filter(|page| read_page(page).contains("[--dry-run]"));
    let name =
        |page: std::path::PathBuf| page.file_stem().unwrap().to_str().unwrap().replacen("b24relay-", "", 1);
    asks.map(name).collect()
}

#[tokio::test]
async fn what_can_destroy_asks_and_a_dry_run_says_how_much_would_go() {
    let commands = commands_that_ask();
    assert!(commands.len() >= 7, "{commands:?}");
    // `odd_events` has a portal with an event to skip, and tests this command.
    for command in commands.iter().filter(|command| *command != "offset-skip") {
        let scene = scene(command).await;
        let before = scene.everything().await;

        let refused = scene.run(&[]).await;
        assert_eq!(code(&refused), 64, "{command}: {}{}", stdout(&refused), stderr(&refused));
        for words in ["--yes", "--dry-run"] {
            assert!(stderr(&refused).contains(words), "{command}: {}", stderr(&refused));
        }
        assert_eq!(scene.everything().await, before, "{command}, refused");

        for flags in [["--dry-run"].as_slice(), &["--dry-run", "--yes"]] {
            let shown = scene.run(flags).await;
            assert_eq!(code(&shown), 0, "{command}: {}{}", stdout(&shown), stderr(&shown));
            for words in [scene.count, "dry run"] {
                assert!(stdout(&shown).contains(words), "{command}: no `{words}` in: {}", stdout(&shown));
            }
            assert_eq!(scene.everything().await, before, "{command}, a dry run");
        }

        let done = scene.run(&["--yes"]).await;
        assert_eq!(code(&done), 0, "{command}: {}{}", stdout(&done), stderr(&done));
        assert!(!stdout(&done).contains("dry run"), "{command}: {}", stdout(&done));
        assert_ne!(scene.everything().await, before, "{command}, done");
    }
}

#[tokio::test]
async fn where_nothing_goes_nobody_is_asked() {
    let scene = scene("offset-set").await;
    let ids = scene.portal.ids(1).await;
    // Forward to the current position of the sinks, and back.
    for to in [ids[2], ids[0], 1] {
        let set = finished(&["offset", "set", "support", &to.to_string()], scene.setup.folder()).await;
        assert_eq!(code(&set), 0, "{to}: {}{}", stdout(&set), stderr(&set));
    }
    // The state file does not know this sink.
    let once = finished(&["run", "--once", "--forget", "crm"], scene.setup.folder()).await;
    assert_eq!(code(&once), 0, "{}", stderr(&once));
    for args in [["run", "--dry-run"].as_slice(), &["run", "--once", "--yes"]] {
        let refused = finished(args, scene.setup.folder()).await;
        assert_eq!(code(&refused), 64, "{args:?} without --forget: {}", stderr(&refused));
    }
}

#[tokio::test]
async fn another_queue_takes_the_journal_of_the_old_one_only_when_told_to() {
    let portal = Portal::start().await;
    let setup = backlog(&portal, &format!("webhook_url = \"{}\"", portal.webhook_url(1))).await;
    let receiver = Receiver::start().await;
    let setup =
        setup.anew().with(NO_HOLD).with_user(&portal, "support", 2, 100).with_file().with_receiver(&receiver);
    let scene = Scene::new(
        portal,
        setup,
        &["offset", "set", "support", "1", "--new-queue"],
        "30 events of `support`",
    );
    let before = scene.everything().await;
    assert_eq!(code(&scene.run(&[]).await), 64);
    assert!(stdout(&scene.run(&["--dry-run"]).await).contains(scene.count));
    assert_eq!(scene.everything().await, before);
    assert_eq!(code(&scene.run(&["--yes"]).await), 0);
    assert_ne!(scene.everything().await, before);
}

#[tokio::test]
async fn a_portal_that_cannot_be_asked_stops_a_dry_run_and_not_a_yes() {
    let scene = scene("offset-set").await;
    scene.portal.fault(json!({"kind": "error", "status": 403, "code": "ACCESS_DENIED", "times": 1000})).await;
    let before = scene.everything().await;
    // The last id of the portal is also unknown.
    let shown = scene.run(&["--beyond", "--dry-run"]).await;
    assert_eq!(code(&shown), 77, "it cannot say how many: {}", stdout(&shown));
    assert_eq!(code(&scene.run(&["--yes"]).await), 64);
    assert_eq!(scene.everything().await, before);
    let set = scene.run(&["--beyond", "--yes"]).await;
    assert_eq!(code(&set), 0, "{}", stderr(&set));
    assert!(stderr(&set).contains("cannot be asked") && stdout(&set).contains("at least 0 events"));
    assert_ne!(scene.everything().await, before);
}
