//! Proxies between a webhook sink and its receiver: from the configuration, from the environment, and none.

use std::fs;

use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, append, code, command, finished_command, stderr, stdout};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;
use crate::support::receivers::proxy::Proxy;
use crate::support::receivers::receiver::Receiver;
use crate::support::receivers::tls_receiver::{Authority, Door, start};

const MARK: &str = "S3CRETpr0xyW0rd";

fn run_with(setup: &Setup, variables: &[(&str, &str)]) -> Relay {
    let mut command = command();
    command.arg("run").current_dir(setup.folder()).envs(variables.iter().copied());
    Relay::start_command(command, setup.folder(), append(&setup.path("out")).into())
}

#[tokio::test]
async fn a_proxy_is_asked_for_a_tunnel_and_gets_its_password_but_never_the_events() {
    let (portal, authority) = (Portal::start().await, Authority::new("ours"));
    let (receiver, url) = start(authority.issue("127.0.0.1", |_| ()), Door::default()).await;
    let proxy = Proxy::start(receiver.address, None).await;
    let lines = format!(
        "ordering = \"strict\"\ntls.ca_file = \"ca.pem\"\nproxy = \"http://me:{MARK}@{}\"",
        proxy.address
    );
    let setup = Setup::new().with_source(&portal).with_webhook("crm", &url, &lines);
    fs::write(setup.path("ca.pem"), authority.pem()).unwrap();
    portal.record(1, 2).await;
    setup.drain().await;
    assert_eq!(receiver.accepted_ids(), portal.ids(1).await);
    let heads = proxy.heads();
    // The first connection is not used again, because nothing is known about the receiver yet.
    assert_eq!(heads.len(), 2, "{heads:?}");
    for head in heads {
        assert!(head.starts_with(&format!("CONNECT {}", receiver.address)), "{head}");
        assert!(head.to_lowercase().contains("proxy-authorization: basic"), "{head}");
    }
}

#[tokio::test]
async fn a_proxy_that_refuses_us_is_told_from_the_receiver_and_its_password_not_shown() {
    let (portal, authority) = (Portal::start().await, Authority::new("ours"));
    let (receiver, url) = start(authority.issue("127.0.0.1", |_| ()), Door::default()).await;
    for (refusal, words) in [
        ("407 Proxy Authentication Required", "the proxy wants a user name and a password: correct `proxy`"),
        ("403 Forbidden", "the proxy does not let us through"),
    ] {
        let proxy = Proxy::start(receiver.address, Some(refusal)).await;
        let setup = Setup::new().with_source(&portal).with_webhook("crm", &url, "proxy_file = \"proxy.url\"");
        fs::write(setup.path("proxy.url"), format!("http://me:{MARK}@{}\n", proxy.address)).unwrap();
        portal.record(1, 1).await;
        let mut relay = setup.run();
        let trouble = setup.trouble_of("crm", "retrying").await;
        assert!(trouble.contains(words), "no `{words}` in {trouble}");
        relay.stop().await;
        assert!(!relay.log().contains(MARK) && !trouble.contains(MARK));
        assert!(!String::from_utf8_lossy(&fs::read(setup.path("b24relay.db")).unwrap()).contains(MARK));
    }
    assert_eq!(receiver.count(), 0);
}

#[tokio::test]
async fn the_environments_proxy_is_used_but_to_this_machine_and_where_it_is_switched_off() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let proxy = Proxy::start(receiver.address, None).await;
    let port = receiver.address.port();
    let lines = "allow_http = true";
    let setup = Setup::new()
        .with_source(&portal)
        .with_webhook("far", "http://receiver.test/hook", lines)
        .with_webhook("near", &receiver.url(), lines)
        .with_webhook("spared", &format!("http://0.0.0.0:{port}/"), lines)
        .with_webhook(
            "direct",
            &format!("http://[::ffff:127.0.0.1]:{port}/"),
            &format!("{lines}\nproxy = \"none\""),
        );
    portal.record(1, 1).await;
    let address = format!("http://{}", proxy.address);
    let mut relay = run_with(&setup, &[("HTTP_PROXY", &address), ("NO_PROXY", "0.0.0.0")]);
    for sink in ["far", "near", "spared", "direct"] {
        until(sink, async || setup.lane_of(sink).await["delivered"] == 1).await;
    }
    relay.stop().await;
    let heads = proxy.heads();
    let targets: Vec<&str> = heads.iter().filter_map(|head| head.split(' ').nth(1)).collect();
    assert_eq!(targets, ["http://receiver.test/hook"], "neither the portal nor another receiver");
}

