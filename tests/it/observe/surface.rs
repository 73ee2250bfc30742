//! The content of `[http]`: health, metrics, status and the page; access control; and no secrets.

use std::collections::BTreeSet;
use std::path::Path;

use reqwest::{Method, StatusCode};
use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{code, finished, stderr};
use crate::support::process::setup::Setup;
use crate::support::process::shown::{LISTEN, Shown};
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::Receiver;

const TOKEN: &str = "A9d81f02c77be4-token";

async fn world() -> (Portal, Receiver, Setup) {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup = Setup::new().with_source(&portal).with_receiver(&receiver).with(LISTEN);
    (portal, receiver, setup)
}

#[tokio::test]
async fn a_healthy_relay_is_live_ready_and_counts_what_it_does() {
    let (portal, receiver, setup) = world().await;
    portal.record(1, 3).await;
    let mut shown = Shown::start(&setup).await;
    until("all is delivered", async || receiver.accepted_ids().len() == 3).await;
    let delivered = r#"b24relay_sink_delivered_events_total{source="support",sink="crm"}"#;
    until("it is counted", async || shown.metric(delivered).await == Some(3.0)).await;
    until("it is ready", async || shown.text("readyz").await == (StatusCode::OK, "ok\n".to_owned())).await;
    assert_eq!(shown.text("livez").await, (StatusCode::OK, "ok\n".to_owned()));
    for (metric, least) in [
        (r#"b24relay_source_polls_total{source="support",outcome="answered"}"#, 1.0),
        (r#"b24relay_sink_attempts_total{sink="crm",outcome="delivered"}"#, 3.0),
        (r#"b24relay_source_received_events_total{source="support",type="ONIMV2MESSAGEADD"}"#, 1.0),
        (r#"b24relay_sink_delivery_latency_seconds_count{source="support",sink="crm"}"#, 3.0),
        (r#"b24relay_source_retention_remaining_seconds{source="support"}"#, 80000.0),
        ("process_open_fds", 5.0),
        ("process_resident_memory_bytes", 1e6),
    ] {
        let value = shown.metric(metric).await;
        assert!(value.is_some_and(|value| value >= least), "{metric}: {value:?}");
    }
    for metric in [
        r#"b24relay_source_up{source="support"}"#,
        r#"b24relay_sink_state{source="support",sink="crm",state="flowing"}"#,
    ] {
        assert_eq!(shown.metric(metric).await, Some(1.0), "{metric}");
    }
    for metric in [r#"b24relay_sink_in_flight_attempts{sink="crm"}"#, "b24relay_log_dropped_lines_total"] {
        assert_eq!(shown.metric(metric).await, Some(0.0), "{metric}");
    }
    let status: Value = serde_json::from_str(&shown.text("status").await.1).unwrap();
    assert_eq!((&status["lanes"][0]["delivered"], &status["unready"]), (&json!(3), &json!([])), "{status}");
    assert_eq!(shown.relay.stop().await, 0, "{}", shown.relay.log());
}

#[tokio::test]
async fn both_forms_of_metrics_are_what_their_readers_expect() {
    let (portal, _receiver, setup) = world().await;
    portal.record(1, 1).await;
    let shown = Shown::start(&setup).await;
    let delivered = r#"b24relay_sink_delivered_events_total{source="support",sink="crm"}"#;
    until("it is counted", async || shown.metric(delivered).await == Some(1.0)).await;
    let classic = shown.ask("metrics", &[]).await;
    assert_eq!(classic.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let classic = classic.text().await.unwrap();
    let open = shown.ask("metrics", &[("accept", "application/openmetrics-text; version=1.0.0")]).await;
    assert_eq!(open.headers()["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let open = open.text().await.unwrap();
    assert!(open.ends_with("# EOF\n") && open.matches("# EOF").count() == 1 && !classic.contains("# EOF"));
    assert!(open.contains("# TYPE b24relay_source_polls counter\n"), "{open}");
    assert!(classic.contains("# TYPE b24relay_source_polls_total counter\n"), "{classic}");
    // Every sample belongs to a metric with a type and a help text.
    for line in classic.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let stems = ["", "_bucket", "_sum", "_count"].map(|end| name.strip_suffix(end));
        let is_told =
            |what: &str| stems.iter().flatten().any(|stem| classic.contains(&format!("# {what} {stem} ")));
        assert!(is_told("TYPE") && is_told("HELP"), "{line}");
    }
}

/// The names of our metrics in one of our files.
fn metrics_named_in(file: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let is_part = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    let names = text.match_indices("b24relay_").map(|(at, _)| {
        let end = text[at + 9..].find(|letter| !is_part(letter)).map_or(text.len(), |length| at + 9 + length);
        text[at..end].to_owned()
    });
    names.collect()
}

#[tokio::test]
async fn every_metric_that_a_dashboard_or_an_alert_names_is_there() {
    let (portal, receiver, setup) = world().await;
    portal.fault(json!({"kind": "error", "status": 503, "code": "QUERY_LIMIT_EXCEEDED"})).await;
    receiver.script(std::iter::repeat_n(crate::support::receivers::receiver::Answer::Status(422), 3));
    portal.record(1, 2).await;
    let shown = Shown::start(&setup).await;
    let buried = r#"b24relay_sink_dead_lettered_events_total{source="support",sink="crm"}"#;
    until("one is buried", async || shown.metric(buried).await == Some(1.0)).await;
    until("one is delivered", async || receiver.accepted_ids().len() == 1).await;
    let (_, text) = shown.text("metrics").await;
    for file in ["prometheus/alerts.yaml", "grafana/b24relay.json"] {
        let names = metrics_named_in(file);
        assert!(names.len() > 5, "{file}: {names:?}");
        for name in names {
            let is_there = ['{', ' '].iter().any(|end| text.contains(&format!("\n{name}{end}")));
            assert!(is_there, "{file}: no {name} in:\n{text}");
        }
    }
}

#[tokio::test]
async fn a_held_sink_a_refused_source_and_a_stop_make_it_unready_and_say_why() {
    let (portal, receiver, setup) = world().await;
    let mut shown = Shown::start(&setup).await;
    receiver.answer_always(Some(401));
    portal.record(1, 1).await;
    until("a person is needed for the sink", async || {
        let (status, text) = shown.text("readyz").await;
        status == StatusCode::SERVICE_UNAVAILABLE && text.contains("sink `crm` for `support` is held")
    })
    .await;
    assert_eq!(shown.text("livez").await.0, StatusCode::OK, "a sink in trouble is no wedge");
    let held = r#"b24relay_sink_state{source="support",sink="crm",state="held"}"#;
    assert_eq!(shown.metric(held).await, Some(1.0));
    receiver.answer_always(None);
    shown.relay.signal(Signal::HUP);
    until("it is ready again", async || shown.text("readyz").await.0 == StatusCode::OK).await;

    portal.fault(json!({"kind": "error", "status": 401, "code": "INVALID_CREDENTIALS", "times": 1000})).await;
    until("a person is needed for the source", async || {
        let (_, text) = shown.text("readyz").await;
        text.contains("source `support` is refused: ") && text.contains("INVALID_CREDENTIALS")
    })
    .await;
    assert_eq!(shown.metric(r#"b24relay_source_needs_operator{source="support"}"#).await, Some(1.0));
    assert_eq!(shown.metric(r#"b24relay_source_up{source="support"}"#).await, Some(0.0));
    let (_, page) = shown.text("").await;
    assert!(page.contains("action required") && page.contains("INVALID_CREDENTIALS"), "{page}");
    shown.relay.stop().await;
}

#[tokio::test]
async fn a_source_that_nobody_has_logged_in_for_needs_a_person() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_login(&portal, "office").with_file().with(LISTEN);
    let mut shown = Shown::start(&setup).await;
    until("a person is needed", async || shown.text("readyz").await.1.contains("source `office`")).await;
    let needed = r#"b24relay_source_needs_operator{source="office"}"#;
    assert_eq!(shown.metric(needed).await, Some(1.0));
    setup.log_in(&portal, "office", 2).await;
    until("nobody is", async || shown.text("readyz").await.0 == StatusCode::OK).await;
    until("that is counted", async || shown.metric(needed).await == Some(0.0)).await;
    shown.relay.stop().await;
}

#[tokio::test]
async fn a_stop_makes_it_unready_while_it_drains() {
    let (portal, receiver, setup) = world().await;
    receiver.script([crate::support::receivers::receiver::Answer::Hold]);
    portal.record(1, 1).await;
    let mut shown = Shown::start(&setup).await;
    until("an attempt is under way", async || receiver.count() == 1).await;
    let in_flight = r#"b24relay_sink_in_flight_attempts{sink="crm"}"#;
    assert_eq!(shown.metric(in_flight).await, Some(1.0));
    shown.relay.signal(Signal::TERM);
    until("it drains", async || shown.text("readyz").await.1.contains("a stop was asked for")).await;
    assert!(shown.text("").await.1.contains("<title>stopping - b24relay</title>"));
    receiver.release();
    assert_eq!(shown.relay.exit_code().await, 0, "{}", shown.relay.log());
}

#[tokio::test]
async fn who_has_no_token_learns_nothing_but_how_it_is() {
    let (portal, receiver, setup) = world().await;
    let setup = setup.with(&format!("token = \"{TOKEN}\""));
    receiver.answer_always(Some(401));
    portal.record(1, 1).await;
    let mut shown = Shown::start(&setup).await;
    until("it is not ready", async || shown.text("readyz").await.0 == StatusCode::SERVICE_UNAVAILABLE).await;
    let bearer = format!("Bearer {TOKEN}");
    let authorized = [("authorization", bearer.as_str())];
    until("the reason is told to who may know", async || {
        shown.ask("readyz", &authorized).await.text().await.unwrap().contains("sink `crm`")
    })
    .await;
    assert_eq!(shown.text("readyz").await.1, "not ok\n");
    for path in ["", "metrics", "status", "style.css", "page.js", "favicon.svg", "nothing"] {
        let (status, text) = shown.text(path).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
        assert!(!text.contains("crm") && !text.contains("support"), "{path}: {text}");
    }
    for path in ["", "metrics", "status", "readyz"] {
        let wrong = shown.ask(path, &[("authorization", "Bearer 0123456789abcdef")]).await;
        assert!(
            matches!(wrong.status(), StatusCode::UNAUTHORIZED | StatusCode::SERVICE_UNAVAILABLE),
            "{path}"
        );
        let text = wrong.text().await.unwrap();
        assert!(!text.contains("crm") && !text.contains("support"), "{path}: {text}");
    }
    for path in ["", "metrics", "status", "style.css", "page.js", "favicon.svg"] {
        assert_eq!(shown.ask(path, &authorized).await.status(), StatusCode::OK, "{path}");
    }
    assert!(!shown.relay.log().contains(TOKEN));
    shown.relay.stop().await;
}

#[tokio::test]
async fn a_web_page_of_somebody_else_cannot_look() {
    let (_portal, _receiver, setup) = world().await;
    let shown = Shown::start(&setup).await;
    for path in ["", "status", "metrics"] {
        let response = shown.ask(path, &[("host", "evil.example")]).await;
        assert_eq!(response.status(), StatusCode::MISDIRECTED_REQUEST, "{path}");
    }
    let page = shown.ask("", &[]).await;
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self'; "), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(page.headers()[name], value, "{name}");
    }
    assert!(!page.headers().contains_key("access-control-allow-origin"));
    let refused = shown.client.request(Method::POST, shown.base.clone()).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn what_strangers_write_is_text_on_the_page_and_only_where_it_is_wanted() {
    const HOSTILE: &str = "</code><script>alert(1)</script><img src=x onerror=alert(2)>";
    for is_wanted in [false, true] {
        let (portal, receiver, setup) = world().await;
        let setup = setup.with(&format!("show_payloads = {is_wanted}\ntoken = \"{TOKEN}\""));
        portal.record_as(json!({"user": 1, "count": 1, "data": {"text": HOSTILE}})).await;
        let shown = Shown::start_with(&setup, TOKEN).await;
        until("it is delivered", async || receiver.accepted_ids().len() == 1).await;
        let (_, page) = shown.text("").await;
        assert_eq!(page.contains("alert(1)"), is_wanted, "{page}");
        assert_eq!(page.contains("&lt;script&gt;"), is_wanted, "{page}");
        assert!(
            page.matches("<script").count() == 1 && page.contains("<script src=\"page.js\" defer>"),
            "{page}"
        );
        assert!(!page.contains("<img"), "{page}");
    }
}

#[tokio::test]
async fn what_may_be_lost_is_told_on_the_page_when_all_is_well_again() {
    let (portal, _receiver, setup) = world().await;
    portal.record(1, 1).await;
    setup.drain().await;
    portal.post("clock", json!({"advance_s": 30 * 3600})).await;
    let shown = Shown::start(&setup).await;
    until("the gap is known", async || setup.status_of("support").await["gaps"] != json!([])).await;
    let gap = setup.status_of("support").await["gaps"][0].clone();
    let told = format!(
        "events from {} to {} may be lost",
        gap["from"].as_str().unwrap(),
        gap["to"].as_str().unwrap()
    );
    let (_, page) = shown.text("").await;
    assert!(page.contains(&told), "no {told} in {page}");
}

#[tokio::test]
async fn the_charts_survive_a_restart() {
    let (portal, _receiver, setup) = world().await;
    let mut saved = Vec::new();
    for run in 1..=2 {
        portal.record(1, 3).await;
        // Otherwise the log of the first run names the address.
        std::fs::remove_file(setup.path("err")).ok();
        let mut shown = Shown::start(&setup).await;
        let words = format!("{} deliveries in all", 3 * run);
        until("it is delivered", async || shown.text("").await.1.contains(&words)).await;
        assert_eq!(shown.relay.stop().await, 0, "{}", shown.relay.log());
        let state = Connection::open(setup.path("b24relay.db")).unwrap();
        let select = "SELECT value FROM memory WHERE key = 'page/history'";
        let text: String = state.query_row(select, [], |row| row.get(0)).unwrap();
        let frames: Vec<Value> = serde_json::from_str(&text).unwrap();
        assert_eq!(frames.len(), run, "{text}");
        assert!(frames.starts_with(&saved), "{saved:?} in {text}");
        let latest = frames.last().unwrap();
        assert!(latest["r"].as_f64() > Some(0.0) && latest["s"]["crm"][0].as_f64() > Some(0.0), "{text}");
        saved = frames;
    }
}

#[tokio::test]
async fn no_secret_is_to_be_seen_anywhere() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let sink = format!(
        "[sinks.crm]\ntype = \"webhook\"\nurl = \"{}/hook?token=SECRETMARK\"\nsecrets = [\"whsec_SECRETMARKAAAAAAAAAAAAAAAAAAAAAAAA\"]\nheaders = {{ x-key = \"SECRETMARK\" }}",
        receiver.url()
    );
    let setup = Setup::new().with_source(&portal).with(&sink).with(LISTEN);
    receiver.answer_always(Some(401));
    portal.record(1, 1).await;
    let shown = Shown::start(&setup).await;
    until("it is held", async || shown.text("readyz").await.1.contains("is held")).await;
    let code = portal.code(1);
    for path in ["", "metrics", "status", "readyz", "livez"] {
        let (_, text) = shown.text(path).await;
        assert!(!text.contains("SECRETMARK") && !text.contains(&code), "{path}: {text}");
    }
}

#[tokio::test]
async fn many_connections_and_slow_ones_keep_nobody_from_anything() {
    let (portal, receiver, setup) = world().await;
    let shown = Shown::start(&setup).await;
    let address = shown.base.socket_addrs(|| None).unwrap()[0];
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(tokio::net::TcpStream::connect(address).await.unwrap());
    }
    portal.record(1, 2).await;
    until("deliveries go on", async || receiver.accepted_ids().len() == 2).await;
    for _ in 0..3 {
        assert_eq!(shown.text("livez").await.0, StatusCode::OK, "whoever only holds on is cut off");
    }
    drop(idle);
}

#[tokio::test]
async fn an_address_in_use_and_an_open_one_without_a_token_are_refused_at_the_start() {
    let (portal, _receiver) = (Portal::start().await, ());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let setup =
        Setup::new().with_source(&portal).with_file().with(&format!("[http]\nlisten = \"{address}\""));
    let refused = finished(&["run"], setup.folder()).await;
    assert_eq!(code(&refused), 75, "{}", stderr(&refused));
    assert!(stderr(&refused).contains(&format!("http.listen: cannot listen on {address}")));
    let open = Setup::new().with_source(&portal).with_file().with("[http]\nlisten = \"0.0.0.0:0\"");
    let refused = finished(&["run"], open.folder()).await;
    assert_eq!(code(&refused), 78, "{}", stderr(&refused));
    assert!(stderr(&refused).contains("http.token: is missing"), "{}", stderr(&refused));
}

#[tokio::test]
async fn wrong_tokens_are_counted_and_logged_once_a_minute_and_the_right_one_does_not_wait_for_them() {
    let (_portal, _receiver, setup) = world().await;
    let setup = setup.with(&format!("token = \"{TOKEN}\""));
    let shown = Shown::start_with(&setup, TOKEN).await;
    let wrong = [("authorization", "Bearer 9f86d081884c7d659a2feaa0c55ad015")];
    let metric = "b24relay_http_wrong_tokens_total";
    assert_eq!(shown.metric(metric).await, Some(0.0));
    // They end only after each has been answered, one after the other.
    let guesses = futures_util::future::join_all((0..40).map(|_| shown.ask("status", &wrong)));
    tokio::select! {
        biased;
        _ = guesses => panic!("who has the token waited for who has not"),
        () = until("all are counted", async || shown.metric(metric).await == Some(40.0)) => {}
    }
    shown.relay.until_logged("had a wrong token").await;
    let log = shown.relay.log();
    assert_eq!(log.matches("had a wrong token").count(), 1, "{log}");
    assert!(!log.contains("9f86d081"), "{log}");
}

#[tokio::test]
async fn a_token_that_is_missing_or_weak_is_refused_with_the_way_to_a_good_one() {
    let portal = Portal::start().await;
    let setup = |keys: &str| Setup::new().with_source(&portal).with_file().with(&format!("{LISTEN}\n{keys}"));
    for (keys, words) in [
        ("show_payloads = true", "http.show_payloads: needs `token` or `token_file`"),
        ("token = \"short\"", "http.token: is easy to guess"),
        ("token = \"passwordpassword1\"", "http.token: is easy to guess"),
        ("token = \"0123456789abcdef\"", "http.token: is easy to guess"),
    ] {
        let setup = setup(keys);
        for command in [&["run", "--once"][..], &["check", "--no-network"]] {
            let refused = finished(command, setup.folder()).await;
            assert_eq!(code(&refused), 78, "{keys}: {}", stderr(&refused));
            for words in [words, "`b24relay secret new` makes one"] {
                assert!(stderr(&refused).contains(words), "{keys}: {}", stderr(&refused));
            }
            assert!(!stderr(&refused).contains("passwordpassword1"), "{}", stderr(&refused));
        }
    }
    let made = finished(&["secret", "new"], setup("").folder()).await;
    let keys =
        format!("show_payloads = true\ntoken = \"{}\"", crate::support::process::relay::stdout(&made).trim());
    let accepted = finished(&["check", "--no-network"], setup(&keys).folder()).await;
    assert_eq!(code(&accepted), 0, "{}", stderr(&accepted));
}

#[tokio::test]
async fn a_listener_that_other_machines_reach_without_tls_is_warned_of() {
    let (_portal, _receiver, setup) = world().await;
    let shown = Shown::start(&setup).await;
    assert!(!shown.relay.log().contains("plain http"), "{}", shown.relay.log());
    let portal = Portal::start().await;
    let keys = format!("[http]\nlisten = \"0.0.0.0:0\"\ntoken = \"{TOKEN}\"");
    let setup = Setup::new().with_source(&portal).with_file().with(&keys);
    let check = finished(&["check", "--no-network"], setup.folder()).await;
    assert_eq!(code(&check), 0, "{}", stderr(&check));
    let told = crate::support::process::relay::stdout(&check);
    assert!(told.contains("warn") && told.contains("-> put a proxy with TLS before it"), "{told}");
    let mut relay = setup.run();
    relay.until_logged("`http.listen` speaks plain http to other machines").await;
    relay.stop().await;
}
