//! G1 under all faults of PORTAL.md 9.2 that need no OAuth.

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use crate::support::expected::ledger::assert_exactly_once;
use crate::support::portal::logins::is_parked;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::Relay;
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;

/// A relay that meets one fault after another, and the portal that produces them.
struct Ordeal {
    portal: Portal,
    setup: Setup,
    relay: Relay,
}

impl Ordeal {
    async fn begin() -> Self {
        let portal = Portal::start().await;
        let url = portal.webhook_url(1);
        let poll = r#"poll = { idle = "20ms", busy = "0s", limit = 50, timeout = "1s" }"#;
        let setup = Setup::new()
            .with_unlimited(&portal)
            .with(&format!("[sources.support]\nwebhook_url = \"{url}\"\n{poll}"))
            .with_file();
        let relay = setup.run();
        // If it were refused before its first success, it would exit.
        until("the relay is let in", async || portal.polls().await > 0).await;
        Self { portal, setup, relay }
    }

    /// Applies `fault` to a poll that would return events, and waits until the events are delivered.
    async fn survives(&self, fault: Value) {
        self.throw(&fault).await;
        self.until_all_filed(&fault.to_string()).await;
        self.until_thrown(&fault).await;
    }

    /// Ten events, and a fault for the poll that reads them. The relay is stopped in the meantime.
    async fn throw(&self, fault: &Value) {
        self.relay.signal(Signal::STOP);
        self.portal.record(1, 10).await;
        self.portal.fault(fault.clone()).await;
        self.relay.signal(Signal::CONT);
    }

    /// Waits until the script is used up, so that no fault remains for the next round.
    async fn until_thrown(&self, fault: &Value) {
        until(&format!("{fault} was thrown"), async || self.portal.faults_left().await == 0).await;
    }

    /// Like [`Ordeal::survives`], for a fault that needs an operator. The fault is removed, and SIGHUP tells the relay
    /// so.
    async fn is_parked_by(&self, fault: Value, words: &str) {
        let parked = || self.relay.log().lines().filter(|line| is_parked(line)).count();
        let before = parked();
        self.throw(&fault).await;
        until(&format!("parked by {fault}"), async || parked() > before).await;
        assert!(self.relay.log().contains(words), "no `{words}` in:\n{}", self.relay.log());
        self.relay.signal(Signal::HUP);
        self.until_all_filed(&fault.to_string()).await;
    }

    async fn until_all_filed(&self, why: &str) {
        let recorded = self.portal.ids(1).await;
        until(&format!("everything filed after {why}"), async || self.setup.filed_count() >= recorded.len())
            .await;
    }

    async fn end(mut self) {
        let stats = self.portal.stats(1).await;
        assert_eq!(stats["confirmed_unserved"], 0, "{stats}");
        assert_exactly_once(&self.setup.filed_ids(), &self.portal.ids(1).await);
        assert_eq!(self.relay.stop().await, 0);
    }
}

#[tokio::test]
async fn answers_that_never_arrive_whole_cost_nothing() {
    let ordeal = Ordeal::begin().await;
    for fault in [
        json!({"kind": "close_before"}),
        json!({"kind": "close_after"}),
        json!({"kind": "truncate", "at": 0.01}),
        json!({"kind": "truncate", "at": 0.3}),
        json!({"kind": "truncate", "at": 0.77}),
        json!({"kind": "truncate", "at": 0.999}),
        json!({"kind": "wrong_length"}),
        json!({"kind": "gzip_cut"}),
        json!({"kind": "stall", "seconds": 2}),
        json!({"kind": "drip", "bytes_per_second": 200}),
        json!({"kind": "empty", "status": 200}),
        json!({"kind": "raw", "status": 200, "content_type": "application/json", "body": "{\"result\":{\"events\":[{\"eventId\":"}),
    ] {
        ordeal.survives(fault).await;
    }
    ordeal.end().await;
}

