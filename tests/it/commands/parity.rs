//! `check` finds the same errors as `run`: whatever stops a daemon at its start makes `check` fail, and both give the
//! same hint.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::portal::application::{log_in, oauth_table};
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, code, command, finished, finished_command, stderr, stdout};
use crate::support::process::setup::Setup;

const STATE: &str = "b24relay.db";

/// A reason not to start: the error, the exit code of `run`, and the words that both must show.
struct Row {
    what: &'static str,
    setup: Setup,
    code: i32,
    words: Vec<String>,
}

fn row(what: &'static str, setup: Setup, code: i32, words: &[&str]) -> Row {
    Row { what, setup, code, words: words.iter().map(|word| (*word).to_owned()).collect() }
}

fn sound(portal: &Portal) -> Setup {
    Setup::new().with_source(portal).with_file()
}

/// A setup whose state file was used and then changed with `sql`.
async fn tampered(portal: &Portal, sql: &str) -> Setup {
    let setup = sound(portal);
    setup.drain().await;
    Connection::open(setup.path(STATE)).unwrap().execute_batch(sql).unwrap();
    setup
}

async fn of_another_user(portal: &Portal) -> Setup {
    let setup = sound(portal);
    setup.drain().await;
    setup.anew().with_user(portal, "support", 2, 1000).with_file()
}

/// Errors in the configuration.
fn configurations(portal: &Portal) -> Vec<Row> {
    let source =
        |url: &str| Setup::new().with(&format!("[sources.support]\nwebhook_url = \"{url}\"")).with_file();
    vec![
        row("an unknown key", sound(portal).with("[log]\nlevle = \"info\""), 78, &["log.levle", "`level`"]),
        row("no TOML", sound(portal).with("[log]\nlevel = info"), 78, &["texts need quotes", "level = info"]),
        row(
            "a key twice",
            sound(portal).with("[log]\nlevel = \"info\"\nlevel = \"debug\""),
            78,
            &["duplicate key `level`"],
        ),
        row(
            "a code of an example",
            source("https://a.bitrix24.com/rest/1/CODE/"),
            78,
            &["webhook_url: is a placeholder"],
        ),
        row(
            "a portal of an example",
            source("https://example.bitrix24.com/rest/1/abc123/"),
            78,
            &["webhook_url: is a placeholder"],
        ),
        row(
            "a URL of something else",
            source("https://a.example/rest/1/"),
            78,
            &["no code behind the user id"],
        ),
        row(
            "an unknown type",
            sound(portal).with("[sinks.crm]\ntype = \"http\""),
            78,
            &["did you mean `webhook`?"],
        ),
        row(
            "a path for a shell",
            sound(portal).with("[sinks.b]\ntype = \"file\"\npath = \"~/b.jsonl\""),
            78,
            &["sinks.b.path", "/b.jsonl`"],
        ),
    ]
}

/// Errors in the state file.
async fn states(portal: &Portal) -> Vec<Row> {
    let [folder, half] = [(); 2].map(|()| sound(portal));
    fs::create_dir(folder.path(STATE)).unwrap();
    fs::write(half.path(STATE), "SQLite format 3").unwrap();
    vec![
        row(
            "another user's queue",
            of_another_user(portal).await,
            78,
            &["sources.support: has read the queue", "/user/2`"],
        ),
        row(
            "a damaged row",
            tampered(portal, "UPDATE source SET next_seq = 9").await,
            74,
            &["is not as it was written"],
        ),
        row("a missing table", tampered(portal, "DROP TABLE batch").await, 74, &["damaged"]),
        row("a newer layout", tampered(portal, "PRAGMA user_version = 99").await, 78, &["layout 99"]),
        row(
            "another program's file",
            tampered(portal, "PRAGMA application_id = 7; DROP TABLE gap").await,
            78,
            &["another program"],
        ),
        row("a folder for a state", folder, 74, &["it is a directory"]),
        row("half a state", half, 74, &["cut off"]),
        row("a file for a folder", Setup::new().with_source(portal).with_file(), 74, &["b24relay.toml/x.db"]),
    ]
}

