//! Receivers that break the rules of HTTP: no event is lost, none is sent more often than necessary, no lane hangs, and
//! `status` names the cause.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::support::expected::ledger::assert_exactly_once;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::Relay;
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;
use crate::support::receivers::misbehaving_receiver::{End, MisbehavingReceiver, Misdeed};

const OK: &str = "HTTP/1.1 200 OK\r\n";

/// A relay and its receiver, with one misbehaviour after another.
struct Ordeal {
    portal: Portal,
    misbehaving: MisbehavingReceiver,
    setup: Setup,
    relay: Relay,
}

impl Ordeal {
    async fn begin() -> Self {
        let (portal, misbehaving) = (Portal::start().await, MisbehavingReceiver::start().await);
        let sink = format!(
            "[sinks.crm]\ntype = \"webhook\"\nurl = \"{}\"\ntimeout = \"1s\"\nretry = {{ min = \"10ms\", max = \"100ms\" }}",
            misbehaving.url()
        );
        let setup = Setup::new().with_source(&portal).with(&sink);
        let relay = setup.run();
        Self { portal, misbehaving, setup, relay }
    }

    /// Records an event that is answered with `misdeed`.
    async fn provoke(&self, misdeed: Misdeed) -> u64 {
        self.misbehaving.misbehave(Some(misdeed));
        self.portal.record(1, 1).await;
        *self.portal.ids(1).await.last().unwrap()
    }

    async fn until_settled(&self, id: u64, why: &str) {
        until(&format!("the event is settled in spite of {why}"), async || {
            self.setup.committed_offset("support", "crm") > id
        })
        .await;
    }

    /// The head was correct, so the event is delivered, whatever happens to the rest.
    async fn delivers(&self, why: &str, misdeed: Misdeed) {
        let id = self.provoke(misdeed).await;
        self.until_settled(id, why).await;
        assert_eq!(self.misbehaving.requests_of(id), 1, "{why}");
        assert_eq!(self.setup.lane_of("crm").await["trouble"], "", "{why}");
    }

    /// There is no result, or the receiver asks to wait: the event waits, in a lane in `state` with the error `words`.
    async fn waits(&self, why: &str, misdeed: Misdeed, state: &str, words: &str) {
        let id = self.provoke(misdeed).await;
        let mut lane = Value::Null;
        until(&format!("{state} because of `{words}` after {why}"), async || {
            lane = self.setup.lane_of("crm").await;
            lane["state"] == state && lane["trouble"].as_str().is_some_and(|trouble| trouble.contains(words))
        })
        .await;
        assert!(self.setup.committed_offset("support", "crm") <= id, "{why}: {lane}");
        self.misbehaving.misbehave(None);
        self.until_settled(id, why).await;
        let requests = self.misbehaving.requests();
        let good = requests.iter().filter(|request| **request == (id, true)).count();
        assert_eq!((good, requests.last()), (1, Some(&(id, true))), "{why}");
    }

    async fn end(mut self) {
        let recorded = self.portal.ids(1).await;
        let lane = self.setup.lane_of("crm").await;
        assert_eq!(lane["delivered"].as_u64(), Some(recorded.len() as u64), "{lane}");
        let mut arrived: Vec<u64> = self.misbehaving.requests().into_iter().map(|(id, _)| id).collect();
        assert!(arrived.is_sorted(), "out of order");
        arrived.dedup();
        assert_exactly_once(&arrived, &recorded);
        assert_eq!(self.relay.stop().await, 0, "{}", self.relay.log());
    }
}

fn ok(headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    [format!("{OK}{headers}\r\n").as_bytes(), body.as_ref()].concat()
}

/// 64 MiB of zeros, compressed to 64 KiB.
fn bomb() -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let zeros = vec![0; 1 << 20];
    for _ in 0..64 {
        encoder.write_all(&zeros).unwrap();
    }
    encoder.finish().unwrap()
}

