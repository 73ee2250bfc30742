//! The commands: messages on the right stream, and exit codes that scripts can use.

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::expected::ledger::{assert_exactly_once, ids_in};
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, append, code, command, finished, output, stderr, stdout};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::Receiver;

const COMMANDS: [&str; 13] = [
    "init",
    "config",
    "run",
    "check",
    "subscribe",
    "unsubscribe",
    "status",
    "tap",
    "handlers",
    "bots",
    "sandbox",
    "demo",
    "completions",
];

fn anywhere() -> Setup {
    Setup::new().with("")
}

#[test]
fn it_says_its_version() {
    let version = output(&["--version"], anywhere().folder());
    assert_eq!(code(&version), 0);
    assert_eq!(stdout(&version).trim(), concat!("b24relay ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_command_explains_itself_with_an_example() {
    let setup = anywhere();
    let whole = stdout(&output(&["--help"], setup.folder()));
    assert!(whole.contains("Exit codes:") && whole.contains("Example"), "{whole}");
    for name in COMMANDS {
        assert!(whole.contains(&format!("\n  {name} ")), "{name} is missing in:\n{whole}");
        let help = output(&[name, "--help"], setup.folder());
        assert_eq!((code(&help), stderr(&help).as_str()), (0, ""));
        let examples = stdout(&help).split_once("Example").map(|(_, examples)| examples.to_owned());
        assert!(examples.is_some_and(|text| text.contains(&format!("b24relay {name}"))), "{}", stdout(&help));
    }
}

#[test]
fn what_it_does_not_know_is_a_usage_error() {
    let setup = anywhere();
    for args in [
        ["--nonsense"].as_slice(),
        &["nonsense"],
        &[],
        &["run", "--nonsense"],
        &["run", "nonsense"],
        &["subscribe"],
        &["check", "nonsense"],
        &["tap"],
        &["tap", "support", "--format", "xml"],
        &["handlers", "unbind", "support"],
        &["handlers", "unbind", "support", "--event", "X", "--event-type", "both"],
        &["bots", "unregister", "support"],
        &["bots", "unregister", "support", "--bot-id", "0"],
        &["bots", "list", "support", "--bot-token-file", "t"],
        &["run", "--log-level", "loud"],
        &["completions", "cmd"],
        &["demo", "--for", "soon"],
        &["sandbox", "--users", "0"],
    ] {
        let refused = output(args, setup.folder());
        assert_eq!(code(&refused), 64, "{args:?}: {}", stderr(&refused));
        assert!(stdout(&refused).is_empty() && stderr(&refused).contains("--help"), "{args:?}: {refused:?}");
    }
}

#[test]
fn a_person_is_told_in_a_line_and_the_log_of_the_daemon_ends_with_a_line_of_its_own() {
    let setup = anywhere()
        .with("[log]\nformat = \"json\"\nlevel = \"trace\"")
        .with("[sources.support]\nwebhook_url = \"https://127.0.0.1:1/rest/1/abc/\"")
        .with_file();
    for args in [
        ["tap", "other", "--once"].as_slice(),
        &["subscribe", "support"],
        &["unsubscribe", "other"],
        &["handlers", "list", "support"],
        &["bots", "list", "other"],
        &["login", "support"],
        &["offset", "show", "support"],
        &["replay", "--sink", "other", "--from", "1h"],
        &["resume", "archive"],
        &["dead-letters", "show", "1"],
    ] {
        let ended = output(args, setup.folder());
        assert_ne!(code(&ended), 0, "{args:?}");
        let said = stderr(&ended);
        assert!(said.lines().all(|line| line.starts_with("b24relay: ")), "{args:?}: {said}");
        let error = format!("b24relay: error[B24-E{}]: ", code(&ended));
        assert_eq!(said.matches(&error).count(), 1, "{args:?}: {said}");
    }
    let mistyped = output(&["run", "--onze"], setup.folder());
    assert!(stderr(&mistyped).starts_with("error[B24-E64]: unexpected argument"), "{}", stderr(&mistyped));
    let ended = output(&["run", "--forget", "archive"], setup.folder());
    assert_eq!(code(&ended), 64);
    let last: Value = serde_json::from_str(stderr(&ended).lines().last().unwrap()).unwrap();
    assert!(last["error"].as_str().unwrap().contains("the sink `archive` is configured"), "{last}");
    assert_eq!(last["code"], "B24-E64", "{last}");
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let script = output(&["completions", shell], anywhere().folder());
        assert_eq!(code(&script), 0);
        assert!(COMMANDS.iter().all(|name| stdout(&script).contains(name)), "{shell}");
    }
}

#[test]
fn a_complaint_that_nobody_reads_keeps_its_exit_code() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut check = command();
    check.args(["check", "--no-network", "--config", "nowhere.toml"]).stderr(writer);
    assert_eq!(check.status().unwrap().code(), Some(78));
}

