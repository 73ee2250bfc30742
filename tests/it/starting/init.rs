//! `init` without a terminal: from the URL of a webhook to the first delivered event, and every refusal before a file is
//! written.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use b24_sandbox::SandboxConfig;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, code, finished, output, stderr, stdout};
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::Receiver;

/// A portal as the first run finds it: nobody has subscribed yet.
async fn untouched() -> Portal {
    Portal::start_with(SandboxConfig::default()).await
}

/// Records an event once the relay in the background has subscribed.
async fn record_when_subscribed(portal: &Portal) {
    until("the relay has subscribed", async || portal.stats(1).await["subscribed"] == true).await;
    portal.record(1, 1).await;
}

/// Runs `init` in `folder` with the webhook of user 1 and the flags `args`.
async fn init(portal: &Portal, folder: &Path, args: &[&str]) -> Output {
    fs::write(folder.join("given.url"), format!("{}\n", portal.webhook_url(1))).unwrap();
    finished(&[&["init", "--webhook-url-file", "given.url"], args].concat(), folder).await
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

/// The names of the files in `folder`.
fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn flags_alone_lead_to_the_first_delivered_event() {
    let (portal, folder) = (untouched().await, TempDir::new().unwrap());
    let made = init(&portal, folder.path(), &["--sink", "file", "--file", "first.jsonl", "--yes"]).await;
    let said = format!("{}{}", stdout(&made), stderr(&made));
    assert_eq!(code(&made), 0, "{said}");
    for words in ["(user 1), im: ok", "the configuration is right", "Next: b24relay run"] {
        assert!(said.contains(words), "no `{words}` in {said}");
    }
    assert!(!said.contains(&portal.code(1)), "the secret is shown: {said}");
    assert_eq!(files(folder.path()), ["b24relay.toml", "given.url", "support.url"]);
    assert_eq!(mode(&folder.path().join("support.url")), 0o600);
    let config = fs::read_to_string(folder.path().join("b24relay.toml")).unwrap();
    assert!(!config.contains(&portal.code(1)), "{config}");

    let mut relay = Relay::start(folder.path(), &[]);
    record_when_subscribed(&portal).await;
    let first = || fs::read_to_string(folder.path().join("first.jsonl")).unwrap_or_default();
    until("the event is in the file", async || first().ends_with('\n')).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    let event: Value = serde_json::from_str(&first()).unwrap();
    assert_eq!(event["eventId"], portal.ids(1).await[0], "{event}");
}

#[tokio::test]
async fn a_receiver_gets_the_first_event_signed_with_the_secret_that_was_made_for_it() {
    let (portal, receiver, folder) = (untouched().await, Receiver::start().await, TempDir::new().unwrap());
    fs::write(folder.path().join("given.address"), receiver.url()).unwrap();
    let made = init(&portal, folder.path(), &["--url-file", "given.address", "--yes"]).await;
    assert_eq!(code(&made), 0, "{}{}", stdout(&made), stderr(&made));
    let secret = fs::read_to_string(folder.path().join("crm.secrets")).unwrap();
    assert!(!stdout(&made).contains(secret.trim()) && stdout(&made).contains("`./crm.secrets`"));
    for name in ["support.url", "crm.url", "crm.secrets"] {
        assert_eq!(mode(&folder.path().join(name)), 0o600, "{name}");
    }
    // `check` has asked whether the receiver is there.
    receiver.take_deliveries();
    let mut relay = Relay::start(folder.path(), &[]);
    record_when_subscribed(&portal).await;
    let mut deliveries = Vec::new();
    until("the event has arrived", async || {
        deliveries.extend(receiver.take_deliveries());
        !deliveries.is_empty()
    })
    .await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    let verifier = standardwebhooks::Webhook::new(secret.trim()).unwrap();
    let first = &deliveries[0];
    verifier.verify(&first.bytes, &first.headers).unwrap();
}

#[tokio::test]
async fn another_folder_works_from_everywhere() {
    let (portal, folder, elsewhere) = (untouched().await, TempDir::new().unwrap(), TempDir::new().unwrap());
    let made = init(&portal, folder.path(), &["--dir", "a/b", "--sink", "file", "--yes"]).await;
    assert_eq!(code(&made), 0, "{}{}", stdout(&made), stderr(&made));
    let config = folder.path().join("a/b/b24relay.toml");
    assert!(stdout(&made).contains(&format!("b24relay run --config {}", config.display())));
    assert_eq!(files(folder.path()), ["a", "given.url"]);
    // A file of the same name in the working directory is not meant.
    fs::write(elsewhere.path().join("support.url"), "https://portal.test/rest/1/another0/").unwrap();
    let checked = finished(&["check", "--config", config.to_str().unwrap()], elsewhere.path()).await;
    assert_eq!(code(&checked), 0, "{}", stdout(&checked));
    assert!(stdout(&checked).contains(&format!("file {}", folder.path().join("a/b/events.jsonl").display())));
}

#[test]
fn every_missing_answer_is_named_with_its_flag() {
    let folder = TempDir::new().unwrap();
    for (args, named, not_named) in [
        (
            &["init"] as &[&str],
            &["--webhook-url-file FILE", "--sink file|webhook|stdout", "--yes"] as &[&str],
            "",
        ),
        (
            &["init", "--webhook-url-file", "u", "--yes", "--sink", "webhook"],
            &["--url URL", "--url-file FILE"],
            "`--yes`",
        ),
        (&["init", "--webhook-url-file", "u", "--file", "x"], &["`--yes`"], "--sink"),
        (&["init", "--yes"], &["--webhook-url-file FILE"], "--sink"),
    ] {
        let refused = output(args, folder.path());
        assert_eq!(code(&refused), 64, "{args:?}: {}", stderr(&refused));
        for words in named {
            assert!(stderr(&refused).contains(words), "{args:?}: no `{words}` in {}", stderr(&refused));
        }
        assert!(not_named.is_empty() || !stderr(&refused).contains(not_named), "{}", stderr(&refused));
    }
    for args in [
        &["init", "--yes", "--webhook-url-file", "u", "--sink", "stdout", "--file", "x"] as &[&str],
        &["init", "--yes", "--config", "x.toml"],
        &["init", "--yes", "--root", "x"],
        &["init", "--sink", "pigeon"],
    ] {
        assert_eq!(code(&output(args, folder.path())), 64, "{args:?}");
    }
    assert!(files(folder.path()).is_empty());
}

#[tokio::test]
async fn an_existing_file_is_never_overwritten() {
    let portal = untouched().await;
    for (name, text) in
        [("b24relay.toml", "mine"), ("support.url", "mine"), ("crm.url", "mine"), ("crm.secrets", "mine")]
    {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join(name), text).unwrap();
        let refused = init(&portal, folder.path(), &["--url", "http://127.0.0.1:9/", "--yes"]).await;
        assert_eq!(code(&refused), 64, "{name}: {}", stderr(&refused));
        assert!(stderr(&refused).contains(&format!("`./{name}` exists already")), "{}", stderr(&refused));
        let mut expected = ["given.url", name].map(str::to_owned);
        expected.sort();
        assert_eq!(files(folder.path()), expected);
        assert_eq!(fs::read_to_string(folder.path().join(name)).unwrap(), text);
    }
    // Not even through a link that leads nowhere.
    let folder = TempDir::new().unwrap();
    std::os::unix::fs::symlink("elsewhere", folder.path().join("b24relay.toml")).unwrap();
    let refused = init(&portal, folder.path(), &["--yes"]).await;
    assert_eq!(code(&refused), 64, "{}", stderr(&refused));
    assert_eq!(files(folder.path()), ["b24relay.toml", "given.url"]);
}

