//! The page after an hour with two sources and three sinks: a short real run, then a clock that the test advances.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use b24relay::config::HttpConfig;
use b24relay::event::{Event, EventId, Queue};
use b24relay::service::{LaneMetrics, Place, RecentProblems, Server, SourceMetrics, Telemetry, View};
use b24relay::store::{Activity, Health, Store};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::task::yield_now;
use tokio::time::{advance, pause, resume};
use tracing::{error, warn};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::observe::browser::{assert_fits_and_reads, assert_seen};
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, command};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::{until, until_count};
use crate::support::process::webdriver::Browser;
use crate::support::receivers::receiver::{Answer, Receiver};

const PATIENT: &str = "sources = [\"support\"]\nretry = { min = \"1h\", max = \"1h\" }";

/// Returns the start and end of every chart, its scale, and what it is about.
const ENDS: &str = "
    const ends = line => { const { x, width } = line.getBBox(); return [x, x + width].map(Math.round); };
    const about = chart => chart.closest('figure, .tile');
    return [...document.querySelectorAll('.chart')].map(chart => ({ ends: ends(chart.querySelector('.line')),
        scale: chart.querySelector('.top').innerText, from: chart.querySelector('.from').innerText,
        now: about(chart).querySelector('strong').innerText,
        of: (chart.closest('.card')?.querySelector('h3').innerText ?? '') + ' ' + about(chart).innerText.split('\\n')[0] }));";

/// A source on a portal with a realistic name. The sandbox answers in its place, as the proxy.
fn source(name: &str, portal: &Portal, user: u64) -> String {
    let url = portal.webhook_url(user).replace(&portal.sandbox.address().to_string(), "acme.bitrix24.com");
    format!("[sources.{name}]\nwebhook_url = \"{url}\"\nallow_http = true\nconfirm_lag = \"50ms\"")
}

/// The state after such runs: one sink lacks only two events, another one lacks all.
async fn state_of(setup: Setup, portal: &Portal, crm: &Receiver, analytics: &Receiver) -> (Setup, Store) {
    portal.record(1, 1284).await;
    portal.record(2, 417).await;
    let ids = portal.ids(1).await;
    crm.refuse(&ids[700..702], &Answer::Status(422));
    analytics.answer_always(Some(503));
    let plan = "[portals.\"acme.bitrix24.com\"]\nplan = \"self-hosted\"";
    let setup = setup
        .with(&source("support", portal, 1))
        .with(&source("sales", portal, 2))
        .with(plan)
        .with("[delivery]\nhold = \"0s\"")
        .with_file()
        .with_receiver_in(crm, "concurrency = 8")
        .with(&format!("[sinks.analytics]\ntype = \"webhook\"\nurl = \"{}\"\n{}", analytics.url(), PATIENT));
    let mut command = command();
    command.arg("run").current_dir(setup.folder()).env("HTTP_PROXY", portal.base_url());
    let mut relay = Relay::start_command(command, setup.folder(), Stdio::null());
    until_count("what can be delivered is", 1284 - 2 + 417, async || crm.accepted_ids().len()).await;
    until("it is committed", async || {
        let mut are_settled = true;
        for (user, source) in [(1, "support"), (2, "sales")] {
            let end = portal.ids(user).await.last().unwrap() + 1;
            are_settled &= ["archive", "crm"].iter().all(|sink| setup.committed_offset(source, sink) == end);
        }
        are_settled
    })
    .await;
    let lane = setup.lane_of("analytics").await;
    assert_eq!((&lane["state"], &lane["pending"]), (&json!("retrying"), &json!(1284)), "{lane}");
    relay.kill();
    let store = Store::open(&setup.path("b24relay.db")).unwrap();
    (setup, store)
}

fn event() -> Event {
    let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
    Event {
        queue: Arc::new(Queue::new("support", "acme.bitrix24.com/user/12")),
        id: EventId::try_new(1).unwrap(),
        kind: "ONIMV2MESSAGEADD".to_owned(),
        date: raw("\"2026-11-21T09:00:00Z\""),
        data: raw("{}"),
    }
}

fn receive(source: &SourceMetrics, count: u64) {
    let event = event();
    for _ in 0..count {
        source.received(&event, event.date_ms().unwrap());
    }
}

/// Counts deliveries one after the other, with latencies of `latency_ms`.
fn deliver(lane: &LaneMetrics, count: u64, latency_ms: i64) {
    let event = event();
    let portal_ms = event.date_ms().unwrap() + latency_ms;
    for _ in 0..count {
        lane.delivered(&event, portal_ms, portal_ms);
    }
}

/// Advances the clock, and lets all tasks see it.
async fn turn(length: Duration) {
    advance(length).await;
    for _ in 0..10 {
        yield_now().await;
    }
}