#[tokio::test]
async fn what_follows_a_good_head_changes_nothing() {
    let ordeal = Ordeal::begin().await;
    let gzip = "Content-Encoding: gzip\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n";
    let bomb = bomb();
    let bombed = ok(&format!("{gzip}Content-Length: {}\r\n", bomb.len()), &bomb);
    let hints = format!(
        "HTTP/1.1 100 Continue\r\n\r\n{}{OK}Content-Length: 0\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(20)
    );
    for (why, misdeed) in [
        ("a body that drips for ever", Misdeed::new(ok("", ""), End::Drip(b"x"))),
        ("chunks that drip for ever", Misdeed::new(ok(chunked, ""), End::Drip(b"1\r\nx\r\n"))),
        ("a body without an end", Misdeed::new(ok("", ""), End::Flood(&[b'x'; 4096]))),
        ("a body that never begins", Misdeed::new(ok("Content-Length: 10\r\n", ""), End::Silence)),
        (
            "a body that is shorter than announced",
            Misdeed::new(ok("Content-Length: 1000\r\n", "short"), End::Close),
        ),
        (
            "a body that is longer than announced",
            Misdeed::new(ok("Content-Length: 2\r\n", "much too long"), End::Close),
        ),
        ("an absurd length", Misdeed::new(ok("Content-Length: 18446744073709551000\r\n", "x"), End::Close)),
        ("chunks that are none", Misdeed::new(ok(chunked, "zebra\r\nhello"), End::Silence)),
        ("a chunk without an end", Misdeed::new(ok(chunked, "fffffff\r\n"), End::Flood(&[b'x'; 4096]))),
        ("a reset in the body", Misdeed::new(ok("Content-Length: 1000\r\n", "short"), End::Reset)),
        ("a gzip bomb", Misdeed::new(bombed, End::Close)),
        ("gzip that is none", Misdeed::new(ok(&format!("{gzip}Content-Length: 4\r\n"), "nope"), End::Close)),
        ("HTTP/1.0 without a length", Misdeed::new("HTTP/1.0 200 OK\r\n\r\nfine", End::Close)),
        ("HTTP/1.0 that stays open", Misdeed::new("HTTP/1.0 200 OK\r\n\r\nfine", End::Silence)),
        ("a half-closed connection", Misdeed::new(ok("Content-Length: 2\r\n", "ok"), End::HalfClose)),
        (
            "an error in words alone",
            Misdeed::new(ok("Content-Length: 15\r\n", "{\"error\":\"no!\"}"), End::Close),
        ),
        ("hints before it", Misdeed::new(hints, End::Close)),
    ] {
        ordeal.delivers(why, misdeed).await;
    }
    until("nobody is left to be fed", async || ordeal.misbehaving.given_up() == 4).await;
    ordeal.misbehaving.misbehave(None);
    ordeal.end().await;
}

#[tokio::test]
async fn an_answer_before_the_request_is_whole_counts() {
    let ordeal = Ordeal::begin().await;
    ordeal.misbehaving.misbehave(Some(Misdeed::early(ok("Content-Length: 0\r\n", ""), End::Close)));
    let text = "long ".repeat(60_000);
    ordeal.portal.record_as(json!({"user": 1, "count": 1, "data": {"text": text}})).await;
    let id = ordeal.portal.ids(1).await[0];
    ordeal.until_settled(id, "an early answer").await;
    assert_eq!(ordeal.misbehaving.requests_of(id), 1);
    ordeal.misbehaving.misbehave(None);
    ordeal.end().await;
}

