//! The page of `[http]` in a real browser: foreign text is shown as text, and problems are shown in words. Tested on
//! wide and narrow screens, in light and dark mode, with and without scripts.
//!
//! Needs Chromium and `chromedriver`. Without them these tests are skipped, or fail with `BROWSER_TESTS=required`.
//! `SCREENSHOTS=DIR cargo test --test it -- browser page_` saves screenshots in an existing folder. `docs/page.png` is
//! `hour-light.png` of `page_history.rs`, `docs/page-dark.png` is `hour-dark.png`, and `docs/page-500.png` is
//! `500-light.png` of `page_sizes.rs`, in 256 colours:
//! `pngquant --force --nofs --output docs/page.png DIR/hour-light.png`.

use std::env;
use std::path::Path;

use reqwest::{StatusCode, Url};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::portal::sandbox::Portal;
use crate::support::process::setup::Setup;
use crate::support::process::shown::{LISTEN, Shown};
use crate::support::process::waiting::until;
use crate::support::process::webdriver::Browser;
use crate::support::receivers::receiver::Receiver;

/// Returns the words that no visible element shows.
const UNSEEN: &str = "
    const { within, words } = arguments[0];
    const all = [...document.querySelectorAll(`:is(${within}), :is(${within}) *`)];
    const has = (element, word) => element.textContent.includes(word);
    const innermost = (element, word) => has(element, word) && ![...element.children].some(child => has(child, word));
    const shows = element => { const { width, height } = element.getBoundingClientRect();
        return element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && width > 0 && height > 0; };
    return words.filter(word => !all.some(element => innermost(element, word) && shows(element)));";

/// Returns the elements that extend beyond the right edge or beyond their parent.
const OVERFLOWING: &str = "
    const root = document.documentElement;
    const is_over = element => element.getBoundingClientRect().right > root.clientWidth + 0.5
        || (element.clientWidth > 0 && element.scrollWidth > element.clientWidth + 1);
    const over = [...document.querySelectorAll('body, body *')].filter(is_over);
    const told = over.map(element => element.tagName + '.' + element.className + ': ' + element.textContent.slice(0, 60));
    return { is_scrolling: root.scrollWidth > root.clientWidth, told };";

/// Returns the elements with too little contrast to their background (WCAG 2.2, 1.4.3), and the brightness of the page
/// from 0 to 1.
const FAINT: &str = "
    const numbers = color => color.match(/[\\d.]+/g).map(Number);
    const linear = part => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    const luminance = ([red, green, blue]) => 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
    const behind = element => {
        for (; element; element = element.parentElement) {
            const color = numbers(getComputedStyle(element).backgroundColor);
            if (color.length < 4 || color[3] > 0) return color;
        }
        return [255, 255, 255];
    };
    const contrast = element => {
        const two = [numbers(getComputedStyle(element).color), behind(element)].map(luminance);
        return (Math.max(...two) + 0.05) / (Math.min(...two) + 0.05);
    };
    const is_text = node => node.nodeType === Node.TEXT_NODE && node.data.trim() !== '';
    const texts = [...document.querySelectorAll('body *')].filter(element => [...element.childNodes].some(is_text));
    const faint = texts.filter(element => contrast(element) < 4.5);
    return { count: texts.length, lightness: luminance(behind(document.body)),
        faint: faint.map(element => element.textContent.slice(0, 40) + ': ' + contrast(element)) };";

/// Returns the elements that could run code, lead to another site, or came from one.
const FOREIGN: &str = "
    const active = 'script:not([src=\"page.js\"]), img, svg[onload], iframe, object, embed, form:not([role=search]), base, b, a[href^=\"javascript\" i]';
    const elements = [...document.querySelectorAll(active)].map(element => element.outerHTML);
    const handlers = [...document.querySelectorAll('*')].flatMap(element => [...element.attributes])
        .filter(attribute => attribute.name.startsWith('on')).map(attribute => attribute.name);
    const asked = performance.getEntriesByType('resource').map(entry => new URL(entry.name));
    const own = ['/', '/style.css', '/page.js', '/favicon.svg'];
    const foreign = asked.filter(url => url.host !== location.host || !own.includes(url.pathname));
    return [...elements, ...handlers, ...foreign.map(url => url.href)];";

