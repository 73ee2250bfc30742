//! Other servers that answer in the portal's place or on the way to it, at the start and later. The relay reports the
//! right cause, keeps running, and recovers when the cause is gone.

use std::fs;

use axum::http::StatusCode;
use futures_util::future::join_all;
use rcgen::{CertificateParams, date_time_ymd};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::expected::ledger::assert_exactly_once;
use crate::support::portal::front::Front;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, append, command, finished, stderr};
use crate::support::process::setup::Setup;
use crate::support::process::shown::{LISTEN, Shown};
use crate::support::process::waiting::until;
use crate::support::receivers::proxy::Proxy;
use crate::support::receivers::tls_receiver::{Authority, Door};

const REFUSES: &str = "the portal refuses this source";
const UNREACHED: &str = "the source cannot be polled";

/// Answers all calls with this fault until it is removed.
async fn spoil(portal: &Portal, fault: &Value) {
    let mut fault = fault.clone();
    fault["times"] = 1_000_000.into();
    portal.post("faults", fault).await;
}

async fn mend(portal: &Portal) {
    portal.control(Method::DELETE, "faults", Value::Null).await;
}

async fn trouble_of(setup: &Setup) -> String {
    setup.status_of("support").await["trouble"].as_str().unwrap_or_default().to_owned()
}

/// Whether the source is retried by SIGHUP or by its own timer.
#[derive(Clone, Copy, PartialEq)]
enum Probe {
    Asked,
    ByItself,
}

/// Applies the fault to every answer before the start, and again later. Each time the source must be parked with
/// `words` in `status` and `logged` in the log, and continue when the fault is gone.
async fn assert_survived(fault: Value, logged: &str, words: &[&str], probe: Probe) {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    let mut relay = None;
    for round in 1..=2 {
        spoil(&portal, &fault).await;
        let relay = relay.get_or_insert_with(|| setup.run());
        // Before this line, SIGHUP would end the process.
        relay.until_logged("b24relay started").await;
        let seen = relay.log().matches(logged).count();
        until(&format!("round {round}: {fault} parks the source"), async || {
            if probe == Probe::Asked {
                relay.signal(Signal::HUP);
            }
            let trouble = trouble_of(&setup).await;
            relay.log().matches(logged).count() > seen && words.iter().all(|word| trouble.contains(word))
        })
        .await;
        assert!(relay.is_running(), "{}", relay.log());
        mend(&portal).await;
        portal.record(1, 3).await;
        until(&format!("round {round}: it goes on after {fault}"), async || {
            if probe == Probe::Asked {
                relay.signal(Signal::HUP);
            }
            setup.filed_count() == 3 * round
        })
        .await;
    }
    let mut relay = relay.unwrap();
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    let other = if logged == REFUSES { UNREACHED } else { REFUSES };
    assert!(!relay.log().contains(other), "{}", relay.log());
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
    portal.assert_nothing_confirmed_unseen(1).await;
}

fn error(status: u16, code: &str) -> Value {
    json!({"kind": "error", "status": status, "code": code})
}

fn html(status: u16) -> Value {
    json!({"kind": "html", "status": status})
}

#[tokio::test]
async fn no_refusal_of_a_portal_ends_a_daemon_at_its_start_or_later() {
    let cases = [
        (error(403, "PORTAL_DELETED"), "closed or gone"),
        (error(401, "OVERLOAD_LIMIT"), "ask its support"),
        (error(401, "ACCESS_DENIED"), "subscription"),
        (error(401, "PAYMENT_REQUIRED"), "paid period is over"),
        (error(401, "METHOD_CONFIRM_WAITING"), "an administrator of the portal must approve"),
        (error(401, "INVALID_CREDENTIALS"), "gives it a new secret"),
        (error(404, "ERROR_METHOD_NOT_FOUND"), "tick the scopes it lacks"),
    ];
    let survived = cases.iter().map(|(fault, advice)| {
        let code = fault["code"].as_str().unwrap();
        async move { assert_survived(fault.clone(), REFUSES, &[code, advice], Probe::Asked).await }
    });
    join_all(survived).await;
}