#[tokio::test]
async fn without_a_head_the_event_is_sent_again() {
    let ordeal = Ordeal::begin().await;
    let late = "no whole answer in time";
    let none = "no answer";
    for (why, misdeed, words) in [
        ("silence", Misdeed::new("", End::Silence), late),
        (
            "a head that drips",
            Misdeed::new("", End::Drip(b"HTTP/1.1 200 OK\r\nX-A: b\r\nX-C: dddddddddddddd")),
            late,
        ),
        ("half a head", Misdeed::new(OK, End::Silence), late),
        ("hints without an end", Misdeed::new("", End::Drip(b"HTTP/1.1 103 Early Hints\r\n\r\n")), late),
        ("a flood of hints", Misdeed::new("", End::Flood(b"HTTP/1.1 100 Continue\r\n\r\n")), late),
        ("a head without an end", Misdeed::new(OK, End::Flood(b"X-Header: and so on and on\r\n")), none),
        (
            "one header without an end",
            Misdeed::new(format!("{OK}X-Header: "), End::Flood(&[b'x'; 4096])),
            none,
        ),
        ("nothing at all", Misdeed::new("", End::Close), none),
        ("a reset", Misdeed::new("", End::Reset), none),
        ("a reset in the head", Misdeed::new(format!("{OK}Content-Le"), End::Reset), none),
        ("half a head and a close", Misdeed::new(format!("{OK}Content-Le"), End::Close), none),
        ("a half-closed connection", Misdeed::new("", End::HalfClose), none),
        ("another protocol", Misdeed::new("SSH-2.0-OpenSSH_9.9\r\n", End::Silence), none),
        ("bytes", Misdeed::new([0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x46], End::Close), none),
        (
            "two lengths",
            Misdeed::new(ok("Content-Length: 1\r\nContent-Length: 2\r\n", "xx"), End::Close),
            none,
        ),
        ("a status that is none", Misdeed::new("HTTP/1.1 20x OK\r\n\r\n", End::Close), none),
    ] {
        ordeal.waits(why, misdeed, "retrying", words).await;
    }
    ordeal.end().await;
}

#[tokio::test]
async fn a_refusal_stands_whatever_follows_it() {
    let ordeal = Ordeal::begin().await;
    let address = ordeal.misbehaving.address;
    let circle =
        format!("HTTP/1.1 302 Found\r\nLocation: http://{address}/hooks/b24\r\nContent-Length: 0\r\n\r\n");
    for (why, misdeed, state, words) in [
        (
            "no patience",
            Misdeed::new("HTTP/1.1 429 Slow Down\r\nRetry-After: soon\r\n\r\n", End::Drip(b"x")),
            "retrying",
            "answered 429",
        ),
        (
            "a broken refusal",
            Misdeed::new("HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\n", End::Reset),
            "retrying",
            "answered 503",
        ),
        ("a redirect in a circle", Misdeed::new(circle, End::Close), "held", "redirects are not followed"),
        (
            "no right, for ever",
            Misdeed::new("HTTP/1.1 401 No\r\n\r\n", End::Flood(&[b'x'; 4096])),
            "held",
            "answered 401",
        ),
        (
            "a change of protocol",
            Misdeed::new(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
                End::Silence,
            ),
            "held",
            "answered 101",
        ),
        (
            "a status of another world",
            Misdeed::new("HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n", End::Close),
            "held",
            "answered 999",
        ),
    ] {
        ordeal.waits(why, misdeed, state, words).await;
    }
    ordeal.end().await;
}

#[tokio::test]
async fn a_rejection_is_kept_with_the_words_that_came_in_time() {
    let ordeal = Ordeal::begin().await;
    let head = "HTTP/1.1 422 No\r\nContent-Length: 1000\r\n\r\nthe field `date` is wrong ";
    let id = ordeal.provoke(Misdeed::new(head, End::Drip(b"so "))).await;
    ordeal.until_settled(id, "words that drip").await;
    assert_eq!(ordeal.misbehaving.requests_of(id), 3);
    let letters = ordeal.setup.letters(&[]).await;
    assert_eq!((letters.len(), &letters[0]["status"]), (1, &json!(422)));
    let number = letters[0]["number"].to_string();
    let shown =
        crate::support::process::relay::finished(&["dead-letters", "show", &number], ordeal.setup.folder())
            .await;
    let shown = crate::support::process::relay::stdout(&shown);
    assert!(shown.contains("the field `date` is wrong so "), "{shown}");
}