const NUMBERS: &str = "
    const told = [...document.querySelectorAll('.verdict h2, .sum, .card .state, .card dt, .card dd')];
    return told.map(element => element.innerText);";

const TOKEN: &str = "A9d81f02c77be4-token";

async fn world() -> (Portal, Receiver, Setup) {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup = Setup::new().with_source(&portal).with_receiver(&receiver).with(LISTEN);
    (portal, receiver, setup)
}

/// The page fits the screen and is readable in all variants; saves a screenshot of each on request.
pub(crate) async fn assert_fits_and_reads(browser: &Browser, name: &str) {
    #[expect(clippy::disallowed_methods, reason = "how a person asks this test for pictures")]
    let pictures = env::var_os("SCREENSHOTS");
    for width in [2560, 1280, 400] {
        browser.resize(width, 800).await;
        let over = browser.ask(OVERFLOWING, Value::Null).await;
        assert_eq!(over, json!({"is_scrolling": false, "told": []}), "{name} at {width}");
        for (scheme, lightness) in [("light", 0.8..=1.0), ("dark", 0.0..=0.1)] {
            let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
            browser.devtools("Emulation.setEmulatedMedia", json!({"features": features})).await;
            let seen = browser.ask(FAINT, Value::Null).await;
            assert!(seen["count"].as_u64() > Some(20), "{seen}");
            assert_eq!(seen["faint"], json!([]), "{name}, {scheme}");
            assert!(lightness.contains(&seen["lightness"].as_f64().unwrap()), "{name}, {scheme}: {seen}");
            if let Some(folder) = &pictures {
                let screen = match width {
                    400 => "narrow-",
                    2560 => "wide-",
                    _ => "",
                };
                browser.photograph(&Path::new(folder).join(format!("{name}-{screen}{scheme}.png"))).await;
            }
        }
    }
    browser.resize(1280, 800).await;
}

/// All these words are visible in the elements of the selector `within`.
pub(crate) async fn assert_seen(browser: &Browser, within: &str, words: &[&str]) {
    let unseen = browser.ask(UNSEEN, json!({"within": within, "words": words})).await;
    let text = browser.ask("return document.body.innerText", Value::Null).await;
    assert_eq!(unseen, json!([]), "{within} in {text}");
}

async fn title(browser: &Browser) -> Value {
    browser.ask("return document.title", Value::Null).await
}

/// The page runs no foreign code, has made no request to another host, and has broken no rule of its own policy.
async fn assert_inert(browser: &Browser) {
    assert_eq!(browser.ask(FOREIGN, Value::Null).await, json!([]));
    assert_eq!(browser.console().await, Vec::<Value>::new());
    // Without the style sheet the test would prove nothing.
    let rules = browser.ask("return document.styleSheets[0].cssRules.length", Value::Null).await;
    assert!(rules.as_u64() > Some(10), "{rules}");
}

/// Hostile texts in chats, and how the page must show them; as many as the page shows.
fn hostile() -> Vec<(String, String)> {
    let long = "A".repeat(100_000);
    let same = [
        // The page shows the latest event first. This text could only hide the rest of the page.
        "{{7*7}} ${7*7} &lt;b&gt; <!-- ]]>",
        "<script>document.title='owned'</script>",
        "<img src=x onerror=document.title='owned'>",
        "'></pre></li></ol><svg onload=document.title='owned'>",
        "<a href=javascript:document.title='owned'>a link</a> [URL=javascript:alert(1)]another[/URL]",
        "<style>body{display:none}</style><iframe src=//evil.example></iframe><base href=//evil.example/>",
    ]
    .map(|text| (text.to_owned(), text.to_owned()));
    let spelled = [
        ("\u{202e}gnp.exe", r"\u202egnp.exe"),
        ("in\u{200b}vis\u{2060}ible\u{feff}", r"in\u200bvis\u2060ible\ufeff"),
        ("\u{1b}[2J\u{1b}[31mred\u{7}", r"\u001b[2J\u001b[31mred\u0007"),
        (long.as_str(), &long[..1900]),
    ]
    .map(|(text, shown)| (text.to_owned(), shown.to_owned()));
    same.into_iter().chain(spelled).collect()
}

