//! `run` without a configuration file, and the configurations that `config` prints.

use std::fs;

use b24_sandbox::SandboxConfig;
use tempfile::TempDir;

use crate::support::expected::ledger::ids_in;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, code, finished, output, stderr, stdout};
use crate::support::process::waiting::until;

#[tokio::test]
async fn a_file_with_the_url_is_all_that_a_run_to_standard_output_needs() {
    let (portal, folder) = (Portal::start_with(SandboxConfig::default()).await, TempDir::new().unwrap());
    fs::write(folder.path().join("support.url"), portal.webhook_url(1)).unwrap();
    let flags = ["--webhook-url-file", "support.url", "--stdout"];
    // A configuration in the same folder is not meant.
    fs::write(folder.path().join("b24relay.toml"), "nonsense").unwrap();
    let mut relay = Relay::start(folder.path(), &flags);
    relay.until_logged("b24relay started").await;
    assert!(relay.log().contains("state=./b24relay.db"), "{}", relay.log());
    until("it has subscribed", async || portal.stats(1).await["subscribed"] == true).await;
    portal.record(1, 3).await;
    let printed = || ids_in(&folder.path().join("out"), true);
    until("the events are printed", async || printed().len() == 3).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_eq!(printed(), portal.ids(1).await);
    assert!(folder.path().join("b24relay.db").exists());

    let elsewhere = [&flags[..], &["--state", "other.db", "--once"]].concat();
    let once = finished(&[&["run"], &elsewhere[..]].concat(), folder.path()).await;
    assert_eq!(code(&once), 0, "{}", stderr(&once));
    assert!(folder.path().join("other.db").exists());
}

#[test]
fn flags_for_a_run_without_a_file_do_not_go_with_one() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("support.url"), "https://portal.test/rest/1/abcdefgh/").unwrap();
    for (args, words) in [
        (&["run", "--webhook-url-file", "support.url"] as &[&str], "--stdout"),
        (&["run", "--stdout"], "--webhook-url-file"),
        (
            &["run", "--webhook-url-file", "support.url", "--stdout", "--config", "x.toml"],
            "`--config x.toml`",
        ),
    ] {
        let refused = output(args, folder.path());
        assert_eq!(code(&refused), 64, "{args:?}: {}", stderr(&refused));
        assert!(stderr(&refused).contains(words), "{args:?}: {}", stderr(&refused));
    }
    let refused = output(&["run", "--webhook-url-file", "nowhere.url", "--stdout"], folder.path());
    assert_eq!(code(&refused), 78, "{}", stderr(&refused));
    assert!(stderr(&refused).contains("there is no file `nowhere.url`"), "{}", stderr(&refused));
    assert!(!folder.path().join("b24relay.db").exists());
}

#[test]
fn the_printed_configurations_are_the_reference_and_one_that_works() {
    let folder = TempDir::new().unwrap();
    let reference = output(&["config"], folder.path());
    assert_eq!(code(&reference), 0, "{}", stderr(&reference));
    assert_eq!(stdout(&reference), include_str!("../../../config/b24relay.toml"));

    let minimal = output(&["config", "--minimal"], folder.path());
    assert_eq!(code(&minimal), 0, "{}", stderr(&minimal));
    assert!(stdout(&minimal).lines().count() < 10, "{}", stdout(&minimal));
    fs::write(folder.path().join("b24relay.toml"), stdout(&minimal)).unwrap();
    fs::write(folder.path().join("support.url"), "https://portal.test/rest/1/abcdefgh/").unwrap();
    let checked = output(&["check", "--no-network"], folder.path());
    assert_eq!(code(&checked), 0, "{}{}", stdout(&checked), stderr(&checked));
}