#[tokio::test]
async fn run_once_delivers_what_is_waiting_and_leaves() {
    let portal = Portal::start().await;
    let setup =
        Setup::new().with_user(&portal, "support", 1, 7).with_user(&portal, "sales", 2, 7).with_file();
    portal.record(1, 30).await;
    portal.record(2, 30).await;
    let once = finished(&["run", "--once"], setup.folder()).await;
    assert_eq!(code(&once), 0, "{}", stderr(&once));
    assert!(stdout(&once).is_empty());
    let mut filed = setup.filed_ids();
    filed.sort_unstable();
    let mut recorded = [portal.ids(1).await, portal.ids(2).await].concat();
    recorded.sort_unstable();
    assert_exactly_once(&filed, &recorded);
}

#[tokio::test]
async fn run_once_says_when_the_portal_refuses_the_credential() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.post("users/1", json!({"code": "another"})).await;
    let once = finished(&["run", "--once"], setup.folder()).await;
    assert_eq!(code(&once), 77, "{}", stderr(&once));
    assert!(
        stderr(&once).contains("INVALID_CREDENTIALS")
            && stderr(&once).contains("create the incoming webhook again")
    );
}

#[tokio::test]
async fn one_refused_source_does_not_keep_run_once_from_draining_the_others() {
    let portal = Portal::start().await;
    let setup =
        Setup::new().with_user(&portal, "refused", 1, 1000).with_user(&portal, "sales", 2, 5).with_file();
    portal.post("users/1", json!({"code": "another"})).await;
    portal.record(2, 30).await;
    let once = finished(&["run", "--once"], setup.folder()).await;
    assert_eq!(code(&once), 77, "{}", stderr(&once));
    assert_exactly_once(&setup.filed_ids(), &portal.ids(2).await);
}

#[tokio::test]
async fn run_once_gives_up_on_a_sink_that_stays_down() {
    for status in [500, 401] {
        let (portal, receiver) = (Portal::start().await, Receiver::start().await);
        let setup = Setup::new().with_source(&portal).with_file().with_receiver(&receiver);
        receiver.answer_always(Some(status));
        portal.record(1, 3).await;
        let once = finished(&["run", "--once"], setup.folder()).await;
        assert_eq!(code(&once), 75, "{}", stderr(&once));
        assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);

        receiver.answer_always(None);
        let again = finished(&["run", "--once"], setup.folder()).await;
        assert_eq!(code(&again), 0, "{}", stderr(&again));
        assert_exactly_once(&receiver.accepted_ids(), &portal.ids(1).await);
        assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
    }
}

#[tokio::test]
async fn run_once_does_not_wait_for_the_person_that_a_held_sink_needs() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let url = receiver.url();
    // With the default delays, a few probes of a held sink would take minutes.
    let setup =
        Setup::new().with_source(&portal).with(&format!("[sinks.crm]\ntype = \"webhook\"\nurl = \"{url}\""));
    receiver.answer_always(Some(404));
    portal.record(1, 3).await;
    let mut once = Relay::start(setup.folder(), &["--once"]);
    assert_eq!(once.exit_code().await, 75, "{}", once.log());
}