#[tokio::test]
async fn refusals_that_pass_are_waited_out() {
    let ordeal = Ordeal::begin().await;
    for (status, code) in [
        (503, json!("QUERY_LIMIT_EXCEEDED")),
        (429, json!("query_limit_exceeded")),
        (401, json!("CONNECTION_ERROR")),
        (500, json!("INTERNAL_SERVER_ERROR")),
        (200, json!("ERROR_UNEXPECTED_ANSWER")),
        (200, json!("WRONG_ENCODING")),
        (500, json!("ERROR_CORE")),
        (400, json!("")),
        (400, json!("0")),
        (400, json!(0)),
        (400, json!("100")),
        (400, json!({"code": "SOMETHING_NEW", "message": "not seen before"})),
        (500, json!("SOMETHING_NEW")),
    ] {
        ordeal.survives(json!({"kind": "error", "status": status, "code": code})).await;
    }
    for status in [500, 502, 503, 504, 200] {
        ordeal.survives(json!({"kind": "html", "status": status})).await;
    }
    for body in ["[]", "null", "{}", "{\"result\":null}", "{\"result\":[]}", "{\"result\":{\"events\":null}}"]
    {
        let raw = json!({"kind": "raw", "status": 200, "content_type": "application/json", "body": body});
        ordeal.survives(raw).await;
    }
    assert!(!ordeal.relay.log().contains(" ERROR "), "{}", ordeal.relay.log());
    ordeal.end().await;
}

#[tokio::test]
async fn refusals_that_need_a_person_park_the_source_until_it_heals() {
    let ordeal = Ordeal::begin().await;
    for (status, code, words) in [
        (401, "INVALID_CREDENTIALS", "create the incoming webhook again"),
        (401, "insufficient_scope", "tick the scopes"),
        (401, "expired_token", "create the incoming webhook again"),
        (401, "OVERLOAD_LIMIT", "ask its support"),
        (401, "ACCESS_DENIED", "subscription"),
        (403, "PORTAL_DELETED", "closed or gone"),
        (404, "ERROR_METHOD_NOT_FOUND", "tick the scopes it lacks"),
        (401, "INVALID_REQUEST", "https"),
    ] {
        ordeal.is_parked_by(json!({"kind": "error", "status": status, "code": code}), words).await;
    }
    for (status, words) in
        [(401, "firewall"), (403, "firewall"), (404, "a web server or balancer without the portal")]
    {
        ordeal.is_parked_by(json!({"kind": "html", "status": status}), words).await;
    }
    for location in ["http://127.0.0.1:9/login", "https://new.example/rest/1/x/im.v2.Event.get", "/auth/"] {
        let redirect = json!({"kind": "redirect", "status": 302, "location": location});
        ordeal.is_parked_by(redirect, "a redirect to").await;
    }
    ordeal.end().await;
}

#[tokio::test]
async fn a_doubtful_refusal_that_stays_calls_a_person() {
    let ordeal = Ordeal::begin().await;
    let fault = json!({"kind": "error", "status": 400, "code": "NEVER_SEEN", "times": 6});
    ordeal.is_parked_by(fault, "NEVER_SEEN").await;
    ordeal.end().await;
}

#[tokio::test]
async fn an_offset_is_never_taken_from_the_portals_word() {
    let ordeal = Ordeal::begin().await;
    for value in [json!(null), json!(0), json!("0"), json!(-5), json!(999_999_999), json!("x"), json!([])] {
        ordeal.survives(json!({"kind": "rewrite", "pointer": "/result/nextOffset", "value": value})).await;
    }
    ordeal.survives(json!({"kind": "rewrite", "pointer": "/result/nextOffset", "remove": true})).await;
    ordeal.end().await;
}

#[tokio::test]
async fn odd_pages_are_put_in_order() {
    let ordeal = Ordeal::begin().await;
    for fault in [
        json!({"kind": "shuffle"}),
        json!({"kind": "duplicate"}),
        json!({"kind": "rewrite", "pointer": "/result/hasMore", "value": true}),
        json!({"kind": "rewrite", "pointer": "/result/hasMore", "remove": true}),
        json!({"kind": "rewrite", "pointer": "/time", "remove": true}),
        json!({"kind": "rewrite", "pointer": "/time/finish", "value": "noon"}),
        // Invalid ids and implausible ids: no event of that page may count.
        json!({"kind": "rewrite", "pointer": "/result/events/0/eventId", "value": null}),
        json!({"kind": "rewrite", "pointer": "/result/events/0/eventId", "value": -1}),
        json!({"kind": "rewrite", "pointer": "/result/events/0/eventId", "value": 1.5}),
        json!({"kind": "rewrite", "pointer": "/result/events/0/eventId", "value": u64::MAX}),
        json!({"kind": "rewrite", "pointer": "/result/events", "value": {"a": 1}}),
        json!({"kind": "rewrite", "pointer": "/error", "value": "wins over the result"}),
    ] {
        ordeal.survives(fault).await;
    }
    assert!(ordeal.relay.log().contains("wins over the result"), "an error beside a result was not seen");
    // Events without a body, of an unknown type or without a type: they are delivered.
    for edit in [
        json!({"kind": "rewrite", "pointer": "/result/events/0/data", "remove": true}),
        json!({"kind": "rewrite", "pointer": "/result/events/0/type", "value": 7}),
        json!({"kind": "rewrite", "pointer": "/result/events/0/date", "remove": true}),
    ] {
        ordeal.survives(edit).await;
    }
    // The portal promises more events, but there are none.
    let empty = json!({"kind": "rewrite", "pointer": "/result/hasMore", "value": true, "times": 5});
    ordeal.portal.fault(empty.clone()).await;
    ordeal.until_thrown(&empty).await;
    ordeal.survives(json!({"kind": "shuffle"})).await;
    ordeal.end().await;
}