#[tokio::test]
async fn a_page_in_the_portals_place_is_named_and_probed_within_seconds() {
    let page = |status| format!("a web page instead of the portal's answer (HTTP {status}, text/html)");
    let pages = [403, 404].map(|status| (html(status), page(status)));
    let redirects = [
        ("https://login.wifi.example/?from=x", "a redirect to https://login.wifi.example (not followed)"),
        ("/maintenance.html", "(not followed) instead of the portal's answer (HTTP 302)"),
    ];
    let redirects = redirects.map(|(location, words)| {
        (json!({"kind": "redirect", "status": 302, "location": location}), words.to_owned())
    });
    let cases: Vec<_> = pages.into_iter().chain(redirects).collect();
    let survived = cases.iter().map(|(fault, words)| async move {
        assert_survived(fault.clone(), UNREACHED, &[words, "goes on by itself"], Probe::ByItself).await;
    });
    join_all(survived).await;
}

#[tokio::test]
async fn a_page_that_may_be_a_glitch_is_tried_again_before_it_is_told_and_ends_no_daemon_either() {
    let words = |status| format!("a web page instead of the portal's answer (HTTP {status}, text/html)");
    let cases: Vec<_> = [200, 402, 405, 451].map(|status| (html(status), words(status))).into();
    let survived = cases.iter().map(|(fault, words)| async move {
        assert_survived(fault.clone(), UNREACHED, &[words, "maintenance page"], Probe::Asked).await;
    });
    join_all(survived).await;
}

#[tokio::test]
async fn a_source_refused_at_the_start_is_told_everywhere_by_the_time_the_daemon_is_ready() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file().with(LISTEN);
    spoil(&portal, &html(404)).await;
    let mut shown = Shown::start(&setup).await;
    let words = "a web page instead of the portal's answer (HTTP 404, text/html)";
    until("it says so", async || shown.text("readyz").await.1.contains(words)).await;
    assert_eq!(shown.text("readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(shown.metric(r#"b24relay_source_needs_operator{source="support"}"#).await, Some(1.0));
    let page = shown.text("").await.1;
    assert!(page.contains("a web page instead of the portal"), "{page}");
    mend(&portal).await;
    until("it is ready", async || shown.text("readyz").await.0 == StatusCode::OK).await;
    assert_eq!(shown.metric(r#"b24relay_source_needs_operator{source="support"}"#).await, Some(0.0));
    assert_eq!(shown.relay.stop().await, 0, "{}", shown.relay.log());
}

#[tokio::test]
async fn a_command_says_unavailable_where_no_portal_has_refused_it() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    for (fault, code) in [(html(403), 69), (error(403, "INVALID_CREDENTIALS"), 77)] {
        spoil(&portal, &fault).await;
        let subscribe = finished(&["subscribe", "support"], setup.folder()).await;
        assert_eq!(subscribe.status.code(), Some(code), "{}", stderr(&subscribe));
        mend(&portal).await;
    }
}

fn run_trusting(setup: &Setup, authority: &Authority, variables: &[(&str, &str)]) -> Relay {
    fs::write(setup.path("ca.pem"), authority.pem()).unwrap();
    run_encrypted(setup, variables)
}

fn run_encrypted(setup: &Setup, variables: &[(&str, &str)]) -> Relay {
    let mut run = command();
    run.arg("run").current_dir(setup.folder()).env("SSL_CERT_FILE", setup.path("ca.pem"));
    run.envs(variables.iter().copied());
    Relay::start_command(run, setup.folder(), append(&setup.path("out")).into())
}

#[tokio::test]
async fn a_portals_certificate_is_told_of_with_both_clocks_and_waited_for() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("theirs"));
    let not_yet = |params: &mut CertificateParams| params.not_before = date_time_ymd(2090, 1, 1);
    let long_ago = |params: &mut CertificateParams| {
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    };
    let fine = || authority.issue("127.0.0.1", |_| ());
    let cases = [
        (
            authority.issue("127.0.0.1", not_yet),
            "its certificate is not valid yet (valid from 2090-01-01T00:00:00Z; this machine's clock says 20",
            "this machine's clock may be wrong",
        ),
        (
            authority.issue("127.0.0.1", long_ago),
            "its certificate has expired (valid until 2021-01-01T00:00:00Z; this machine's clock says 20",
            "correct this machine's clock",
        ),
        (
            stranger.issue("127.0.0.1", |_| ()),
            "not from a known authority",
            "set `tls.ca_file` of the source",
        ),
        (authority.issue("other.example", |_| ()), "is for another name", "correct the host"),
    ];
    let (authority, fine) = (&authority, &fine);
    join_all(cases.map(|(issued, words, advice)| async move {
        let portal = Portal::start().await;
        let front = Front::before(&portal, issued, &Door::default()).await;
        let setup = Setup::new().with(&front.source(&portal)).with_file();
        portal.record(1, 3).await;
        let mut relay = run_trusting(&setup, authority, &[]);
        until(words, async || {
            let trouble = trouble_of(&setup).await;
            trouble.contains(words) && trouble.contains(advice)
        })
        .await;
        assert!(relay.is_running() && relay.log().contains(UNREACHED), "{}", relay.log());
        front.show(fine());
        until("it goes on by itself", async || setup.filed_count() == 3).await;
        assert_eq!(relay.stop().await, 0, "{}", relay.log());
        assert!(!relay.log().contains(REFUSES), "{}", relay.log());
        assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
    }))
    .await;
}