#[tokio::test]
async fn run_once_gives_up_on_a_portal_that_stays_down() {
    let setup =
        Setup::new().with("[sources.support]\nwebhook_url = \"http://127.0.0.1:1/rest/1/abc/\"").with_file();
    let mut once = Relay::start(setup.folder(), &["--once"]);
    once.until_logged("poll failed").await;
    // SIGHUP shortens the delays.
    until("it leaves", async || {
        let is_running = once.is_running();
        if is_running {
            once.signal(Signal::HUP);
        }
        !is_running
    })
    .await;
    assert_eq!(once.exit_code().await, 75, "{}", once.log());
}

/// Starts `b24relay sandbox` and returns it with its output.
async fn sandbox(folder: &Path, args: &[&str]) -> (Relay, String) {
    let mut sandbox = command();
    sandbox.args(["sandbox", "--listen", "127.0.0.1:0"]).args(args).current_dir(folder);
    let sandbox = Relay::start_command(sandbox, folder, append(&folder.join("printed")).into());
    let printed = || fs::read_to_string(folder.join("printed")).unwrap();
    until("the sandbox has said everything", async || printed().contains("curl")).await;
    (sandbox, printed())
}

#[tokio::test]
async fn the_configuration_that_the_sandbox_prints_works() {
    let setup = anywhere();
    let (mut sandbox, printed) =
        sandbox(setup.folder(), &["--backlog", "20", "--subscribed", "--users", "2"]).await;
    assert_eq!(printed.matches("/rest/1/").count(), 2, "in the list and in the snippet: {printed}");
    assert_eq!(printed.matches("/rest/2/").count(), 1, "{printed}");
    let snippet = printed.split_once("(b24relay.toml):").unwrap().1.split_once("Control:").unwrap().0;
    fs::write(setup.path("b24relay.toml"), snippet).unwrap();

    let once = finished(&["run", "--once"], setup.folder()).await;
    assert_eq!(code(&once), 0, "{}", stderr(&once));
    fs::write(setup.path("out"), &once.stdout).unwrap();
    let ids = ids_in(&setup.path("out"), false);
    assert!(ids.len() >= 20 && ids.is_sorted(), "{ids:?}");
    assert_eq!(sandbox.stop().await, 0, "{}", sandbox.log());
}

#[test]
fn the_sandbox_listens_to_this_machine_only() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let refused = output(&["sandbox", "--listen", address], anywhere().folder());
        assert_ne!(code(&refused), 0);
        assert!(stderr(&refused).contains("loopback") && stdout(&refused).is_empty(), "{}", stderr(&refused));
    }
}

async fn status(setup: &Setup) -> Value {
    let status = finished(&["status", "--json"], setup.folder()).await;
    assert!(matches!(code(&status), 0 | 69), "{}", stderr(&status));
    serde_json::from_slice(&status.stdout).unwrap()
}

