//! The body and the signature of webhook deliveries, checked with independent libraries for receivers.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cloudevents::binding::http::to_event;
use cloudevents::{AttributesReader as _, Data, Event};
use percent_encoding::percent_decode;
use ring::signature::{ED25519, UnparsedPublicKey};
use rustix::process::Signal;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{code, finished, output, stderr, stdout};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::{Answer, Delivery, Receiver};

const OLD: &str = "whsec_dGhlIG9sZCBzZWNyZXQgb2YgdGhlIHRlc3Rz";
const NEW: &str = "whsec_dGhlIG5ldyBzZWNyZXQgb2YgdGhlIHRlc3Rz";
const FOREIGN: &str = "whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldCBhbGFz";

fn setup(portal: &Portal, receiver: &Receiver, lines: &str) -> Setup {
    Setup::new().with_source(portal).with_receiver(receiver).with(lines)
}

fn verifies(secret: &str, delivery: &Delivery) -> bool {
    Webhook::new(secret).unwrap().verify(&delivery.bytes, &delivery.headers).is_ok()
}

fn header<'d>(delivery: &'d Delivery, name: &str) -> &'d str {
    delivery.headers[name].to_str().unwrap()
}

#[tokio::test]
async fn every_attempt_is_signed_with_every_secret_and_the_time_of_the_attempt() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    portal.record(1, 3).await;
    receiver.script([Answer::StatusWith(503, "retry-after", "2")]);
    let setup = setup(&portal, &receiver, &format!("secrets = [\"{NEW}\", \"{OLD}\"]"));
    let mut relay = setup.run();
    until("three accepted", async || receiver.accepted_ids().len() == 3).await;
    assert_eq!(relay.stop().await, 0);

    let deliveries = receiver.deliveries();
    for delivery in &deliveries {
        assert!(verifies(NEW, delivery) && verifies(OLD, delivery) && !verifies(FOREIGN, delivery));
        let mut forged = delivery.clone();
        forged.bytes = [&delivery.bytes[..], b" "].concat().into();
        assert!(!verifies(NEW, &forged), "a changed body");
        let mut forged = delivery.clone();
        forged.headers.insert("webhook-id", HeaderValue::from_static("b24_0_1"));
        assert!(!verifies(NEW, &forged), "another id");
        // The signature with the newest secret comes first.
        let first = header(delivery, "webhook-signature").split(' ').next().unwrap();
        let mut alone = delivery.clone();
        alone.headers.insert("webhook-signature", first.parse().unwrap());
        assert!(verifies(NEW, &alone) && !verifies(OLD, &alone));
    }
    let [refused, repeated] = &deliveries[..2] else { panic!("{deliveries:?}") };
    assert_eq!(refused.webhook_id, repeated.webhook_id);
    let time = |delivery| header(delivery, "webhook-timestamp").parse::<u64>().unwrap();
    assert!(time(repeated) > time(refused), "the repeated attempt has a time of its own");
}

#[tokio::test]
async fn without_secrets_there_is_no_signature() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    portal.record(1, 1).await;
    let setup = setup(&portal, &receiver, "");
    let mut relay = setup.run();
    until("one accepted", async || receiver.accepted_ids().len() == 1).await;
    assert_eq!(relay.stop().await, 0);
    let delivery = &receiver.deliveries()[0];
    assert!(!delivery.headers.contains_key("webhook-signature"));
    assert!(header(delivery, "webhook-timestamp").parse::<u64>().is_ok());
    assert_eq!(header(delivery, "content-type"), "application/json");
}

#[tokio::test]
async fn a_changed_file_of_secrets_is_taken_up_and_a_wrong_one_changes_nothing() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup = setup(&portal, &receiver, "secrets_file = \"crm.secrets\"");
    let write = |text: &str| {
        std::fs::write(setup.path("new"), text).unwrap();
        std::fs::rename(setup.path("new"), setup.path("crm.secrets")).unwrap();
    };
    let next = async || {
        let count = receiver.count();
        portal.record(1, 1).await;
        until("one more", async || receiver.count() > count).await;
        receiver.deliveries().pop().unwrap()
    };
    write(&format!("{OLD}\n"));
    let mut relay = setup.run();
    let before = next().await;
    assert!(verifies(OLD, &before) && !verifies(NEW, &before));

    write(&format!("{NEW}\n{OLD}\n"));
    until("signed with the new secret as well", async || {
        let delivery = next().await;
        assert!(verifies(OLD, &delivery), "a receiver that knows the old one goes on");
        verifies(NEW, &delivery)
    })
    .await;

    write(&format!("{NEW}\nwhsec_s3cr3tm4rk\n"));
    relay.signal(Signal::HUP);
    until("the wrong file is noticed", async || {
        assert!(verifies(NEW, &next().await));
        relay.log().contains("cannot use the changed file")
    })
    .await;
    for _ in 0..3 {
        relay.signal(Signal::HUP);
        let delivery = next().await;
        assert!(verifies(NEW, &delivery) && verifies(OLD, &delivery));
    }
    let log = relay.log();
    assert_eq!(log.matches("cannot use the changed file").count(), 1, "{log}");
    assert!(
        log.contains("sinks.crm.secrets_file") && log.contains("line 2 of the file must be 24 to 64"),
        "{log}"
    );
    assert!(!log.contains("s3cr3tm4rk") && !log.contains(&NEW[6..]), "{log}");

    write(&format!("{NEW}\n"));
    until("signed with the new secret alone", async || !verifies(OLD, &next().await)).await;
    assert!(verifies(NEW, &next().await));
    assert_eq!(relay.stop().await, 0);
}

