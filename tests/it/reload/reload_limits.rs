//! Limits of a reload: it shows no secret, loses no login, and does not end the process.

use rustix::process::Signal;
use serde_json::json;

use crate::reload::reloading::{apply, refuse};
use crate::support::expected::ledger::assert_exactly_once;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::Relay;
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::{Answer, Receiver};

/// A part of every secret in these tests.
const MARK: &str = "M4RKm4rk";

fn assert_silent(log: &str) {
    let shown: Vec<&str> = log.lines().filter(|line| line.contains(MARK)).collect();
    assert!(shown.is_empty(), "{shown:#?}");
}

#[tokio::test]
async fn nothing_of_a_secret_is_logged_whatever_changes() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let source = |setup: Setup, code: &str| {
        let url = portal.webhook_url(1).replace(&portal.code(1), code);
        setup
            .with_unlimited(&portal)
            .with(&format!("[sources.support]\nwebhook_url = \"{url}\"\npoll.idle = \"20ms\""))
    };
    let sink = |setup: Setup, part: &str| {
        let url = format!("{}/{MARK}{part}?key={MARK}{part}", receiver.url());
        let secret = format!("whsec_{MARK}{}", part.to_uppercase().repeat(36));
        let keys = format!(
            "secrets = [\"{secret}\"]\nauth = {{ type = \"bearer\", token = \"{MARK}{part}\" }}\n\
             headers = {{ x-key = \"{MARK}{part}\" }}\nproxy = \"none\""
        );
        setup.with_webhook("crm", &url, &keys)
    };
    let codes = [format!("{MARK}1"), format!("{MARK}2")];
    portal.post("users/1", json!({"code": codes[0]})).await;
    let setup = sink(source(Setup::new(), &codes[0]), "a");
    portal.record(1, 3).await;
    let mut relay = Relay::start(setup.folder(), &["--log-level", "trace"]);
    until("three arrive", async || receiver.count() == 3).await;

    // All secrets change.
    portal.post("users/1", json!({"code": codes[1]})).await;
    let setup = sink(source(setup.anew(), &codes[1]), "b");
    let said = apply(&relay).await;
    for change in [
        "sources.support: changed (webhook_url)",
        "sinks.crm: changed (auth.token, headers.x-key, secrets, url)",
    ] {
        assert!(said.contains(change), "no `{change}` in: {said}");
    }
    portal.record(1, 3).await;
    until("three more arrive", async || receiver.count() == 6).await;

    // Secrets in wrong places.
    let setup = setup.anew().with(&format!(
        "state = \"other.db\"\n[sources.support]\nwebhook_url = \"{MARK}\"\n{MARK} = 1\n\
         [sinks.crm]\ntype = \"{MARK}\"\nurl = 7\nsources = [\"{MARK}\"]"
    ));
    // A second `state` key is invalid TOML.
    refuse(&relay).await;
    let _setup = setup.anew().with(&format!("[sources.support]\nwebhook_url = \"{MARK}\"\n[sinks.crm]\ntype = \"webhook\"\nurl = \"{MARK}\"\nsecrets = [\"{MARK}\"]"));
    refuse(&relay).await;
    assert_eq!(relay.stop().await, 0);
    assert_silent(&relay.log());
}

#[tokio::test]
async fn a_login_that_has_not_changed_is_shared_on() {
    let portal = Portal::start().await;
    portal.add_bot().await;
    let setup = |setup: Setup, file: &str| {
        let setup = setup.with_login(&portal, "support").with_bot("porter", "support");
        setup.with(&format!("[sinks.archive]\ntype = \"file\"\npath = \"events.jsonl\"\n{file}"))
    };
    let first = setup(Setup::new(), "sources = [\"support\"]")
        .with("[sinks.second]\ntype = \"stdout\"\nsources = [\"porter\"]");
    first.log_in(&portal, "support", 1).await;
    portal.record(1, 3).await;
    let mut relay = first.run();
    until("three are filed", async || first.filed_count() == 3).await;

    // Only `support` restarts; the bot's source continues with the login that both share.
    let second = setup(first.anew(), "sources = [\"support\"]\nretry.min = \"2s\"")
        .with("[sinks.second]\ntype = \"stdout\"\nsources = [\"porter\"]");
    apply(&relay).await;
    assert_eq!(relay.log().matches("source started").count(), 3, "{}", relay.log());
    portal.expire().await;
    portal.record(1, 3).await;
    until("three more are filed", async || second.filed_count() == 6).await;
    let requests = portal.requests("imbot.v2.Event.get").await;
    until("the bot is polled", async || portal.requests("imbot.v2.Event.get").await > requests + 3).await;
    assert_eq!(portal.token_requests().await, 1, "one refresh for both");
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_exactly_once(&second.filed_ids(), &portal.ids(1).await);
}

