//! The demo: nothing to set up, nothing left behind, and a promise that survives real kills.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use b24_client::http;
use reqwest::Url;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::process::relay::{Relay, append, code, command, output_of, stderr, stdout};
use crate::support::process::terminal::Terminal;
use crate::support::process::waiting::{PATIENCE, until};

/// A demo whose temporary files go to `folder`.
fn demo(folder: &Path, args: &[&str]) -> Command {
    let mut demo = command();
    demo.arg("demo").args(args).current_dir(folder).env("TMPDIR", folder);
    demo
}

fn finished(folder: &Path, args: &[&str]) -> Output {
    output_of(demo(folder, args))
}

/// The process ids of the relays that a demo has started.
fn relays(said: &str) -> Vec<u32> {
    let ids = said.lines().filter_map(|line| line.split_once("the relay runs as process "));
    ids.map(|(_, id)| id.trim().parse().unwrap()).collect()
}

fn is_running(process: u32) -> bool {
    // A process that has ended but was not waited for has no command line.
    fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|line| !line.is_empty())
}

/// Asserts that no file of a demo in `folder` is left, besides `expected`.
fn assert_left(folder: &Path, expected: &[&str]) {
    let entries = fs::read_dir(folder).unwrap();
    let mut left: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    left.sort();
    assert_eq!(left, expected);
}

#[test]
fn it_shows_events_and_counts_them_without_anything_to_set_up() {
    let folder = TempDir::new().unwrap();
    let demo = finished(folder.path(), &["--seconds", "2", "--rate", "20"]);
    assert_eq!(code(&demo), 0, "{}", stderr(&demo));
    assert!(stdout(&demo).lines().count() > 3, "{}", stdout(&demo));
    assert!(stdout(&demo).lines().all(|line| line.contains(" demo ")), "{}", stdout(&demo));
    for words in ["the promise: no event is lost", "the relay's page: http://127.0.0.1:", "b24relay init"] {
        assert!(stderr(&demo).contains(words), "no `{words}` in {}", stderr(&demo));
    }
    let last = stderr(&demo).lines().rfind(|line| line.contains("happened")).unwrap().to_owned();
    assert_eq!(last.matches(" 0 lost, 0 twice").count(), 2, "{last}");
    assert!(!last.contains("on their way"), "{last}");
    assert_left(folder.path(), &[]);
}

#[test]
fn a_drama_kills_real_processes_and_nothing_is_lost() {
    let folder = TempDir::new().unwrap();
    let demo = finished(folder.path(), &["--drama", "--for", "5s", "--rate", "20"]);
    let said = stderr(&demo);
    assert_eq!(code(&demo), 0, "{said}");
    let started = relays(&said);
    assert_eq!(started.len(), 3, "{said}");
    for killed in &started[..2] {
        assert!(said.contains(&format!("kill -9 has ended the relay, process {killed}")), "{said}");
    }
    for words in ["the receiver is stopped", "the receiver is back", "cut off; its events", "connected again"]
    {
        assert_eq!(said.matches(words).count(), 1, "`{words}` in {said}");
    }
    let last = said.lines().rfind(|line| line.contains("happened")).unwrap();
    assert!(last.contains("File: ") && last.contains(", 0 lost, 0 twice. Receiver: "), "{last}");
    assert_eq!(last.matches(" 0 lost, ").count(), 2, "{last}");
    assert!(!last.contains("on their way"), "{last}");
    // The receiver prints each event once.
    let lines: Vec<String> = stdout(&demo).lines().map(str::to_owned).collect();
    assert!(last.contains(&format!(". Receiver: {} delivered", lines.len())), "{last}");
    assert!(started.into_iter().all(|process| !is_running(process)));
    assert_left(folder.path(), &[]);
}

#[tokio::test]
async fn the_page_is_served_and_ctrl_c_leaves_nothing_behind() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    let demo = demo(folder.path(), &["--for", "1h", "--rate", "20"]);
    let mut demo = Relay::start_command(demo, folder.path(), append(&out).into());
    demo.until_logged("the relay's page: ").await;
    let log = demo.log();
    let page = log.split_once("the relay's page: ").unwrap().1.lines().next().unwrap().to_owned();
    let page: Url = page.parse().unwrap();
    let client = http::build(&page, PATIENCE).unwrap();
    until("the page is served", async || {
        client.get(page.clone()).send().await.is_ok_and(|response| response.status() == 200)
    })
    .await;
    until("events are shown", async || fs::read_to_string(&out).unwrap().lines().count() > 3).await;
    let relay = relays(&demo.log())[0];
    assert!(is_running(relay));
    demo.signal(Signal::INT);
    assert_eq!(demo.exit_code().await, 0, "{}", demo.log());
    assert!(!is_running(relay));
    assert!(demo.log().contains(" 0 lost"), "{}", demo.log());
    assert_left(folder.path(), &["err", "out"]);
}

#[tokio::test]
async fn the_relay_does_not_outlive_a_demo_that_is_killed() {
    let folder = TempDir::new().unwrap();
    let demo = demo(folder.path(), &["--for", "1h"]);
    let mut demo = Relay::start_command(demo, folder.path(), append(&folder.path().join("out")).into());
    demo.until_logged("the relay runs as process ").await;
    let relay = relays(&demo.log())[0];
    let state = || {
        let mut entries = fs::read_dir(folder.path()).unwrap();
        entries.any(|entry| entry.unwrap().path().join("b24relay.db").exists())
    };
    until("the relay is at work", async || state()).await;
    demo.kill();
    until("the relay has ended", async || !is_running(relay)).await;
}

#[tokio::test]
async fn keys_break_the_parts_and_the_terminal_is_as_before() {
    let folder = TempDir::new().unwrap();
    let terminal = Terminal::open(40, 120);
    let mut demo = terminal.start_asking(&["demo", "--rate", "20"], folder.path());
    for (shown, key) in [
        (" MESSAGEADD ", "k"),
        ("kill -9 has ended the relay", "r"),
        ("the receiver is stopped", "r"),
        ("the receiver is back", "p"),
        ("the portal is cut off", "p"),
        ("the portal is connected again", "q"),
    ] {
        terminal.answer(shown, key).await;
    }
    assert_eq!(demo.exit_code().await, 0, "{}", terminal.written());
    assert!(terminal.shows_input());
    assert!(terminal.written().contains("demo: keys: k kill -9"), "{}", terminal.written());
    assert!(terminal.written().contains(", 0 lost, 0 twice. Receiver: "), "{}", terminal.written());
}