/// Errors of other systems.
fn host(portal: &Portal, revoked: &Portal, taken: &TcpListener) -> Vec<Row> {
    let listening = sound(portal).with(&format!("[http]\nlisten = \"{}\"", taken.local_addr().unwrap()));
    let elsewhere = sound(portal).with("[http]\nlisten = \"192.0.2.1:80\"\ntoken = \"9f86d081884c7d65\"");
    vec![
        row("a taken port", listening, 75, &["http.listen: cannot listen on", "in use"]),
        row("somebody else's address", elsewhere, 75, &["http.listen: cannot listen on 192.0.2.1:80"]),
        row("a revoked webhook", sound(revoked), 77, &["INVALID_CREDENTIALS"]),
    ]
}

#[tokio::test]
async fn what_keeps_run_from_starting_makes_check_fail_with_the_same_words() {
    let portal = Portal::start().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let revoked = Portal::start().await;
    let others = host(&portal, &revoked, &taken);
    revoked.post("users/1", json!({"code": "another"})).await;
    let rows = configurations(&portal).into_iter().chain(states(&portal).await).chain(others);
    for Row { what, setup, code: expected, words } in rows {
        let state: &[&str] =
            if what == "a file for a folder" { &["--state", "b24relay.toml/x.db"] } else { &[] };
        let checked = finished(&[&["check"], state].concat(), setup.folder()).await;
        let report = format!("{}{}", stdout(&checked), stderr(&checked));
        assert_eq!(code(&checked), expected, "{what}: {report}");
        let mut relay = Relay::start(setup.folder(), state);
        // An answer of a portal never ends a daemon: it reports the error and waits.
        if expected != 77 {
            assert_eq!(relay.exit_code().await, expected, "{what}: {}", relay.log());
        }
        for word in &words {
            assert!(report.contains(word), "{what}: check does not say `{word}`:\n{report}");
            relay.until_logged(word).await;
        }
        if expected == 77 {
            assert!(relay.is_running(), "{what}: {}", relay.log());
            assert_eq!(relay.stop().await, 0, "{what}: {}", relay.log());
        }
    }
}

#[tokio::test]
async fn a_second_login_of_one_user_is_refused_by_both() {
    let portal = Portal::start().await;
    let mut setup = Setup::new().with_file();
    for name in ["first", "second"] {
        setup = setup.with(&format!("[sources.{name}]\n{}", oauth_table(&portal, name).await));
    }
    for name in ["first", "second"] {
        log_in(&portal, &setup, name, 1).await;
    }
    for args in [["check"].as_slice(), &["run", "--once"]] {
        let refused = finished(args, setup.folder()).await;
        let said = format!("{}{}", stdout(&refused), stderr(&refused));
        assert_eq!(code(&refused), 77, "{args:?}: {said}");
        assert!(said.contains("the source `first` reads the queue"), "{args:?}: {said}");
    }
}

async fn report(setup: &Setup) -> (i32, Value) {
    let checked = finished(&["check", "--json"], setup.folder()).await;
    (code(&checked), serde_json::from_slice(&checked.stdout).unwrap())
}

/// One check of a source or sink.
fn finding(subject: &Value, check: &str) -> Value {
    let checks = subject["checks"].as_array().unwrap();
    checks.iter().find(|finding| finding["check"] == check).unwrap_or_else(|| panic!("{subject:#}")).clone()
}

#[tokio::test]
async fn the_port_and_the_state_of_the_daemon_that_runs_are_no_failure() {
    let portal = Portal::start().await;
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let setup = sound(&portal).with(&format!("[http]\nlisten = \"{address}\""));
    assert_eq!(finding(&report(&setup).await.1["http"], "listen")["detail"], format!("{address} is free"));
    let mut relay = setup.run();
    relay.until_logged("source started").await;
    let (code, report) = report(&setup).await;
    assert_eq!(code, 0, "{report:#}");
    for found in [finding(&report["http"], "listen"), finding(&report["state"], "file")] {
        assert!(
            found["state"] == "ok" && found["detail"].as_str().unwrap().contains("in use by process"),
            "{found}"
        );
    }
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
}