#[tokio::test]
async fn every_dialect_of_the_envelope_is_understood() {
    let ordeal = Ordeal::begin().await;
    for switch in
        ["float_time", "time_as_strings", "bom", "ids_as_strings", "null_next_offset", "legacy_last_event_id"]
    {
        ordeal.portal.post("portal", json!({switch: true})).await;
        ordeal.portal.record(1, 10).await;
        ordeal.until_all_filed(switch).await;
    }
    ordeal.portal.post("portal", json!({"operating": false})).await;
    for next in [1_u64 << 31, 1 << 53, (1 << 62) + 1] {
        ordeal.portal.post("counter", json!({"next": next})).await;
        ordeal.portal.record(1, 10).await;
        ordeal.until_all_filed(&format!("ids from {next}")).await;
    }
    ordeal.end().await;
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_asked_for_in_smaller_parts() {
    let portal = Portal::start().await;
    portal.record_as(json!({"user": 1, "count": 600, "bytes": 65_536})).await;
    let setup = Setup::new().with_source(&portal).with_file();
    let mut relay = setup.run();
    let recorded = portal.ids(1).await;
    until("everything forgotten", async || portal.stats(1).await["pending"] == 0).await;
    relay.until_logged("greater than 16 MiB").await;
    assert_eq!(relay.stop().await, 0);
    assert_exactly_once(&setup.filed_ids(), &recorded);
}

#[tokio::test]
async fn an_answer_without_an_end_is_cut_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer_without_an_end(stream));
        }
    });
    let url = format!("http://{address}/rest/1/a1b2c3d4e5/");
    let setup = Setup::new().with(&format!("[sources.support]\nwebhook_url = \"{url}\"")).with_file();
    let mut relay = setup.run();
    relay.until_logged("greater than 16 MiB").await;
    assert_eq!(relay.stop().await, 0);
}

/// Sends an endless answer to every request, until the client closes the connection.
async fn answer_without_an_end(mut stream: TcpStream) {
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = [b"10000\r\n".as_slice(), &vec![b' '; 0x10000], b"\r\n"].concat();
    let mut sent = stream.write_all(head).await;
    while sent.is_ok() {
        sent = stream.write_all(&chunk).await;
    }
}

#[tokio::test]
async fn a_closed_portal_stops_nobody_for_good() {
    let ordeal = Ordeal::begin().await;
    ordeal.survives(json!({"kind": "duplicate"})).await;
    ordeal.portal.post("portal", json!({"closed": true})).await;
    ordeal.relay.until_logged("closed or gone").await;
    ordeal.portal.record_as(json!({"user": 1, "count": 10, "force": true})).await;
    ordeal.portal.post("portal", json!({"closed": false})).await;
    ordeal.relay.signal(Signal::HUP);
    ordeal.until_all_filed("the portal is back").await;
    ordeal.end().await;
}

#[tokio::test]
async fn what_others_do_to_the_queue_is_survived() {
    let ordeal = Ordeal::begin().await;
    ordeal.survives(json!({"kind": "duplicate"})).await;
    // The user is unsubscribed and subscribed again: events in between were never recorded.
    ordeal.portal.post("users/1", json!({"subscribed": false})).await;
    ordeal.portal.post("events", json!({"user": 1, "count": 5})).await;
    ordeal.portal.post("users/1", json!({"subscribed": true})).await;
    ordeal.survives(json!({"kind": "duplicate"})).await;
    // A second reader that finds nothing does no harm.
    ordeal.portal.post("steal", json!({"user": 1})).await;
    ordeal.survives(json!({"kind": "duplicate"})).await;
    // A day passes without polls, and the portal deletes old events.
    ordeal.portal.post("clock", json!({"advance_s": 90_000})).await;
    ordeal.portal.post("clean", json!({})).await;
    ordeal.survives(json!({"kind": "duplicate"})).await;
    ordeal.end().await;
}
