//! The effect of a receiver's answer on the event and the sink, especially when the receiver refuses further events.

use std::collections::BTreeSet;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::expected::ledger::assert_exactly_once;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{code, finished, stderr, stdout};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::{Answer, Receiver};

const DISABLE: (&str, &str) = ("webhook-delivery", "disable");
const ABORT: (&str, &str) = ("webhook-delivery", "abort-message");

fn with(status: u16, (name, value): (&'static str, &'static str)) -> Answer {
    Answer::StatusWith(status, name, value)
}

async fn pair() -> (Portal, Receiver) {
    (Portal::start().await, Receiver::start().await)
}

async fn resume(setup: &Setup, args: &[&str]) -> (i32, String) {
    let resumed = finished(&[&["resume"], args].concat(), setup.folder()).await;
    (code(&resumed), stdout(&resumed) + &stderr(&resumed))
}

/// The ids of all requests, accepted or not.
fn asked_ids(receiver: &Receiver) -> Vec<u64> {
    receiver.deliveries().into_iter().map(|delivery| delivery.event_id).collect()
}

#[tokio::test]
async fn a_receiver_that_is_gone_gets_nothing_until_a_person_says_otherwise() {
    let (portal, receiver) = pair().await;
    let setup = Setup::new().with("[delivery]\nhold = \"forever\"").with_source(&portal);
    let setup = setup.with_receiver(&receiver);
    receiver.answer_always(Some(410));
    portal.record(1, 3).await;
    let mut relay = setup.run();
    let lane = setup.until_crm_is("paused").await;
    let words = format!("{} answered 410 Gone; `b24relay resume crm`", receiver.address);
    assert_eq!(lane["trouble"], words, "{lane}");
    assert!(lane["since_ms"].is_number() && lane["next_ms"].is_null(), "{lane}");
    until("the source says what it waits for", async || {
        setup.status_of("support").await["trouble"].as_str().unwrap().contains("waits for the sink `crm`")
    })
    .await;
    receiver.answer_always(None);
    relay.signal(Signal::HUP);
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    let shown = stdout(&finished(&["status"], setup.folder()).await);
    assert!(shown.contains("paused since 20") && shown.contains(&words), "{shown}");

    // No attempt is made after a restart, after a crash, or in a drain.
    for life in 2..=3 {
        let mut relay = setup.run();
        until("it is told", async || relay.log().matches("sink is paused").count() == life).await;
        relay.signal(Signal::HUP);
        relay.kill();
    }
    let once = finished(&["run", "--once"], setup.folder()).await;
    assert_eq!(code(&once), 75, "{}", stderr(&once));
    assert!(stderr(&once).contains("b24relay resume crm"), "{}", stderr(&once));
    assert_eq!(setup.until_crm_is("paused").await["since_ms"], lane["since_ms"]);

    let mut relay = setup.run();
    until("it is told", async || relay.log().matches("sink is paused").count() == 4).await;
    assert_eq!(receiver.count(), 1, "nothing but what was answered with 410");
    assert_eq!(resume(&setup, &["crm"]).await, (0, "`crm` is resumed for `support`\n".to_owned()));
    until("all are accepted", async || receiver.accepted_ids().len() == 3).await;
    assert_eq!(setup.until_crm_is("flowing").await["trouble"], "");
    portal.record(1, 1).await;
    until("it goes on", async || receiver.accepted_ids().len() == 4).await;
    until("the source is well", async || setup.status_of("support").await["trouble"] == "").await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_exactly_once(&receiver.accepted_ids(), &portal.ids(1).await);
    assert_eq!(receiver.count(), 5);
}

#[tokio::test]
async fn without_hold_a_paused_sink_stops_nobody_else() {
    let (portal, receiver) = pair().await;
    let setup = Setup::new()
        .with("delivery.hold = \"0s\"")
        .with_source(&portal)
        .with_user(&portal, "sales", 2, 1000)
        .with_file()
        .with_receiver(&receiver);
    receiver.answer_always(Some(410));
    portal.record(1, 5).await;
    portal.record(2, 5).await;
    let once = finished(&["run", "--once"], setup.folder()).await;
    assert_eq!(code(&once), 75, "{}", stderr(&once));
    assert_eq!(setup.filed_count(), 10);
    assert_eq!(receiver.count(), 2, "one for each source");
    assert_eq!(setup.lane_of("archive").await["state"], "stopped");
    assert_eq!(stderr(&once).matches("sink is paused").count(), 2);

    receiver.answer_always(None);
    let (exit, said) = resume(&setup, &["crm", "--source", "sales"]).await;
    assert_eq!((exit, said.as_str()), (0, "`crm` is resumed for `sales`\n"));
    assert_eq!(code(&finished(&["run", "--once"], setup.folder()).await), 75);
    assert_eq!(receiver.accepted_ids().len(), 5);
    assert_eq!(resume(&setup, &["crm", "--source", "sales"]).await.1, "`crm` is not paused for `sales`\n");
    assert_eq!(resume(&setup, &["crm"]).await.1, "`crm` is resumed for `support`\n");
    setup.drain().await;
    let accepted: BTreeSet<u64> = receiver.accepted_ids().into_iter().collect();
    assert_eq!((receiver.count(), receiver.accepted_ids().len()), (12, 10), "{accepted:?}");
    assert_eq!(resume(&setup, &["crm"]).await, (0, "`crm` is not paused\n".to_owned()));
    for args in [["tickets"].as_slice(), &["crm", "--source", "nobody"]] {
        let (exit, said) = resume(&setup, args).await;
        assert!(exit == 64 && said.contains("nothing is on record"), "{exit}: {said}");
    }
}