#[tokio::test]
async fn a_sink_that_would_write_to_a_pipe_is_told_of_stdout() {
    let portal = Portal::start().await;
    for (path, words) in [
        ("/dev/stdout", "type = \"stdout\""),
        ("/proc/self/fd/1", "type = \"stdout\""),
        ("/dev/stderr", "the log goes there"),
    ] {
        let setup = Setup::new()
            .with_source(&portal)
            .with(&format!("[sinks.out]\ntype = \"file\"\npath = \"{path}\""));
        let checked = finished(&["check"], setup.folder()).await;
        assert_eq!(code(&checked), 78, "{path}: {}", stdout(&checked));
        assert!(stdout(&checked).contains(words) && stdout(&checked).contains(path), "{}", stdout(&checked));
    }
    // A path that is a file now may be a pipe when the daemon starts.
    let setup =
        Setup::new().with_source(&portal).with("[sinks.out]\ntype = \"file\"\npath = \"/dev/stdout\"");
    let target = fs::File::create(setup.path("out.txt")).unwrap();
    let mut check = command();
    check.arg("check").current_dir(setup.folder()).stdout(Stdio::from(target));
    let status = tokio::task::spawn_blocking(move || check.status().unwrap()).await.unwrap();
    let shown = fs::read_to_string(setup.path("out.txt")).unwrap();
    assert!(status.success() && shown.contains("warn"), "{shown}");
}

#[tokio::test]
async fn secrets_that_every_user_can_read_are_a_warning() {
    let portal = Portal::start().await;
    let setup = Setup::new().with("[sources.support]\nwebhook_url_file = \"support.url\"").with_file();
    fs::write(setup.path("support.url"), portal.webhook_url(1)).unwrap();
    let restrict =
        |name: &str, mode| fs::set_permissions(setup.path(name), fs::Permissions::from_mode(mode)).unwrap();
    restrict(".", 0o755);
    for (mode, state) in [(0o644, "warn"), (0o640, "ok")] {
        restrict("support.url", mode);
        for args in [["check", "--json"].as_slice(), &["check", "--no-network", "--json"]] {
            let checked = finished(args, setup.folder()).await;
            let report: Value = serde_json::from_slice(&checked.stdout).unwrap();
            let found = finding(&report["configuration"], "secrets");
            assert_eq!((code(&checked), &found["state"]), (0, &json!(state)), "{report:#}");
            let hint = found["hint"].as_str().unwrap();
            assert_eq!(hint.contains("chmod") && hint.contains("support.url"), state == "warn", "{found}");
        }
    }
    // The configuration itself contains a secret.
    let setup = setup.anew().with_source(&portal).with_file();
    fs::set_permissions(setup.path("b24relay.toml"), fs::Permissions::from_mode(0o644)).unwrap();
    let shown = stdout(&finished(&["check", "--no-network"], setup.folder()).await);
    assert!(shown.contains("b24relay.toml` holds a secret"), "{shown}");
}

#[tokio::test]
async fn a_bot_that_hears_only_what_is_said_to_it_is_a_warning() {
    let portal = Portal::start().await;
    portal.post("users/1", json!({"scopes": ["im", "imbot"]})).await;
    for (kind, state) in [("bot", "warn"), ("supervisor", "ok")] {
        let bot = json!({"code": kind, "name": "Helper", "token": "t0ken", "type": kind});
        let id = portal.post("bots", bot).await["id"].as_u64().unwrap();
        let setup = Setup::new()
            .with(&format!(
                "[sources.helper]\nkind = \"bot\"\nbot_id = {id}\nbot_token = \"t0ken\"\nwebhook_url = \"{}\"",
                portal.webhook_url(1)
            ))
            .with_file();
        let (code, report) = report(&setup).await;
        let found = finding(&report["sources"][0], "bot");
        assert_eq!((code, &found["state"]), (0, &json!(state)), "{report:#}");
        assert_eq!(
            found["detail"].as_str().unwrap().contains("only messages that mention it"),
            state == "warn",
            "{found}"
        );
    }
}

#[tokio::test]
async fn a_file_beside_the_configuration_is_found_from_any_folder() {
    let (portal, elsewhere) = (Portal::start().await, tempfile::tempdir().unwrap());
    let setup = Setup::new().with("[sources.support]\nwebhook_url_file = \"support.url\"").with_stdout();
    let check = || {
        let mut check = command();
        check
            .args(["check", "--no-network", "--config"])
            .arg(setup.path("b24relay.toml"))
            .current_dir(elsewhere.path());
        finished_command(check)
    };
    let refused = check().await;
    assert_eq!(code(&refused), 78);
    for place in [elsewhere.path().join("support.url"), setup.path("support.url")] {
        assert!(stderr(&refused).contains(&format!("`{}`", place.display())), "{}", stderr(&refused));
    }
    fs::write(setup.path("support.url"), portal.webhook_url(1)).unwrap();
    let checked = check().await;
    assert_eq!(code(&checked), 0, "{}", stderr(&checked));
}