#[tokio::test]
async fn a_wrong_secret_ends_check_and_run_with_78() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup = setup(&portal, &receiver, "secrets = [\"whsec_c2hvcnQ=\"]");
    for args in [&["check", "--no-network"][..], &["run"]] {
        let refused = finished(args, setup.folder()).await;
        assert_eq!(code(&refused), 78);
        let said = format!("{}{}", stdout(&refused), stderr(&refused));
        assert!(said.contains("sinks.crm.secrets") && said.contains("b24relay secret new"), "{said}");
        assert!(!said.contains("c2hvcnQ"), "{said}");
    }
}

/// Delivers one event with this payload in `format`, and one without a dialog and of a type unknown to us.
async fn delivered(format: &str, data: &Value) -> (Vec<Delivery>, String) {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    portal.record_as(json!({"user": 1, "count": 1, "data": data})).await;
    portal.record_as(json!({"user": 1, "count": 1, "type": "ONODD", "data": []})).await;
    let answer = portal.raw(1, "im.v2.Event.get?offset=1").await;
    let setup = setup(&portal, &receiver, &format!("format = \"{format}\"\nsecrets = [\"{NEW}\"]"));
    let mut relay = setup.run();
    until("two events", async || receiver.count() == 2).await;
    assert_eq!(relay.stop().await, 0);
    let deliveries = receiver.deliveries();
    assert!(deliveries.iter().all(|delivery| verifies(NEW, delivery)), "{format} is signed");
    (deliveries, answer)
}

fn odd() -> Value {
    json!({"text": "\u{1f600}\u{2028} </b> & р", "number": 1.50, "chat": {"dialogId": "чат 5% \"x\""}, "no": null})
}

/// Removes the percent-encoding of binary mode (HTTP binding 1.0.2, 3.1.3.2), which the library does not decode.
fn decoded(headers: &HeaderMap) -> HeaderMap {
    let decode = |(name, value): (&HeaderName, &HeaderValue)| {
        assert!(value.as_bytes().iter().all(|byte| (0x21..=0x7e).contains(byte)), "{name}: {value:?}");
        let value: Vec<u8> = percent_decode(value.as_bytes()).collect();
        (name.clone(), HeaderValue::from_bytes(&value).unwrap())
    };
    headers.iter().filter(|(name, _)| name.as_str().starts_with("ce-")).map(decode).collect()
}

fn assert_is_the_odd_event(event: &Event, delivery: &Delivery) {
    assert_eq!(event.id(), delivery.webhook_id);
    assert_eq!(event.ty(), "com.bitrix24.ONIMV2MESSAGEADD");
    assert!(event.source().starts_with("https://127.0.0.1:") && event.source().ends_with("/user/1"));
    assert_eq!(event.subject(), Some("чат 5% \"x\""));
    assert_eq!(event.datacontenttype(), Some("application/json"));
    assert!(event.time().is_some());
    assert_eq!(event.extension("b24source").unwrap().to_string(), "support");
    assert!(delivery.webhook_id.ends_with(&format!("_{}", event.extension("b24eventid").unwrap())));
}

fn data_of(event: &Event) -> Value {
    match event.data().unwrap() {
        Data::Json(data) => data.clone(),
        Data::Binary(bytes) => serde_json::from_slice(bytes).unwrap(),
        Data::String(text) => serde_json::from_str(text).unwrap(),
    }
}

#[tokio::test]
async fn raw_is_what_the_portal_sent() {
    let (deliveries, answer) = delivered("raw", &odd()).await;
    for delivery in &deliveries {
        assert_eq!(header(delivery, "content-type"), "application/json");
        let data = delivery.text.split_once(r#","data":"#).unwrap().1;
        assert!(answer.contains(data), "{} is not in {answer}", delivery.text);
        let keys: Vec<&String> = delivery.body.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["data", "date", "eventId", "type"]);
    }
    assert_eq!(deliveries[1].body["type"], "ONODD");
}

#[tokio::test]
async fn a_structured_cloud_event_is_read_by_the_official_library() {
    let (deliveries, _) = delivered("cloudevents", &odd()).await;
    let events: Vec<Event> = deliveries
        .iter()
        .map(|delivery| {
            assert_eq!(header(delivery, "content-type"), "application/cloudevents+json");
            to_event(&delivery.headers, delivery.text.clone().into_bytes()).unwrap()
        })
        .collect();
    assert_is_the_odd_event(&events[0], &deliveries[0]);
    assert_eq!(data_of(&events[0]), odd());
    assert_eq!((events[1].ty(), events[1].subject()), ("com.bitrix24.ONODD", None));
}