async fn finished_with(setup: &Setup, args: &[&str], variables: &[(&str, &str)]) -> std::process::Output {
    let mut command = command();
    command.args(args).current_dir(setup.folder()).envs(variables.iter().copied());
    finished_command(command).await
}

#[tokio::test]
async fn a_proxy_of_the_environment_is_named_with_its_variable_in_errors_and_by_check() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_webhook("far", "https://receiver.test/hook", "");
    portal.record(1, 1).await;
    let address = format!("http://me:{MARK}@127.0.0.1:1");
    let variables = [("https_proxy", address.as_str())];
    let named = "through the proxy http://127.0.0.1:1 (`https_proxy`)";
    let mut relay = run_with(&setup, &variables);
    let trouble = setup.trouble_of("far", "retrying").await;
    assert!(trouble.contains("cannot connect") && trouble.contains(named), "{trouble}");
    relay.stop().await;
    let checked = finished_with(&setup, &["check"], &variables).await;
    assert_eq!(code(&checked), 69, "{}", stdout(&checked));
    // Beside the configuration, and in the error.
    assert_eq!(stdout(&checked).matches(named).count(), 2, "{}", stdout(&checked));
    assert!(!stdout(&checked).contains(MARK) && !relay.log().contains(MARK));
}

#[tokio::test]
async fn a_proxy_variable_that_cannot_be_used_is_an_error_at_the_start_where_it_applies() {
    let portal = Portal::start().await;
    portal.record(1, 1).await;
    let near = || Setup::new().with_source(&portal).with_file();
    let value = format!("socks5://me:{MARK}@proxy.test:1080");
    let variables = [("ALL_PROXY", value.as_str())];
    let setup = near().with_webhook("far", "https://receiver.test/hook", "");
    // `check` comes last, because it reads the queue.
    for args in [&["run"] as &[&str], &["run", "--once"], &["check", "--no-network"], &["check"]] {
        assert_eq!(portal.polls().await, 0, "nothing was begun");
        let refused = finished_with(&setup, args, &variables).await;
        let said = format!("{}{}", stdout(&refused), stderr(&refused));
        assert_eq!(code(&refused), 78, "{args:?}: {said}");
        for words in
            ["`ALL_PROXY` is `socks5://***@proxy.test:1080`, a SOCKS proxy", "`receiver.test` to `NO_PROXY`"]
        {
            assert!(said.contains(words), "no `{words}` in {said}");
        }
        assert!(!said.contains(MARK) && !said.contains("the configuration is right"), "{said}");
    }
    let far = "[sources.far]\nwebhook_url = \"https://portal.test/rest/1/abc/\"";
    for args in [&["run"] as &[&str], &["run", "--once"]] {
        let refused = finished_with(&near().with(far), args, &variables).await;
        assert_eq!(code(&refused), 78, "{}", stderr(&refused));
        assert!(stderr(&refused).contains("sources.far") && stderr(&refused).contains("`ALL_PROXY`"));
    }
    let drained = finished_with(&near(), &["run", "--once"], &variables).await;
    assert_eq!(code(&drained), 0, "to this machine no proxy is used: {}", stderr(&drained));
    let shown = finished_with(&near(), &["demo", "--for", "10s", "--rate", "50"], &variables).await;
    assert_eq!(code(&shown), 0, "{}", stderr(&shown));
}

#[tokio::test]
async fn a_demo_that_shows_no_event_is_a_failure() {
    let setup = Setup::new();
    let empty = finished_with(&setup, &["demo", "--for", "1ms", "--rate", "0.001"], &[]).await;
    assert_eq!(code(&empty), 69, "{}", stderr(&empty));
    assert!(stderr(&empty).contains("no event was shown"), "{}", stderr(&empty));
}