/// A conversation with varying traffic, and a receiver that is slow for a while and then unreachable.
async fn pass_an_hour(telemetry: &Telemetry) {
    let lane = |source, sink| telemetry.metrics.lane(source, sink);
    let lanes =
        [lane("support", "archive"), lane("support", "crm"), lane("sales", "archive"), lane("sales", "crm")];
    let analytics = lane("support", "analytics");
    let [support, sales] = ["support", "sales"].map(|source| telemetry.metrics.source(source));
    turn(Duration::ZERO).await;
    // A timer may fire a little late.
    turn(Duration::from_millis(2)).await;
    for step in 0..125_u64 {
        let wave =
            40 + (step * step * 7 + step * 13) % 37 + if (50..80).contains(&step) { 45 } else { step / 4 };
        let slow = if (60..72).contains(&step) { 900 } else { 0 };
        let jitter = i64::try_from(step * 29 % 83).unwrap();
        deliver(&lanes[0], wave, 180 + jitter);
        deliver(&lanes[1], wave, 260 + 2 * jitter + slow);
        let quiet = if (88..100).contains(&step) { 0 } else { 9 + step * step % 5 + step / 20 % 4 * 3 };
        deliver(&lanes[2], quiet, 190 + jitter);
        deliver(&lanes[3], quiet, 280 + jitter);
        receive(&support, wave);
        receive(&sales, quiet);
        deliver(&analytics, if step < 96 { wave } else { 0 }, 300 + jitter + slow / 2);
        turn(Duration::from_secs(30)).await;
    }
}

fn warned_of() -> RecentProblems {
    let troubles = RecentProblems::default();
    let log = tracing_subscriber::registry().with(troubles.clone());
    tracing::subscriber::with_default(log, || {
        error!(
            source = "support",
            sink = "crm",
            event_id = 2001,
            attempts = 3,
            error = "answered 422 Unprocessable Content",
            hint = "`b24relay dead-letters list`",
            "the sink rejects events: they become dead letters"
        );
        warn!(
            source = "support",
            sink = "analytics",
            attempt = 1,
            delay_ms = 1_800_000,
            error = "answered 503 Service Unavailable",
            "attempt failed, will try again"
        );
    });
    troubles
}

#[tokio::test]
async fn an_hour_is_drawn_with_its_scales() {
    let Some(browser) = Browser::start().await else { return };
    let (portal, crm, analytics) = (Portal::start().await, Receiver::start().await, Receiver::start().await);
    let (_setup, store) = state_of(Setup::new(), &portal, &crm, &analytics).await;
    for source in ["support", "sales"] {
        let activity = Activity::Polling { due_ms: i64::MAX };
        let health = Health { has_polled: true, activity, covered_ms: None, skew_ms: 0 };
        store.note_source(source, health).await.unwrap();
    }
    let telemetry = Telemetry::default();
    let listen = "127.0.0.1:0".parse().unwrap();
    let server = Server::listen(&HttpConfig { listen, token: None, shows_payloads: false }).await.unwrap();
    let url = format!("http://{}/", server.address());
    let place = Place {
        instance: "relay1, process 4711".into(),
        configuration: Some("/etc/b24relay/b24relay.toml".into()),
    };
    let view = View::new(&store, &telemetry, &warned_of(), place);

    telemetry.liveness.expect(std::iter::empty());
    pause();
    telemetry.show_through(Some(server));
    tokio::spawn(async move { view.show().await });
    pass_an_hour(&telemetry).await;
    let budgets = ["support", "sales"].map(|source| telemetry.metrics.source(source));
    for source in &budgets {
        source.use_budget(Some(0.33));
    }
    resume();

    browser.open(&url).await;
    assert_seen(&browser, ".verdict, .card", &["degraded: retrying", "1,284"]).await;
    assert_seen(&browser, "section", &["b24relay dead-letters list --sink crm"]).await;
    let charts = browser.ask(ENDS, Value::Null).await;
    let charts = charts.as_array().unwrap();
    assert_eq!(charts.len(), 10, "of the four figures, and two of each sink: {charts:?}");
    let of =
        |name: &str| charts.iter().find(|chart| chart["of"].as_str().unwrap().starts_with(name)).unwrap();
    // It has delivered nothing for a quarter of an hour.
    let (rate, latency) = (of("analytics Rate"), of("analytics Latency"));
    assert_eq!(
        (&rate["now"], &rate["scale"], &rate["from"]),
        (&json!("0/min"), &json!("5/s"), &json!("62 min ago"))
    );
    assert_eq!(rate["ends"], json!([0, 240]), "{charts:?}");
    let end = latency["ends"][1].as_f64().unwrap();
    assert!((180.0..=188.0).contains(&end), "{charts:?}");
    assert_eq!(of(" Events per minute")["scale"], json!("500"), "{charts:?}");
    assert_fits_and_reads(&browser, "hour").await;
}