#[tokio::test]
async fn a_machine_whose_certificates_are_not_there_yet_is_waited_for() {
    let authority = Authority::new("ours");
    let portal = Portal::start().await;
    let front = Front::before(&portal, authority.issue("127.0.0.1", |_| ()), &Door::default()).await;
    let login = format!(
        "[sources.office.oauth]\nportal = \"https://{0}\"\nserver = \"https://{0}\"\nclient_id = \"a\"\nclient_secret = \"b\"",
        front.address
    );
    let setup = Setup::new().with(&front.source(&portal)).with(&login).with_file();
    portal.record(1, 3).await;
    let mut relay = run_encrypted(&setup, &[]);
    until("it is told", async || trouble_of(&setup).await.contains("cannot set up TLS")).await;
    assert!(relay.is_running() && relay.log().contains(UNREACHED), "{}", relay.log());
    fs::write(setup.path("ca.pem"), authority.pem()).unwrap();
    until("it goes on by itself", async || setup.filed_count() == 3).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
}

#[tokio::test]
async fn a_proxy_that_lets_no_portal_be_reached_is_told_of_and_ends_no_daemon() {
    let authority = Authority::new("ours");
    for (refusal, words) in [
        ("407 Proxy Authentication Required", "the proxy wants a user name and a password"),
        ("403 Forbidden", "the proxy does not let us through"),
    ] {
        let portal = Portal::start().await;
        let proxy = Proxy::start(portal.sandbox.address(), Some(refusal)).await;
        let source = "[sources.support]\nwebhook_url = \"https://portal.example/rest/1/c0dec0de/\"";
        let setup = Setup::new().with(source).with_file();
        let address = format!("http://{}", proxy.address);
        let mut relay = run_trusting(&setup, &authority, &[("HTTPS_PROXY", &address)]);
        relay.until_logged("b24relay started").await;
        until(words, async || {
            relay.signal(Signal::HUP);
            relay.log().contains(UNREACHED) && trouble_of(&setup).await.contains(words)
        })
        .await;
        assert!(relay.is_running(), "{}", relay.log());
        assert_eq!(relay.stop().await, 0, "{}", relay.log());
    }
}