#[tokio::test]
async fn status_tells_how_far_each_sink_is_and_what_keeps_it() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup = Setup::new()
        .with_source(&portal)
        .with_file()
        .with("events = [\"ONIMV2MESSAGEADD\"]")
        .with_receiver(&receiver);
    portal.record_as(json!({"user": 1, "count": 3, "type": "ONIMV2MESSAGEADD"})).await;
    portal.record_as(json!({"user": 1, "count": 2, "type": "ONIMV2MESSAGEUPDATE"})).await;
    receiver.answer_always(Some(401));
    let mut relay = setup.run();
    relay.until_logged("source started").await;
    let lane = |report: &Value, sink: &str| {
        let lanes = report["lanes"].as_array().unwrap();
        lanes.iter().find(|lane| lane["sink"] == sink).cloned().unwrap_or(Value::Null)
    };
    until("the trouble of the held sink is there", async || {
        let report = status(&setup).await;
        let trouble = lane(&report, "crm")["trouble"].as_str().unwrap_or_default().to_owned();
        trouble.contains("401") && lane(&report, "archive")["delivered"] == 3
    })
    .await;
    let report = status(&setup).await;
    let held = lane(&report, "crm");
    assert_eq!((&held["delivered"], &held["filtered"]), (&json!(0), &json!(0)), "{report}");
    let archive = lane(&report, "archive");
    assert_eq!(
        (&archive["filtered"], &archive["next"], &archive["pending"], &archive["trouble"]),
        (&json!(2), &json!(6), &json!(0), &json!(""))
    );
    assert_eq!((&report["sources"][0]["next"], &report["sources"][0]["generation"]), (&json!(6), &json!(1)));
    assert!(report["holder"].as_str().unwrap().contains(&relay.id().to_string()), "{report}");
    assert!(report["sources"][0]["identity"].as_str().unwrap().ends_with("/user/1"), "{report}");

    let table = stdout(&finished(&["status"], setup.folder()).await);
    for words in ["b24relay.db", &format!("process {}", relay.id()), "support", "archive", "crm", "401"] {
        assert!(table.contains(words), "no `{words}` in:\n{table}");
    }

    receiver.answer_always(None);
    until("the sink is well again", async || lane(&status(&setup).await, "crm")["delivered"] == 5).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    let report = status(&setup).await;
    assert_eq!((&report["holder"], &lane(&report, "crm")["trouble"]), (&Value::Null, &json!("")), "{report}");
    for args in [["status"].as_slice(), &["status", "--json"], &["status", "--problems"]] {
        let status = finished(args, setup.folder()).await;
        assert_eq!((code(&status), stderr(&status).as_str()), (69, ""), "{args:?}: {}", stdout(&status));
    }
    assert!(stdout(&finished(&["status"], setup.folder()).await).contains("not running"));
}

#[tokio::test]
async fn what_is_wrong_comes_first_and_alone_where_only_that_is_asked_for() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup = Setup::new().with_source(&portal).with_file().with_receiver(&receiver);
    let mut relay = setup.run();
    portal.record(1, 1).await;
    let problems = async || {
        let status = finished(&["status", "--problems"], setup.folder()).await;
        assert_eq!((code(&status), stderr(&status).as_str()), (0, ""));
        stdout(&status)
    };
    until("all is well", async || setup.lane_of("crm").await["delivered"] == 1).await;
    assert_eq!(problems().await, "no problems\n");
    receiver.answer_always(Some(401));
    portal.record(1, 1).await;
    setup.until_crm_is("held").await;
    let only = problems().await;
    assert_eq!(only.lines().count(), 1, "{only}");
    assert!(only.starts_with("action required: sink `crm` for `support` is held since 20"), "{only}");
    let all = stdout(&finished(&["status"], setup.folder()).await);
    let at = |words: &str| all.find(words).unwrap_or_else(|| panic!("no `{words}` in: {all}"));
    assert!(all.starts_with("action required\naction required: sink `crm` for `support` is held"), "{all}");
    assert!(at("command b24relay check") < at("noted   ") && at("noted   ") < at("totals  "), "{all}");
    assert!(at("totals  ") < at("SINK ") && at("SINK ") < at("SOURCE "), "{all}");
    relay.stop().await;
}

#[test]
fn status_without_a_state_file_says_so_and_creates_nothing() {
    let setup =
        anywhere().with("[sources.support]\nwebhook_url = \"https://a.example/rest/1/abc/\"").with_file();
    for args in [["status"].as_slice(), &["status", "--json"]] {
        let refused = output(args, setup.folder());
        assert_eq!((code(&refused), stdout(&refused).as_str()), (74, ""), "{}", stderr(&refused));
        assert!(stderr(&refused).contains("there is none yet") && stderr(&refused).contains("b24relay.db"));
    }
    assert_eq!(fs::read_dir(setup.folder()).unwrap().count(), 1, "the configuration alone");
}