#[tokio::test]
async fn the_file_that_holds_the_url_already_stays_as_it_is() {
    let (portal, folder) = (untouched().await, TempDir::new().unwrap());
    let text = format!("# of support\n{}\n", portal.webhook_url(1));
    fs::write(folder.path().join("support.url"), &text).unwrap();
    let made =
        finished(&["init", "--webhook-url-file", "support.url", "--sink", "stdout", "--yes"], folder.path())
            .await;
    assert_eq!(code(&made), 0, "{}{}", stdout(&made), stderr(&made));
    assert_eq!(fs::read_to_string(folder.path().join("support.url")).unwrap(), text);
    assert_eq!(files(folder.path()), ["b24relay.toml", "support.url"]);
}

#[tokio::test]
async fn a_missing_right_is_named_with_the_place_where_it_is_given() {
    let (portal, folder) = (untouched().await, TempDir::new().unwrap());
    portal.post("users/1", json!({"scopes": ["crm", "task"]})).await;
    let refused = init(&portal, folder.path(), &["--yes"]).await;
    assert_eq!(code(&refused), 77, "{}", stderr(&refused));
    for words in [
        "(user 1): the webhook lacks the right `im`",
        "Developer resources -> Integrations -> Edit",
        "Chat and Notifications (im)",
        "«Разработчикам -> Интеграции -> Редактировать»",
        "«Чат и уведомления (im)»",
    ] {
        assert!(stderr(&refused).contains(words), "no `{words}` in {}", stderr(&refused));
    }
    assert_eq!(files(folder.path()), ["given.url"]);
}

#[tokio::test]
async fn a_wrong_url_is_told_without_repeating_it_and_nothing_is_written() {
    let portal = untouched().await;
    let right = portal.webhook_url(1);
    let unknown = right.replace(&portal.code(1), "s3cr3ts3cr3t");
    for (url, exit, words) in [
        ("s3cr3t", 64, "the webhook's URL must start with https://"),
        ("https://portal.test/s3cr3t", 64, "the webhook's URL"),
        ("http://portal.test/rest/1/s3cr3ts3cr3t/", 64, "must begin with https://"),
        ("https://example.bitrix24.com/rest/12/s3cr3ts3cr3t/", 64, "is not a real one"),
        (unknown.as_str(), 77, "INVALID_CREDENTIALS"),
        ("http://127.0.0.1:1/rest/1/s3cr3ts3cr3t/", 69, "cannot connect"),
        ("", 64, "is empty"),
    ] {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("given.url"), url).unwrap();
        let args = ["init", "--webhook-url-file", "given.url", "--yes"];
        let refused = finished(&args, folder.path()).await;
        assert_eq!(code(&refused), exit, "{url}: {}", stderr(&refused));
        assert!(stderr(&refused).contains(words), "{url}: no `{words}` in {}", stderr(&refused));
        assert!(!stderr(&refused).contains("s3cr3t"), "{}", stderr(&refused));
        assert_eq!(files(folder.path()), ["given.url"]);
    }
    let folder = TempDir::new().unwrap();
    let refused = finished(&["init", "--webhook-url-file", "nowhere", "--yes"], folder.path()).await;
    assert_eq!(code(&refused), 74, "{}", stderr(&refused));
}

#[tokio::test]
async fn what_does_not_load_is_removed_again() {
    let (portal, folder) = (untouched().await, TempDir::new().unwrap());
    let refused = init(&portal, folder.path(), &["--file", "~/events.jsonl", "--yes"]).await;
    assert_eq!(code(&refused), 78, "{}", stderr(&refused));
    assert!(stderr(&refused).contains("only a shell knows"), "{}", stderr(&refused));
    assert_eq!(files(folder.path()), ["given.url"]);
}