#[tokio::test]
async fn a_pause_is_over_within_one_life_and_can_come_again() {
    let (portal, receiver) = pair().await;
    let setup = Setup::new().with_source(&portal).with_receiver(&receiver);
    let mut relay = setup.run();
    for round in 1..=3 {
        receiver.answer_always(Some(410));
        portal.record(1, 1).await;
        setup.until_crm_is("paused").await;
        receiver.answer_always(None);
        assert_eq!(resume(&setup, &["crm"]).await.0, 0);
        until("it is accepted", async || receiver.accepted_ids().len() == round).await;
        setup.until_crm_is("flowing").await;
    }
    assert_eq!(relay.log().matches("sink is paused").count(), 3);
    assert_eq!(receiver.count(), 6);
    assert_eq!(relay.stop().await, 0);
}

#[tokio::test]
async fn a_receiver_can_ask_for_a_pause_with_any_status() {
    let (portal, receiver) = pair().await;
    let setup = Setup::new().with_source(&portal).with_receiver(&receiver);
    let mut relay = setup.run();
    for (number, status) in [200, 204, 500, 401, 422, 302].into_iter().enumerate() {
        receiver.script([with(status, DISABLE)]);
        portal.record(1, 2).await;
        let lane = setup.until_crm_is("paused").await;
        assert!(lane["trouble"].as_str().unwrap().contains("with `webhook-delivery: disable`"), "{lane}");
        assert_eq!(resume(&setup, &["crm"]).await.0, 0);
        until("the rest is accepted", async || {
            let asked: BTreeSet<u64> = asked_ids(&receiver).into_iter().collect();
            asked.len() == 2 * (number + 1)
        })
        .await;
        setup.until_crm_is("flowing").await;
        let ids = portal.ids(1).await;
        let asked: Vec<u64> =
            asked_ids(&receiver).into_iter().filter(|id| ids[2 * number..].contains(id)).collect();
        let [first, second] = ids[2 * number..] else { unreachable!() };
        // The event was answered with a 2xx, so it is delivered and not sent again.
        let expected = if status < 300 { vec![first, second] } else { vec![first, first, second] };
        assert_eq!(asked, expected, "{status}");
    }
    assert_eq!(relay.stop().await, 0);
    assert_eq!(setup.letters(&[]).await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_receiver_can_ask_not_to_be_sent_an_event_again() {
    let (portal, receiver) = pair().await;
    let setup = Setup::new().with_source(&portal).with_receiver(&receiver);
    portal.record(1, 6).await;
    receiver.script([500, 401, 400, 200, 302].map(|status| with(status, ABORT)));
    setup.drain().await;
    let ids = portal.ids(1).await;
    assert_eq!(asked_ids(&receiver), ids, "each of them once");
    let letters = setup.letters(&[]).await;
    let told: Vec<(u64, u64, u64)> = letters
        .iter()
        .map(|letter| {
            let number = |key: &str| letter[key].as_u64().unwrap();
            (number("event_id"), number("status"), number("attempts"))
        })
        .collect();
    assert_eq!(told, [(ids[0], 500, 1), (ids[1], 401, 1), (ids[2], 400, 1), (ids[4], 302, 1)]);
}

#[tokio::test]
async fn what_a_status_means_can_be_said_otherwise() {
    let (portal, receiver) = pair().await;
    let outcomes = r#"outcomes = { "409" = "delivered", "4xx" = "rejected", "404" = "transient", "418" = "paused", "204" = "held" }"#;
    let setup = Setup::new().with_source(&portal).with_receiver(&receiver).with(outcomes);
    let mut relay = setup.run();
    let reject = [Answer::Status(403), Answer::Status(410), Answer::Status(429)];
    receiver.script([Answer::Status(409), Answer::Status(404)].into_iter().chain(reject));
    portal.record(1, 3).await;
    until("the third is accepted", async || receiver.count() == 6).await;
    let ids = portal.ids(1).await;
    let [one, two, three] = ids[..] else { unreachable!() };
    // 409 counts as delivered. After the 404 the second is retried, and rejected three times.
    assert_eq!(asked_ids(&receiver), [one, two, two, two, two, three]);
    until("the dead letter is there", async || setup.buried_ids().await == [two]).await;

    receiver.answer_always(Some(204));
    portal.record(1, 1).await;
    assert!(setup.until_crm_is("held").await["trouble"].as_str().unwrap().contains("204"));
    receiver.answer_always(Some(418));
    relay.signal(Signal::HUP);
    assert!(setup.until_crm_is("paused").await["trouble"].as_str().unwrap().contains("418"));
    receiver.answer_always(None);
    resume(&setup, &["crm"]).await;
    until("the last is delivered", async || setup.lane_of("crm").await["delivered"] == 3).await;
    assert_eq!(relay.stop().await, 0);
}

#[tokio::test]
async fn a_receiver_says_how_long_it_wants_to_be_left_alone() {
    let (portal, receiver) = pair().await;
    let setup = Setup::new().with_source(&portal).with_receiver(&receiver);
    let mut relay = setup.run();
    let wait_ms = async |state: &str, words: &str| {
        let mut wait_ms = 0;
        until(&format!("{state} because of {words}"), async || {
            let lane = setup.lane_of("crm").await;
            let now_ms = jiff::Timestamp::now().as_millisecond();
            wait_ms = lane["next_ms"].as_i64().map_or(0, |next_ms| next_ms - now_ms);
            lane["state"] == state && lane["trouble"].as_str().is_some_and(|trouble| trouble.contains(words))
        })
        .await;
        wait_ms
    };
    let far = "Fri, 01 Jan 2100 00:00:00 GMT";
    // Limited to an hour, and far longer than the delays of `retry`.
    for (state, status, value) in [
        ("retrying", 429, "3600"),
        ("held", 401, "3600"),
        ("retrying", 503, far),
        ("held", 307, "3000"),
        ("retrying", 500, "18446744073709551615"),
        ("retrying", 429, "99999999999999999999999"),
        ("retrying", 503, "3599.5"),
        ("held", 401, "Thursday, 01-Jan-60 00:00:00 GMT"),
        ("retrying", 429, "Fri Jan  1 00:00:00 2100"),
    ] {
        receiver.script([Answer::StatusWith(status, "retry-after", value)]);
        if receiver.count() == 0 {
            portal.record(1, 1).await;
        } else {
            relay.signal(Signal::HUP);
        }
        let wait_ms = wait_ms(state, &format!("answered {status}")).await;
        assert!((2_500_000..=3_600_000).contains(&wait_ms), "{status}, {value}: {wait_ms}");
    }
    // An invalid time is ignored.
    let odd = ["", "-1", "soon", "1e9", "Thu, 32 Foo 2100 25:00:00 GMT"];
    receiver.script(odd.map(|value| Answer::StatusWith(429, "retry-after", value)));
    receiver.script([Answer::Status(429)]);
    let count = receiver.count();
    relay.signal(Signal::HUP);
    until("accepted in the end", async || receiver.accepted_ids().len() == 1).await;
    assert_eq!(receiver.count() - count, odd.len() + 2);
    assert_eq!(relay.stop().await, 0);
}

#[tokio::test]
async fn a_replay_to_a_receiver_that_is_gone_keeps_the_letters() {
    let (portal, receiver) = pair().await;
    let setup = Setup::new().with_source(&portal).with_receiver(&receiver);
    portal.record(1, 2).await;
    receiver.answer_always(Some(422));
    setup.drain().await;
    receiver.answer_always(Some(410));
    let replay = finished(&["dead-letters", "replay", "--sink", "crm"], setup.folder()).await;
    assert_eq!(code(&replay), 75, "{}", stderr(&replay));
    assert!((stdout(&replay) + &stderr(&replay)).contains("answered 410"), "{}", stdout(&replay));
    assert_eq!(setup.letters(&[]).await.len(), 2);
    receiver.script([with(200, DISABLE)]);
    receiver.answer_always(None);
    let replay = finished(&["dead-letters", "replay", "--sink", "crm"], setup.folder()).await;
    assert_eq!(code(&replay), 0, "{}", stderr(&replay));
    assert_eq!(setup.letters(&[]).await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_pause_is_in_the_state_that_json_shows() {
    let (portal, receiver) = pair().await;
    let setup = Setup::new().with_source(&portal).with_receiver(&receiver);
    receiver.answer_always(Some(410));
    portal.record(1, 1).await;
    assert_eq!(code(&finished(&["run", "--once"], setup.folder()).await), 75);
    let lane = setup.lane_of("crm").await;
    assert_eq!((&lane["state"], &lane["delivered"]), (&json!("paused"), &json!(0)));
    // The operator may change the offset, but only the receiver's pause decides about delivery.
    assert_eq!(code(&finished(&["offset", "set", "support", "1"], setup.folder()).await), 0);
    assert_eq!(setup.lane_of("crm").await["state"], "paused");
    assert_eq!(code(&finished(&["state", "check"], setup.folder()).await), 0);
}