/// Delivers all of them with a relay whose `[http]` has these keys.
async fn among_hostile_words(keys: &str) -> (Setup, Portal, Shown) {
    let (portal, receiver, setup) = world().await;
    let setup = setup.with(keys).with(&format!("token = \"{TOKEN}\""));
    let shown = Shown::start_with(&setup, TOKEN).await;
    let hostile = hostile();
    for (text, _) in &hostile {
        portal.record_as(json!({"user": 1, "count": 1, "data": {"text": text}})).await;
    }
    until("all is delivered", async || receiver.accepted_ids().len() == hostile.len()).await;
    until("it is counted", async || shown.text("").await.1.contains("10 deliveries in all")).await;
    (setup, portal, shown)
}

/// The URL of the page with the token, for a browser.
fn with_token(shown: &Shown) -> Url {
    let mut url = shown.base.clone();
    url.set_username("anybody").unwrap();
    url.set_password(Some(TOKEN)).unwrap();
    url
}

#[tokio::test]
async fn hostile_words_are_text_on_the_page_and_nothing_else() {
    let Some(browser) = Browser::start().await else { return };
    // Shows that this browser does run such code.
    browser.open(&format!("data:text/html,<title>mine</title>{}", hostile()[1].0)).await;
    assert_eq!(title(&browser).await, "owned");
    let (_setup, _portal, shown) = among_hostile_words("show_payloads = true").await;
    browser.console().await;
    browser.open(with_token(&shown).as_str()).await;
    assert_eq!(title(&browser).await, "healthy - b24relay");
    assert_inert(&browser).await;
    let texts = hostile();
    let words: Vec<&str> = texts.iter().map(|(_, text)| text.as_str()).collect();
    assert_seen(&browser, "body", &words).await;
    assert_fits_and_reads(&browser, "hostile").await;
    assert_eq!(title(&browser).await, "healthy - b24relay");
}

#[tokio::test]
async fn without_show_payloads_no_word_of_a_chat_is_on_the_page() {
    let Some(browser) = Browser::start().await else { return };
    let (_setup, _portal, shown) = among_hostile_words("").await;
    browser.open(with_token(&shown).as_str()).await;
    assert_seen(&browser, "body", &["healthy", "10 deliveries in all"]).await;
    let page = browser.ask("return document.documentElement.outerHTML", Value::Null).await;
    for word in ["owned", "evil.example", "gnp.exe", "AAAA"] {
        assert!(!page.as_str().unwrap().contains(word), "{word} in {page}");
    }
    let heading = "return document.querySelector('#events').checkVisibility()";
    assert_eq!(browser.ask(heading, Value::Null).await, json!(false), "{page}");
    assert_inert(&browser).await;
}

