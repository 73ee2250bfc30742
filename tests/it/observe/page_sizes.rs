//! The page of a relay with one, fifty and five hundred sources: its size, what is folded, the search, the keyboard, and
//! its Russian version.

use b24_client::http;
use b24relay::config::HttpConfig;
use b24relay::event::Queue;
use b24relay::service::{Place, RecentProblems, Server, SourceMetrics, Telemetry, View};
use b24relay::store::{Activity, Health, LaneActivity, LaneNote, Store};
use reqwest::Url;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::observe::browser::{assert_fits_and_reads, assert_seen};
use crate::support::process::relay::{code, finished, stdout};
use crate::support::process::waiting::{PATIENCE, until};
use crate::support::process::webdriver::Browser;

/// The largest page, in bytes.
const BYTES_MAX: usize = 300_000;

/// Returns the rows of sources that are visible.
const ROWS: &str = "
    const rows = [...document.querySelectorAll('tbody tr:not(.trouble)')].filter(row => row.checkVisibility());
    return rows.map(row => row.querySelector('th').firstChild.data);";

/// A relay with made-up sources, and its page.
struct World {
    folder: TempDir,
    url: Url,
    _store: Store,
    _sources: Vec<SourceMetrics>,
}

fn name(number: usize) -> String {
    format!("line-{number:03}")
}

/// Whether the portal refuses the source, and whether a sink does not accept its events.
fn is_refused(number: usize) -> bool {
    number % 100 == 42
}

fn is_retried(number: usize) -> bool {
    number % 50 == 7
}

impl World {
    async fn with_sources(count: usize) -> Self {
        let folder = TempDir::new().unwrap();
        let store = Store::open(&folder.path().join("b24relay.db")).unwrap();
        let (telemetry, mut sources) = (Telemetry::default(), Vec::new());
        for number in 1..=count {
            Self::add(&store, number).await;
            let metrics = telemetry.metrics.source(&name(number));
            metrics.use_budget(Some(0.4));
            sources.push(metrics);
        }
        let listen = "127.0.0.1:0".parse().unwrap();
        let server =
            Server::listen(&HttpConfig { listen, token: None, shows_payloads: false }).await.unwrap();
        let url = format!("http://{}/", server.address()).parse().unwrap();
        let place = Place {
            instance: "relay1, process 4711".into(),
            configuration: Some("/etc/b24relay/b24relay.toml".into()),
        };
        let view = View::new(&store, &telemetry, &RecentProblems::default(), place);
        telemetry.liveness.expect(std::iter::empty());
        telemetry.show_through(Some(server));
        tokio::spawn(async move { view.show().await });
        Self { folder, url, _store: store, _sources: sources }
    }

    async fn add(store: &Store, number: usize) {
        let name = name(number);
        store.bind(&Queue::new(&name, &format!("acme.bitrix24.com/user/{number}"))).await.unwrap();
        let refusal =
            "the portal refuses: INVALID_CREDENTIALS (HTTP 401); check the webhook in the portal".to_owned();
        let activity = if is_refused(number) {
            Activity::Refused { trouble: refusal }
        } else {
            Activity::Polling { due_ms: i64::MAX }
        };
        let covered_ms = Some(b24relay::wall_clock::now_ms());
        store
            .note_source(&name, Health { has_polled: true, activity, covered_ms, skew_ms: 0 })
            .await
            .unwrap();
        for sink in ["archive", "crm"] {
            let (state, trouble) = if is_retried(number) && sink == "crm" {
                (LaneActivity::Retrying, "answered 503 Service Unavailable, \"busy\"".to_owned())
            } else {
                (LaneActivity::Flowing, String::new())
            };
            let next_ms = (!trouble.is_empty()).then(|| b24relay::wall_clock::now_ms() + 60_000);
            store.note_lane(&name, sink, LaneNote { state, next_ms, trouble }).await.unwrap();
        }
    }

    async fn page(&self, query: &str, language: &str) -> String {
        let client = http::build(&self.url, PATIENCE).unwrap();
        let request = client.get(self.url.join(query).unwrap()).header("accept-language", language);
        request.send().await.unwrap().text().await.unwrap()
    }
}

#[tokio::test]
async fn one_source_and_fifty_are_all_on_the_page() {
    let browser = Browser::start().await;
    for count in [1, 50] {
        let world = World::with_sources(count).await;
        let page = world.page("", "").await;
        assert!(page.len() < BYTES_MAX, "{count} sources: {} bytes", page.len());
        for number in 1..=count {
            assert!(page.contains(&name(number)), "no {} in {page}", name(number));
        }
        let Some(browser) = &browser else { continue };
        browser.open(world.url.as_str()).await;
        let rows = browser.ask(ROWS, Value::Null).await;
        assert_eq!(rows.as_array().unwrap().len(), count.min(20), "{rows}");
        assert_fits_and_reads(browser, &count.to_string()).await;
    }
}

