//! `init` on a terminal: its questions, and a URL that nobody can read over a shoulder.

use std::fs;

use b24_sandbox::SandboxConfig;
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::support::portal::sandbox::Portal;
use crate::support::process::terminal::Terminal;
use crate::support::process::waiting::until;

const URL: &str = "URL of the incoming webhook (not shown): ";

#[tokio::test]
async fn the_url_is_asked_for_and_never_shown() {
    let (portal, folder) = (Portal::start_with(SandboxConfig::default()).await, TempDir::new().unwrap());
    let terminal = Terminal::open(40, 100);
    let mut init = terminal.start_asking(&["init"], folder.path());
    terminal.answer(URL, &format!("{}\n", portal.webhook_url(1))).await;
    terminal.answer("Number or word [1]: ", "file\n").await;
    terminal.answer("Path of the file [./events.jsonl]: ", "\n").await;
    terminal.answer("Write these files? [Y/n] ", "y\n").await;
    assert_eq!(init.exit_code().await, 0, "{}", terminal.written());
    let written = terminal.ended();
    assert!(!written.contains(&portal.code(1)), "the secret was shown: {written}");
    assert!(written.contains("Number or word [1]: file\n"), "other answers are shown: {written}");
    for words in ["(user 1), im: ok", "Inbound webhook", "«Разработчикам", "Next: b24relay run"]
    {
        assert!(written.contains(words), "no `{words}` in {written}");
    }
    let url = fs::read_to_string(folder.path().join("support.url")).unwrap();
    assert_eq!(url.trim(), portal.webhook_url(1));
}

#[tokio::test]
async fn a_wrong_url_is_asked_for_again_and_a_right_can_be_added_meanwhile() {
    let (portal, folder) = (Portal::start_with(SandboxConfig::default()).await, TempDir::new().unwrap());
    portal.post("users/1", json!({"scopes": ["crm"]})).await;
    let terminal = Terminal::open(40, 100);
    let mut init = terminal.start_asking(&["init", "--sink", "stdout"], folder.path());
    terminal.answer(URL, "nonsense\n").await;
    until("it is asked for again", async || terminal.written().matches(URL).count() == 2).await;
    terminal
        .answer("the webhook's URL must start with https://", &format!("{}\n", portal.webhook_url(1)))
        .await;
    until("the right is named", async || terminal.written().contains("lacks the right `im`")).await;
    portal.post("users/1", json!({"scopes": ["im"]})).await;
    terminal.answer("Press Enter when it is saved: ", "\n").await;
    terminal.answer("Write these files? [Y/n] ", "\n").await;
    assert_eq!(init.exit_code().await, 0, "{}", terminal.written());
    assert!(folder.path().join("b24relay.toml").exists());
}

#[tokio::test]
async fn a_no_and_a_stop_write_nothing_and_leave_the_terminal_as_it_was() {
    let (portal, folder) = (Portal::start_with(SandboxConfig::default()).await, TempDir::new().unwrap());
    let terminal = Terminal::open(40, 100);
    let mut init = terminal.start_asking(&["init"], folder.path());
    until("the question", async || terminal.written().contains(URL)).await;
    assert!(!terminal.shows_input());
    init.signal(Signal::INT);
    assert_eq!(init.exit_code().await, 75, "{}", terminal.written());
    assert!(terminal.shows_input(), "{}", terminal.written());
    assert!(terminal.written().contains("nothing was written"), "{}", terminal.written());

    let terminal = Terminal::open(40, 100);
    let mut init = terminal.start_asking(&["init", "--sink", "stdout"], folder.path());
    terminal.answer(URL, &format!("{}\n", portal.webhook_url(1))).await;
    terminal.answer("Write these files? [Y/n] ", "n\n").await;
    assert_eq!(init.exit_code().await, 75, "{}", terminal.written());
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
}