#[tokio::test]
async fn a_look_tells_that_all_is_healthy() {
    let Some(browser) = Browser::start().await else { return };
    let (portal, _receiver, setup) = world().await;
    portal.record(1, 3).await;
    let setup = setup.with_file();
    let shown = Shown::start(&setup).await;
    until("all is delivered", async || shown.text("").await.1.contains("6 deliveries in all")).await;
    browser.resize(1280, 800).await;
    browser.open(shown.base.as_str()).await;
    let identity = format!("{}/user/1", portal.sandbox.address());
    assert_seen(&browser, "header, .verdict", &["Sources: 1, Sinks: 2", "healthy"]).await;
    let tiles = ["Events per minute", "6 deliveries in all", "Oldest pending", "nothing waits"];
    assert_seen(&browser, ".tile", &tiles).await;
    assert_seen(&browser, ".tile", &["Lost or expiring", "least time left: ", "Rejected", "dead letters: 0"])
        .await;
    let facts =
        ["support", "polling", &identity, "Last poll", " ago", "Lag", " s", "Retention left", "Journal"];
    assert_seen(&browser, "table", &facts).await;
    let facts = ["archive", "crm", "flowing", "Delivered", "Left out", "Pending", "Dead letters"];
    assert_seen(&browser, ".card", &facts).await;
    assert_seen(&browser, ".card", &["Rate", "Latency", "p50", "p99", " ago", "now", "0"]).await;
    let configuration = setup.path("b24relay.toml").canonicalize().unwrap().display().to_string();
    let process = format!("process {}", shown.relay.id());
    assert_seen(&browser, "footer", &[env!("CARGO_PKG_VERSION"), "Running for", &process, &configuration])
        .await;
    assert_seen(&browser, "section", &["None since the start."]).await;
    assert_fits_and_reads(&browser, "flowing").await;
    assert_inert(&browser).await;
}

#[tokio::test]
async fn a_sink_in_trouble_is_told_in_words() {
    let Some(browser) = Browser::start().await else { return };
    let (portal, receiver, setup) = world().await;
    let setup = setup.with("[delivery]\nhold = \"0s\"").with_file();
    receiver.answer_always(Some(503));
    portal.record(1, 1234).await;
    let shown = Shown::start(&setup).await;
    until("it is in trouble", async || {
        let (_, page) = shown.text("").await;
        ["degraded: retrying", "1,234 deliveries in all", "answered 503"]
            .iter()
            .all(|word| page.contains(word))
    })
    .await;
    browser.open(shown.base.as_str()).await;
    assert_eq!(title(&browser).await, "degraded: retrying - b24relay");
    assert_seen(
        &browser,
        ".verdict",
        &["degraded: retrying", " is retrying for ", "answered 503", "b24relay check"],
    )
    .await;
    assert_seen(&browser, ".card", &["retrying", "next attempt in", "answered 503"]).await;
    assert_seen(&browser, ".log", &["warning", "answered 503"]).await;
    // Delivered to the file, and waiting for the receiver.
    let waiting =
        "return [...document.querySelectorAll('.card')].map(lane => lane.querySelector('h3').innerText
        + lane.querySelector('.state').innerText + [...lane.querySelectorAll('dd')].map(dd => dd.innerText))";
    let lanes = browser.ask(waiting, Value::Null).await;
    let lanes: Vec<&str> = lanes.as_array().unwrap().iter().map(|lane| lane.as_str().unwrap()).collect();
    assert!(lanes[0].starts_with("crmretrying for ") && lanes[0].ends_with(" s0,0,1,234,0"), "{lanes:?}");
    assert_eq!(lanes[1], "archiveflowing1,234,0,0,0", "the worst one is the first");
    assert_fits_and_reads(&browser, "retrying").await;

    receiver.answer_always(Some(401));
    shown.relay.signal(Signal::HUP);
    until("it is held", async || shown.text("").await.1.contains("action required")).await;
    browser.open(shown.base.as_str()).await;
    assert_eq!(title(&browser).await, "action required - b24relay");
    assert_seen(&browser, ".verdict", &["action required", " is held since ", "answered 401"]).await;
    assert_seen(&browser, ".card", &["held", "next attempt in", "answered 401"]).await;
    assert_seen(&browser, ".log", &["error", "answered 401"]).await;
    assert_fits_and_reads(&browser, "held").await;
    assert_inert(&browser).await;
}