#[tokio::test]
async fn of_five_hundred_sources_those_in_trouble_come_first_and_healthy_ones_are_folded() {
    let world = World::with_sources(500).await;
    let page = world.page("", "").await;
    assert!(page.len() < BYTES_MAX, "{} bytes", page.len());
    assert!(page.contains("<title>action required - b24relay</title>"), "{page}");
    assert_eq!((1..=500).filter(|number| !page.contains(&name(*number))).count(), 0, "folded, not left out");
    assert!(page.contains("and 10 more: "), "five reasons of fifteen problems: {page}");
    let found = world.page("?q=LINE-04%32", "").await;
    assert!(
        found.contains("found: 1") && found.contains("user/42<") && !found.contains("user/43<"),
        "{found}"
    );
    assert!(found.contains("value=\"LINE-042\""), "{found}");
    let status = finished(&["status", "--state", "b24relay.db"], world.folder.path()).await;
    let told = stdout(&status);
    assert_eq!(code(&status), 0, "{told}");
    assert!(
        told.starts_with("action required\n") && told.contains("and 480 more healthy sources (--all"),
        "{told}"
    );
    let rows = told.lines().skip_while(|line| !line.starts_with("SOURCE")).skip(1);
    let first: Vec<&str> = rows.take(5).map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(first, ["line-042", "line-142", "line-242", "line-342", "line-442"], "{told}");
    let all = stdout(&finished(&["status", "--all", "--state", "b24relay.db"], world.folder.path()).await);
    assert_eq!(all.matches("line-500").count(), 3, "the source, and its way to each sink");

    let Some(browser) = Browser::start().await else { return };
    browser.open(world.url.as_str()).await;
    let rows = browser.ask(ROWS, Value::Null).await;
    let rows: Vec<&str> = rows.as_array().unwrap().iter().map(|row| row.as_str().unwrap()).collect();
    assert_eq!((rows.len(), &rows[..5]), (20, &first[..]), "{rows:?}");
    assert_seen(&browser, ".card", &["crm", "retrying", "in 10 of 500 sources", "answered 503"]).await;
    assert_seen(&browser, "table", &["INVALID_CREDENTIALS"]).await;
    assert_fits_and_reads(&browser, "500").await;
}

/// Presses a key with nothing else.
async fn press(browser: &Browser, key: &str, text: &str) {
    for kind in ["keyDown", "keyUp"] {
        let mut event = json!({"type": kind, "key": key, "code": key});
        let number = match key {
            "Tab" => 9,
            "Enter" => 13,
            _ => 0,
        };
        event["windowsVirtualKeyCode"] = json!(number);
        if kind == "keyDown" && !text.is_empty() {
            event["text"] = json!(text);
        }
        browser.devtools("Input.dispatchKeyEvent", event).await;
    }
}

#[tokio::test]
async fn the_page_is_used_with_the_keyboard_alone_and_moves_nothing() {
    let Some(browser) = Browser::start().await else { return };
    let world = World::with_sources(50).await;
    browser.open(world.url.as_str()).await;
    let focused = async || {
        let about = "const { id, name, tagName, dataset } = document.activeElement;
            const style = getComputedStyle(document.activeElement);
            return [id || name || tagName, style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2];";
        browser.ask(about, Value::Null).await
    };
    let mut order = Vec::new();
    for _ in 0..6 {
        press(&browser, "Tab", "").await;
        let at = focused().await;
        assert_eq!(at[1], true, "no outline: {at}");
        order.push(at[0].as_str().unwrap().to_owned());
    }
    assert_eq!(order, ["copy", "q", "BUTTON", "well-summary", "A", "A"]);
    // The summary unfolds, and stays so when the script renews the page.
    browser.ask("document.getElementById('well-summary').focus()", Value::Null).await;
    press(&browser, "Enter", "\r").await;
    let opened = browser.ask(ROWS, Value::Null).await;
    assert_eq!(opened.as_array().unwrap().len(), 50, "{opened}");
    browser
        .ask(
            "document.getElementById('about').dataset.mark = document.getElementById('about').innerText",
            Value::Null,
        )
        .await;
    let renewed =
        "const about = document.getElementById('about'); return about.dataset.mark !== about.innerText";
    until("the script has renewed the page", async || browser.ask(renewed, Value::Null).await == true).await;
    assert_eq!(browser.ask(ROWS, Value::Null).await.as_array().unwrap().len(), 50);
    assert_eq!(focused().await[0], "well-summary", "the focus stays where it was");
    // The search finds by Enter.
    browser.ask("document.getElementsByName('q')[0].focus()", Value::Null).await;
    for letter in ["0", "4", "2"] {
        press(&browser, letter, letter).await;
    }
    press(&browser, "Enter", "\r").await;
    until("it is found", async || browser.ask(ROWS, Value::Null).await == json!(["line-042"])).await;
    for preference in ["reduce", "no-preference"] {
        let features = json!([{"name": "prefers-reduced-motion", "value": preference}]);
        browser.devtools("Emulation.setEmulatedMedia", json!({"features": features})).await;
        let moving =
            "return document.getAnimations().length + [...document.querySelectorAll('*')].filter(element =>
            parseFloat(getComputedStyle(element).transitionDuration) > 0).length";
        assert_eq!(browser.ask(moving, Value::Null).await, 0, "{preference}");
    }
}

#[tokio::test]
async fn a_russian_browser_gets_russian_headings_and_english_errors() {
    let world = World::with_sources(50).await;
    let page = world.page("", "ru-RU,ru;q=0.9,en;q=0.8").await;
    for words in [
        "<html lang=\"ru\">",
        "нужно вмешательство",
        "Источники",
        "Приёмники",
        "Осталось хранения",
        "отказано",
    ] {
        assert!(page.contains(words), "no {words} in {page}");
    }
    assert!(page.contains("INVALID_CREDENTIALS") && page.contains("answered 503"), "{page}");
    for words in ["Retention left", "action required", ">polling<", " ago", "Latency", " min<"] {
        assert!(!page.contains(words), "{words} in {page}");
    }
    let Some(browser) = Browser::start().await else { return };
    browser.devtools("Network.enable", json!({})).await;
    browser.devtools("Network.setExtraHTTPHeaders", json!({"headers": {"Accept-Language": "ru"}})).await;
    browser.open(world.url.as_str()).await;
    assert_seen(&browser, ".verdict", &["нужно вмешательство"]).await;
    assert_fits_and_reads(&browser, "russian").await;
}