#[tokio::test]
async fn what_is_kept_for_life_is_told_and_the_rest_is_applied() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 3).await;
    let mut relay = setup.run();
    until("three are filed", async || setup.filed_count() == 3).await;
    let text = std::fs::read_to_string(setup.path("b24relay.toml")).unwrap();
    let text = text.replace("state = \"b24relay.db\"", "state = \"other.db\"")
        + "[sinks.second]\ntype = \"stdout\"\n";
    std::fs::write(setup.path("b24relay.toml"), text).unwrap();
    for _ in 0..2 {
        let said = apply(&relay).await;
        let told = "state: takes effect at the next start";
        assert!(said.contains(told), "no `{told}` in: {said}");
    }
    portal.record(1, 3).await;
    until("three are printed", async || setup.printed_ids().len() >= 3).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert!(!setup.path("other.db").exists());
}

#[tokio::test]
async fn a_source_that_is_refused_after_a_reload_does_not_end_the_process() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 3).await;
    let mut relay = setup.run();
    until("three are filed", async || setup.filed_count() == 3).await;
    let right = portal.code(1);
    let text = std::fs::read_to_string(setup.path("b24relay.toml")).unwrap();
    std::fs::write(setup.path("b24relay.toml"), text.replace(&right, "wrong0code")).unwrap();
    apply(&relay).await;
    relay.until_logged("the portal refuses this source").await;
    portal.record(1, 3).await;
    std::fs::write(setup.path("b24relay.toml"), text).unwrap();
    apply(&relay).await;
    until("three more are filed", async || setup.filed_count() == 6).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
}

#[tokio::test]
async fn another_users_queue_under_the_name_of_a_source_is_refused_and_the_source_goes_on() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 3).await;
    let mut relay = setup.run();
    until("three are filed", async || setup.filed_count() == 3).await;
    let setup = setup.anew().with_user(&portal, "support", 2, 1000).with_file();
    portal.record(2, 3).await;
    let said = refuse(&relay).await;
    for word in ["sources.support", "/user/1`", "/user/2`", "another name"] {
        assert!(said.contains(word), "no `{word}` in: {said}");
    }
    portal.record(1, 3).await;
    until("three more are filed", async || setup.filed_count() == 6).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
}

#[tokio::test]
async fn a_stop_during_a_reload_is_a_stop() {
    let (portal, old, new) = (Portal::start().await, Receiver::start().await, Receiver::start().await);
    let setup = |setup: Setup, receiver: &Receiver| {
        setup.with_source(&portal).with_webhook("crm", &receiver.url(), "ordering = \"strict\"")
    };
    let first = setup(Setup::new(), &old);
    old.script([Answer::Hold]);
    portal.record(1, 5).await;
    let mut relay = first.run();
    until("the first is under way", async || old.count() == 1).await;
    let _second = setup(first.anew(), &new);
    relay.signal(Signal::HUP);
    relay.until_logged("sinks.crm: changed (url)").await;
    relay.signal(Signal::TERM);
    relay.until_logged("finishing what is under way").await;
    old.release();
    assert_eq!(relay.exit_code().await, 0, "{}", relay.log());
    assert_exactly_once(&old.accepted_ids(), &portal.ids(1).await);
    assert_eq!(new.count(), 0);
}

#[tokio::test]
async fn a_smaller_limit_reads_all_that_is_before_what_was_settled_out_of_turn() {
    for lag in ["0s", "50ms"] {
        let (portal, receiver) = (Portal::start().await, Receiver::start().await);
        receiver.answer_always(Some(500));
        let setup = |setup: Setup, limit: u16| {
            let setup = setup.with_user(&portal, "support", 1, limit);
            setup.with_receiver_in(&receiver, "ordering = \"strict\"\nevents = [\"ONIMV2MESSAGEADD\"]")
        };
        let first = setup(Setup::new().with_lag(lag), 1000);
        // The last one is filtered while the first one delays the others.
        portal.record_as(json!({"user": 1, "count": 9, "type": "ONIMV2MESSAGEADD"})).await;
        portal.record_as(json!({"user": 1, "count": 1, "type": "ONIMV2MESSAGEUPDATE"})).await;
        let mut relay = first.run();
        relay.until_logged("attempt failed").await;

        let _second = setup(first.anew(), 3);
        let said = apply(&relay).await;
        assert!(said.contains("sources.support: changed (poll.limit)"), "{said}");
        receiver.answer_always(None);
        portal.record_as(json!({"user": 1, "count": 1, "type": "ONIMV2MESSAGEADD"})).await;
        let ids = portal.ids(1).await;
        until("the last one arrives", async || receiver.accepted_ids().last() == ids.last()).await;
        assert_eq!(relay.stop().await, 0, "{}", relay.log());
        let wanted: Vec<u64> = ids.iter().copied().filter(|id| *id != ids[9]).collect();
        assert_exactly_once(&receiver.accepted_ids(), &wanted);
        portal.assert_nothing_confirmed_unseen(1).await;
    }
}