#[tokio::test]
async fn a_refused_source_is_told_in_words_whatever_the_portal_says() {
    // Markup is removed from a portal's texts; character references of HTML are shown as text.
    const SAID: &str =
        "<br>&lt;script&gt;document.title='owned'&lt;/script&gt;&lt;img src=x&gt; \u{202e}`no`";
    const SHOWN: &str = "<script>document.title='owned'</script><img src=x> no";
    let Some(browser) = Browser::start().await else { return };
    let (portal, _receiver, setup) = world().await;
    let shown = Shown::start(&setup).await;
    until("it flows", async || shown.text("readyz").await.0 == StatusCode::OK).await;
    let fault = json!({"kind": "error", "status": 401, "code": "INVALID_CREDENTIALS", "description": SAID, "times": 1000});
    portal.fault(fault).await;
    until("it is refused", async || shown.text("").await.1.contains("action required")).await;
    browser.open(shown.base.as_str()).await;
    assert_eq!(title(&browser).await, "action required - b24relay");
    assert_seen(&browser, ".verdict", &["action required", "INVALID_CREDENTIALS", SHOWN]).await;
    assert_seen(&browser, "table", &["refused", "INVALID_CREDENTIALS", SHOWN]).await;
    assert_seen(&browser, ".card", &["crm", "idle: source refused", "no event yet"]).await;
    assert_seen(&browser, ".log", &["error", "INVALID_CREDENTIALS", SHOWN]).await;
    assert_fits_and_reads(&browser, "refused").await;
    assert_inert(&browser).await;
}

#[tokio::test]
async fn the_page_is_whole_without_scripts() {
    let Some(browser) = Browser::start().await else { return };
    let (portal, _receiver, setup) = world().await;
    portal.record(1, 3).await;
    let shown = Shown::start(&setup).await;
    until("all is delivered", async || shown.text("").await.1.contains("3 deliveries in all")).await;
    browser.open(shown.base.as_str()).await;
    let with_scripts = browser.ask(NUMBERS, Value::Null).await;
    assert!(with_scripts.as_array().unwrap().contains(&json!("Sources: 1, Sinks: 1")), "{with_scripts}");
    browser.devtools("Emulation.setScriptExecutionDisabled", json!({"value": true})).await;
    browser.open(&format!("data:text/html,<title>mine</title>{}", hostile()[1].0)).await;
    assert_eq!(title(&browser).await, "mine", "no page's script is carried out any more");
    browser.open(shown.base.as_str()).await;
    assert_eq!(browser.ask(NUMBERS, Value::Null).await, with_scripts);
    assert_seen(&browser, "table, .card", &["support", "polling", "crm", "flowing", "Delivered", "3"]).await;
    assert_fits_and_reads(&browser, "scriptless").await;
}

#[tokio::test]
async fn the_page_asks_for_the_token_and_opens_with_it() {
    let Some(browser) = Browser::start().await else { return };
    let (_portal, _receiver, setup) = world().await;
    let setup = setup.with(&format!("token = \"{TOKEN}\""));
    let shown = Shown::start(&setup).await;
    let mut url = shown.base.clone();
    url.set_username("anybody").unwrap();
    url.set_password(Some("0123456789abcdef-wrong")).unwrap();
    // Here a browser asks its user for a password. In the test, nothing answers.
    for refused in [&shown.base, &url] {
        browser.open(refused.as_str()).await;
        let complaints = browser.console().await;
        assert!(complaints[0]["message"].as_str().unwrap().contains("status of 401"), "{complaints:?}");
        let page = browser.ask("return document.documentElement.outerHTML", Value::Null).await;
        assert!(!page.as_str().unwrap().contains("support"), "{page}");
    }
    url.set_password(Some(TOKEN)).unwrap();
    browser.open(url.as_str()).await;
    assert_seen(&browser, "body", &["healthy", "support", "crm"]).await;
    // The style sheet also needs the token.
    assert_inert(&browser).await;
    assert_fits_and_reads(&browser, "token").await;
}