#[tokio::test]
async fn a_binary_cloud_event_is_read_by_the_official_library() {
    let (deliveries, answer) = delivered("cloudevents-binary", &odd()).await;
    let [first, second] = &deliveries[..] else { panic!("{deliveries:?}") };
    assert_eq!(header(first, "ce-subject"), "%D1%87%D0%B0%D1%82%205%25%20%22x%22");
    assert_eq!(header(second, "ce-type"), "com.bitrix24.ONODD");
    assert!(answer.contains(&first.text), "the body is the portal's `data`");
    // The library reads headers as ASCII: it decodes the plain ones, and leaves the others in their encoded form.
    let event = to_event(&first.headers, first.text.clone().into_bytes()).unwrap();
    assert_eq!(event.subject(), Some(header(first, "ce-subject")));
    assert_eq!(data_of(&event), odd());
    let plain = decoded(&first.headers);
    assert_eq!(plain["ce-subject"].as_bytes(), "чат 5% \"x\"".as_bytes());
    assert_eq!(plain["ce-id"], first.webhook_id);
    assert_eq!(plain["ce-specversion"], "1.0");
    assert_eq!(header(first, "content-type"), "application/json");
    assert!(!first.headers.contains_key("ce-datacontenttype"));
}

#[tokio::test]
async fn the_headers_of_a_binary_cloud_event_are_not_signed() {
    let (deliveries, _) = delivered("cloudevents-binary", &odd()).await;
    let mut forged = deliveries[0].clone();
    forged.headers.insert("ce-type", HeaderValue::from_static("com.bitrix24.FORGED"));
    assert!(verifies(NEW, &forged), "the manual warns of it");
    forged.bytes = format!("{} ", forged.text).into();
    assert!(!verifies(NEW, &forged), "the body is signed");
}

#[tokio::test]
async fn a_batch_of_cloud_events_is_read_by_the_official_library() {
    let (deliveries, _) = delivered("cloudevents-batch", &odd()).await;
    for delivery in &deliveries {
        assert_eq!(header(delivery, "content-type"), "application/cloudevents-batch+json");
    }
    let events: Vec<Event> = serde_json::from_slice(&deliveries[0].bytes).unwrap();
    assert_eq!(events.len(), 1);
    assert_is_the_odd_event(&events[0], &deliveries[0]);
    assert_eq!(data_of(&events[0]), odd());
}

#[tokio::test]
async fn new_secrets_are_fresh_and_signed_with() {
    let folder = tempfile::tempdir().unwrap();
    let new = |args: &[&str]| {
        let made = output(&[&["secret", "new"], args].concat(), folder.path());
        assert_eq!(code(&made), 0, "{}", stderr(&made));
        stdout(&made)
    };
    let (one, other) = (new(&[]), new(&[]));
    assert_ne!(one, other);
    assert_eq!(STANDARD.decode(one.trim().strip_prefix("whsec_").unwrap()).unwrap().len(), 32);
    let pair = new(&["--ed25519"]);
    let (secret, public) = pair.trim().split_once('\n').unwrap();
    let json: Value = serde_json::from_str(&new(&["--ed25519", "--json"])).unwrap();
    assert!(json["secret"].as_str().unwrap().starts_with("whsk_"));
    assert!(json["public_key"].as_str().unwrap().starts_with("whpk_"));
    let json: Value = serde_json::from_str(&new(&["--json"])).unwrap();
    assert!(json["secret"].as_str().unwrap().starts_with("whsec_") && json.get("public_key").is_none());

    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    portal.record(1, 1).await;
    let setup = setup(&portal, &receiver, "secrets_file = \"crm.secrets\"");
    std::fs::write(setup.path("crm.secrets"), format!("{secret}\n{one}")).unwrap();
    let mut relay = setup.run();
    until("one accepted", async || receiver.accepted_ids().len() == 1).await;
    assert_eq!(relay.stop().await, 0);
    let delivery = &receiver.deliveries()[0];
    assert!(verifies(one.trim(), delivery) && !verifies(other.trim(), delivery));
    let signatures = header(delivery, "webhook-signature");
    let signature =
        STANDARD.decode(signatures.split(' ').next().unwrap().strip_prefix("v1a,").unwrap()).unwrap();
    let content =
        format!("{}.{}.{}", delivery.webhook_id, header(delivery, "webhook-timestamp"), delivery.text);
    let public = STANDARD.decode(public.strip_prefix("whpk_").unwrap()).unwrap();
    let public = UnparsedPublicKey::new(&ED25519, public);
    assert!(public.verify(content.as_bytes(), &signature).is_ok());
    assert!(public.verify(&content.as_bytes()[1..], &signature).is_err());
}
