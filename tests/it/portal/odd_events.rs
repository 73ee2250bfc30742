//! An unreadable event stops its source with an error and affects nothing else: earlier events are delivered, no later
//! event is confirmed, and only a command of the operator skips it.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::routing::post;
use jiff::Timestamp;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::portal::logins::is_parked;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, code, finished, stderr, stdout};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;

/// A portal with one user, whose events can be any bytes.
#[derive(Clone, Default)]
struct Queue(Arc<Mutex<Shown>>);

#[derive(Default)]
struct Shown {
    events: Vec<(u64, Vec<u8>)>,
    /// The highest requested offset.
    offset: u64,
}

fn good(id: u64) -> (u64, Vec<u8>) {
    // The current time, because an older event would be reported as a gap in the portal's queue.
    let date = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string();
    let event = json!({"eventId": id, "type": "ONIMV2MESSAGEADD", "date": date, "data": {}});
    (id, event.to_string().into_bytes())
}

impl Queue {
    /// A queue with these good events, and its webhook.
    async fn open(ids: impl IntoIterator<Item = u64>) -> (Self, String) {
        let queue = Self::default();
        ids.into_iter().for_each(|id| queue.put(good(id)));
        let router =
            Router::new().route("/rest/1/a1b2c3d4e5/{method}", post(answer)).with_state(queue.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/rest/1/a1b2c3d4e5/", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (queue, url)
    }

    fn put(&self, (id, bytes): (u64, impl Into<Vec<u8>>)) {
        let events = &mut self.0.lock().unwrap().events;
        events.retain(|(other, _)| *other != id);
        events.push((id, bytes.into()));
        events.sort_by_key(|(id, _)| *id);
    }

    fn offset(&self) -> u64 {
        self.0.lock().unwrap().offset
    }

    fn page(&self, request: &Value) -> Vec<u8> {
        let shown = &mut self.0.lock().unwrap();
        let offset = request["offset"].as_u64().unwrap();
        shown.offset = shown.offset.max(offset);
        shown.events.retain(|(id, _)| *id >= offset);
        let events: Vec<&[u8]> = shown.events.iter().map(|(_, bytes)| &bytes[..]).collect();
        [br#"{"result":{"events":["#, &events.join(&b',')[..], br#"],"hasMore":false}}"#].concat()
    }
}

async fn answer(Path(method): Path<String>, State(queue): State<Queue>, body: Bytes) -> Vec<u8> {
    match method.as_str() {
        "im.v2.Event.get" => queue.page(&serde_json::from_slice(&body).unwrap()),
        "profile" => br#"{"result":{"ID":"1"}}"#.to_vec(),
        _ => br#"{"result":true}"#.to_vec(),
    }
}

fn setup(url: &str, lag: &str) -> Setup {
    let poll = "poll = { idle = \"20ms\", busy = \"0s\", timeout = \"5s\" }";
    let source = format!("[sources.support]\nwebhook_url = \"{url}\"\nconfirm_lag = \"{lag}\"\n{poll}");
    let address = url.split('/').nth(2).unwrap().parse().unwrap();
    Setup::new().with_unlimited_at(address).with(&source).with_file()
}

/// Sends SIGHUP until the source reports that an operator must act.
async fn until_a_person_is_called(relay: &Relay, words: &str) {
    // Before this line, a signal ends the process.
    relay.until_logged("source started").await;
    until(&format!("a person is called with `{words}`: {}", relay.log()), async || {
        relay.signal(Signal::HUP);
        relay.log().lines().any(|line| is_parked(line) && line.contains(words))
    })
    .await;
}

/// Sends SIGHUP until the events read so far are confirmed below `offset`. A poll within `confirm_lag` confirms nothing
/// yet, and a parked source polls less and less often on its own.
async fn until_confirmed(relay: &Relay, queue: &Queue, offset: u64) {
    until(&format!("what lies before {offset} is forgotten: {}", relay.log()), async || {
        relay.signal(Signal::HUP);
        queue.offset() == offset
    })
    .await;
}

async fn until_filed(setup: &Setup, ids: &[u64]) {
    until(&format!("{ids:?} are filed"), async || setup.filed_count() >= ids.len()).await;
    assert_eq!(setup.filed_ids(), ids);
}

async fn skip(setup: &Setup, args: &str) -> (i32, String) {
    let args: Vec<&str> = ["offset", "skip", "support"].into_iter().chain(args.split(' ')).collect();
    let skipped = finished(&args, setup.folder()).await;
    (code(&skipped), stdout(&skipped) + &stderr(&skipped))
}

#[tokio::test]
async fn what_lies_before_an_odd_event_is_delivered_and_what_heals_goes_on_by_itself() {
    for (odd, reason) in [
        (&b"null"[..], "there is `null` in place of an event"),
        (b"{\"type\":\"A\",\"data\":{}}", "an event has no `eventId`"),
        (b"{\"eventId\":3.0,\"data\":{}}", "is not a whole number above 0"),
        (b"{\"eventId\":3,\"data\":{\"text\":\"s3cret\xd0\"}}", "the event 3 is not valid UTF-8"),
    ] {
        let (queue, url) = Queue::open([1, 2, 4, 5]).await;
        queue.put((3, odd));
        let setup = setup(&url, "50ms");
        let mut relay = setup.run();
        until_a_person_is_called(&relay, reason).await;
        let log = relay.log();
        for words in ["after event 2, before event 4", "offset skip support --after 2 --before 4", "bytes "] {
            assert!(log.contains(words), "no `{words}` in:\n{log}");
        }
        assert!(!log.contains("s3cret"), "{log}");
        assert_eq!(setup.filed_ids(), [1, 2]);
        until("status says so", async || {
            let trouble = setup.status_of("support").await["trouble"].as_str().unwrap_or_default().to_owned();
            trouble.contains(reason) && trouble.contains("--after 2 --before 4")
        })
        .await;
        until_confirmed(&relay, &queue, 3).await;

        queue.put(good(3));
        relay.signal(Signal::HUP);
        until_filed(&setup, &[1, 2, 3, 4, 5]).await;
        until("nothing is wrong any more", async || setup.status_of("support").await["trouble"] == "").await;
        assert_eq!(relay.stop().await, 0, "{}", relay.log());
    }
}

#[tokio::test]
async fn a_skip_passes_what_a_person_has_named_and_nothing_else() {
    let (queue, url) = Queue::open([1, 2, 5, 6, 8]).await;
    (3..5).for_each(|id| queue.put((id, "null")));
    queue.put((7, "null"));
    let setup = setup(&url, "50ms").with("[delivery]\ngap_events = true");
    let mut relay = setup.run();
    until_a_person_is_called(&relay, "--after 2 --before 5 --count 2").await;
    for wrong in [
        "--after 2 --before 5 --yes",
        "--after 1 --before 5 --count 2 --yes",
        "--after 2 --before 6 --count 2 --yes",
        "--after 5 --before 2 --count 2 --yes",
        "--after 2 --before 8 --count 3 --yes",
        "--after 2 --before 5 --count 2",
        "--after 2 --yes",
    ] {
        let (code, said) = skip(&setup, wrong).await;
        assert_eq!(code, 64, "{wrong}: {said}");
    }
    let (code, said) = skip(&setup, "--after 2 --before 5 --count 2 --dry-run").await;
    assert!(code == 0 && said.contains("dry run"), "{said}");
    assert_eq!(setup.status_of("support").await["gaps"], json!([]), "nothing has changed yet");

    // Earlier events are confirmed by now, so the portal shows none before the unreadable one.
    until_confirmed(&relay, &queue, 3).await;
    for _ in 0..2 {
        let (code, said) = skip(&setup, "--after 2 --before 5 --count 2 --yes").await;
        assert_eq!(code, 0, "{said}");
    }
    // Without a signal, because the source checks for a skip regularly.
    until("what follows is filed", async || setup.filed_count() == 5).await;
    relay.until_logged("skipping events that cannot be read").await;
    until_a_person_is_called(&relay, "--after 6 --before 8").await;
    let status = setup.status_of("support").await;
    let gaps = status["gaps"].as_array().unwrap();
    assert_eq!(gaps.len(), 1, "{status}");
    assert_eq!([&gaps[0]["skipped"]["after"], &gaps[0]["skipped"]["before"]], [2, 5], "{status}");
    let shown = stdout(&finished(&["status"], setup.folder()).await);
    assert!(
        shown.contains("2 unreadable events after event 2 and before event 5: skipped by a person"),
        "{shown}"
    );
    let filed = std::fs::read_to_string(setup.path("events.jsonl")).unwrap();
    let kinds: Vec<Value> = filed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<(&str, u64)> = kinds
        .iter()
        .map(|event| (event["type"].as_str().unwrap(), event["eventId"].as_u64().unwrap()))
        .collect();
    let message = |id| ("ONIMV2MESSAGEADD", id);
    assert_eq!(kinds, [message(1), message(2), ("B24RELAY_GAP", 1), message(5), message(6)]);
    assert!(queue.offset() <= 7, "the next odd event is not confirmed");
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
}

#[tokio::test]
async fn a_skip_outlives_restarts_and_ends_when_the_offset_is_set() {
    let (queue, url) = Queue::open([1, 3]).await;
    queue.put((2, "{\"eventId\":\"two\"}"));
    let setup = setup(&url, "60s");
    let (code, said) = skip(&setup, "--after 1 --before 3 --yes").await;
    assert!(code != 0 && !setup.path("b24relay.db").exists(), "before the first run: {said}");
    let mut relay = setup.run();
    until_filed(&setup, &[1]).await;
    relay.kill();
    let (code, said) = skip(&setup, "--after 1 --before 3 --yes").await;
    assert_eq!(code, 0, "{said}");
    for count in 1..=2 {
        let mut relay = setup.run();
        until_filed(&setup, &[1, 3]).await;
        // All runs append to one log.
        until("it is skipped", async || {
            relay.log().matches("skipping events that cannot be read").count() == count
        })
        .await;
        relay.kill();
    }
    assert!(queue.offset() <= 1, "nothing is confirmed within the lag");
    let set = finished(&["offset", "set", "support", "1"], setup.folder()).await;
    assert!(set.status.success(), "{}", stderr(&set));
    let relay = setup.run();
    until("it has started again", async || relay.log().matches("source started").count() == 4).await;
    until_a_person_is_called(&relay, "--after 1 --before 3").await;
}

#[tokio::test]
async fn text_around_the_json_calls_a_person_with_the_cure_and_shows_nothing_of_it() {
    let portal = Portal::start().await;
    portal.record(1, 3).await;
    let setup = Setup::new().with_source(&portal).with_file();
    let mut relay = setup.run();
    until_filed(&setup, &portal.ids(1).await).await;
    let body =
        "Warning: Undefined variable $s3cret in /home/x.php\n{\"result\":{\"events\":[]}}<!-- cached -->";
    portal
        .fault(json!({"kind": "raw", "status": 200, "content_type": "text/html", "body": body, "times": 1_000_000}))
        .await;
    portal.record(1, 3).await;
    until_a_person_is_called(&relay, "turn off `display_errors` on the portal").await;
    let place = body.find('{').unwrap();
    let evidence = format!(
        "an answer with text around the JSON (HTTP 200); content type text/html, coding none, {} bytes, JSON from byte {place} to byte {}",
        body.len(),
        place + "{\"result\":{\"events\":[]}}".len()
    );
    let log = relay.log();
    assert!(log.contains(&evidence) && !log.contains("s3cret"), "{log}");
    assert_eq!(setup.filed_count(), 3, "nothing is guessed");
    portal.control(reqwest::Method::DELETE, "faults", Value::Null).await;
    relay.signal(Signal::HUP);
    until_filed(&setup, &portal.ids(1).await).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
}
