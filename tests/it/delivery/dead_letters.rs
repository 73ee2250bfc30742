//! G5: an event that a sink rejects for good is kept with its bytes and the reason, and delays nothing else.

use std::fs;

use reqwest::Method;
use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::expected::ledger::assert_exactly_once;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, code, command, finished, stderr, stdout};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::{Answer, Receiver};

/// A part of the sink's address, which no dead letter may show.
const MARK: &str = "S3CRETm4RK";

async fn run(setup: &Setup, args: &[&str]) -> (i32, String) {
    let done = finished(&[&["dead-letters"], args].concat(), setup.folder()).await;
    (code(&done), stdout(&done) + &stderr(&done))
}

#[tokio::test]
async fn a_rejected_event_becomes_a_dead_letter_and_holds_up_nobody() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let odd = json!({"text": "\u{1f600}\u{2028} </b> \u{440}", "number": 1.50, "params": [], "big": 1e30});
    portal.record(1, 10).await;
    portal.record_as(json!({"user": 1, "count": 2, "data": odd, "type": "ONIMV2ODD"})).await;
    portal.record(1, 10).await;
    let ids = portal.ids(1).await;
    let served = portal.raw(1, "im.v2.Event.get?offset=1").await;
    receiver.refuse(&ids[10..12], &Answer::Body(422, format!("no\u{1b}[31m {}", "ы".repeat(9000))));
    let setup = Setup::new().with_source(&portal).with_receiver(&receiver).with_file();
    let log = setup.drain().await;
    // The first is logged immediately, the others with the next log line, here at the end.
    assert_eq!(log.matches("they become dead letters").count(), 2, "{log}");
    assert!(log.contains("b24relay dead-letters list"), "{log}");

    let others = [&ids[..10], &ids[12..]].concat();
    assert_exactly_once(&receiver.accepted_ids(), &others);
    assert_exactly_once(&setup.filed_ids(), &ids);
    assert_eq!(setup.buried_ids().await, ids[10..12]);
    let lane = setup.lane_of("crm").await;
    assert_eq!(
        (&lane["delivered"], &lane["buried"], &lane["dead_letters"]),
        (&json!(20), &json!(2), &json!(2))
    );
    assert_eq!((&lane["state"], &lane["trouble"]), (&json!("stopped"), &json!("")), "{lane}");

    let raw = stdout(&finished(&["dead-letters", "show", "2", "--raw"], setup.folder()).await);
    let payload = raw.strip_suffix('\n').unwrap();
    assert!(served.contains(&format!("\"data\":{payload}")), "the portal never sent {payload}");
    let (_, text) = run(&setup, &["show", "2", "--json"]).await;
    assert!(text.contains(payload), "byte for byte as well");
    let letter: Value = serde_json::from_str(&text).unwrap();
    let (_, told) = run(&setup, &["show", "2"]).await;
    let date = format!("\ndate         {}\n", letter["date"].as_str().unwrap());
    assert!(told.contains(&date), "no `{date}` in:\n{told}");
    assert_eq!(
        (&letter["status"], &letter["attempts"], &letter["type"]),
        (&json!(422), &json!(3), &json!("ONIMV2ODD"))
    );
    let reason = format!("{} answered 422 Unprocessable Entity, \"no [31m ыы", receiver.address);
    assert!(letter["reason"].as_str().unwrap().starts_with(&reason), "{letter}");
    let answer = letter["answer"].as_str().unwrap();
    assert!(answer.starts_with("no [31m ыы") && (4090..=4096).contains(&answer.len()), "{}", answer.len());
    assert!(letter["first_ms"].as_i64() <= letter["buried_ms"].as_i64(), "{letter}");
    let delivered = receiver.deliveries().into_iter().find(|delivery| delivery.event_id == ids[11]).unwrap();
    assert_eq!(letter["id"], delivered.webhook_id);
    until("the portal may forget", async || {
        portal.stats(1).await["pending"] == 0 || portal.polls().await > 0
    })
    .await;
}

#[tokio::test]
async fn a_drain_gets_past_any_number_of_rejected_events() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    portal.record(1, 30).await;
    receiver.answer_always(Some(400));
    let keys = "ordering = \"strict\"\nhold_after_rejections = 1000";
    let setup = Setup::new().with_source(&portal).with_receiver_in(&receiver, keys);
    setup.drain().await;
    assert_eq!(setup.buried_ids().await, portal.ids(1).await);
    assert_eq!(receiver.count(), 90);
}

#[tokio::test]
async fn a_kill_around_a_burial_loses_nothing_and_buries_nothing_twice() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup = Setup::new().with_source(&portal).with_receiver(&receiver);
    for point in ["buried", "committing", "committed", "attempting", "answered", "settled"] {
        for visit in 1..=4 {
            portal.record(1, 6).await;
            let ids = portal.ids(1).await;
            let chosen: Vec<u64> = ids.iter().copied().filter(|id| id % 2 == 0).collect();
            receiver.refuse(&chosen, &Answer::Status(400));
            let mut dying = command();
            // Some points are not visited so often. Then the relay drains.
            dying
                .args(["run", "--once"])
                .env("FAILPOINT", format!("{point}:{visit}"))
                .current_dir(setup.folder());
            let mut relay = Relay::start_command(dying, setup.folder(), std::process::Stdio::null());
            relay.ended().await;
            assert_is_settled_once(&setup, &receiver).await;
        }
    }
    setup.drain().await;
    let ids = portal.ids(1).await;
    let (even, odd): (Vec<u64>, Vec<u64>) = ids.iter().partition(|id| *id % 2 == 0);
    assert_eq!(setup.buried_ids().await, even);
    let accepted: std::collections::BTreeSet<u64> = receiver.accepted_ids().into_iter().collect();
    assert_exactly_once(&accepted.into_iter().collect::<Vec<_>>(), &odd);
    portal.assert_nothing_confirmed_unseen(1).await;
}

/// A checkpoint that covers a rejected event, and its dead letter, are both there or neither is.
async fn assert_is_settled_once(setup: &Setup, receiver: &Receiver) {
    let rejected =
        receiver.deliveries().into_iter().map(|delivery| delivery.event_id).filter(|id| id % 2 == 0);
    let (rejected, buried) = (rejected.collect::<Vec<_>>(), setup.buried_ids().await);
    let offset = setup.committed_offset("support", "crm");
    for id in rejected {
        assert_eq!(buried.contains(&id), id < offset, "{id} of {buried:?}, {offset}");
    }
}

#[tokio::test]
async fn without_its_dead_letter_no_checkpoint_passes_a_rejected_event() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup = Setup::new().with_source(&portal).with_receiver(&receiver);
    portal.record(1, 2).await;
    setup.drain().await;
    let before = setup.lane_of("crm").await;
    let state = Connection::open(setup.path("b24relay.db")).unwrap();
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON dead_letter BEGIN SELECT RAISE(FAIL, 'no'); END";
    state.execute_batch(refuse).unwrap();
    portal.record(1, 1).await;
    receiver.answer_always(Some(400));
    let once = finished(&["run", "--once"], setup.folder()).await;
    assert_eq!(code(&once), 74, "{}", stderr(&once));
    let after = setup.lane_of("crm").await;
    assert_eq!((&after["next"], &after["buried"]), (&before["next"], &json!(0)));
    state.execute_batch("DROP TRIGGER refuse").unwrap();
    setup.drain().await;
    assert_eq!(setup.buried_ids().await, portal.ids(1).await[2..]);
}

#[tokio::test]
async fn no_secret_of_ours_gets_into_a_dead_letter_whatever_the_receiver_says() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let sink = format!(
        "[sinks.crm]\ntype = \"webhook\"\nurl = \"{}/{MARK}?token={MARK}q%2Fx\"\nretry = {{ min = \"10ms\", max = \"20ms\" }}\nsecrets = [\"whsec_{MARK}AAAAAAAAAAAAAAAAAAAAAAAA\"]",
        receiver.url()
    );
    let setup = Setup::new().with("log.level = \"trace\"").with_source(&portal).with(&sink);
    let small = MARK.to_lowercase();
    let mut relay = setup.run();
    for answer in [
        format!("Cannot POST /hooks/b24/{MARK}?token={MARK}q%2Fx"),
        format!("{{\"url\":\"http:\\/\\/a.example\\/hooks\\/b24\\/{small}\",\"token\":\"{MARK}q\\/x\"}}"),
        format!("{}{MARK}", "x".repeat(4096 - MARK.len() / 2)),
        format!("{}{MARK}", "x".repeat(65536 - MARK.len() / 2)),
        format!("{MARK}q/x").repeat(6000),
        format!("{{\"secret\":\"whsec_{MARK}AAAAAAAAAAAAAAAAAAAAAAAA\"}}"),
    ] {
        receiver.script(std::iter::repeat_n(Answer::Body(422, answer), 3));
        portal.record(1, 1).await;
        let last = *portal.ids(1).await.last().unwrap();
        relay.until_logged("source started").await;
        until("it is buried", async || setup.buried_ids().await.contains(&last)).await;
    }
    assert_eq!(relay.stop().await, 0);
    for entry in fs::read_dir(setup.folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).to_lowercase();
            assert!(!text.contains(&small[..6]), "{} has it", path.display());
        }
    }
    for args in
        [["list"].as_slice(), &["list", "--json"], &["show", "1"], &["show", "1", "--json"], &["show", "2"]]
    {
        let (exit, shown) = run(&setup, args).await;
        assert!(exit == 0 && !shown.to_lowercase().contains(&small[..6]), "{args:?}: {shown}");
    }
    assert!(run(&setup, &["show", "1"]).await.1.contains("Cannot POST ***"));
}

#[tokio::test]
async fn dead_letters_are_found_by_every_filter() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup = Setup::new()
        .with_user(&portal, "support", 1, 1000)
        .with_user(&portal, "sales", 2, 1000)
        .with_receiver(&receiver)
        .with(&format!(
            "[sinks.other]\ntype = \"webhook\"\nurl = \"{}\"\nsources = [\"sales\"]",
            receiver.url()
        ))
        .with("retry = { min = \"10ms\", max = \"20ms\" }");
    portal.record(1, 2).await;
    portal.record(2, 1).await;
    let (support, sales) = (portal.ids(1).await, portal.ids(2).await);
    receiver.refuse(&support[..1], &Answer::Body(415, "unknown type".into()));
    receiver.refuse(&[support[0]], &Answer::Body(415, "unknown TYPE \u{1b}[2J".into()));
    receiver.answer_always(Some(400));
    setup.drain().await;
    let all = setup.letters(&[]).await;
    assert_eq!(all.len(), 4, "{all:?}");
    let of = |sink: &str, id: u64| {
        all.iter().find(|letter| letter["sink"] == sink && letter["event_id"] == id).cloned().unwrap()
    };
    let (first, second) = (of("crm", support[0]), of("crm", support[1]));
    let (third, fourth) = (of("crm", sales[0]), of("other", sales[0]));
    let sorted = |mut letters: Vec<Value>| {
        letters.sort_by_key(|letter| letter["number"].as_u64());
        letters
    };
    let (stable_id, number) = (third["id"].as_str().unwrap(), second["number"].to_string());
    let sale = sales[0].to_string();
    for (filters, expected) in [
        (vec!["--sink", "other"], vec![&fourth]),
        (vec!["--source", "support"], vec![&first, &second]),
        (vec!["--sink", "crm", "--source", "sales"], vec![&third]),
        (vec!["--id", &sale], vec![&third, &fourth]),
        (vec!["--id", stable_id, "--sink", "crm"], vec![&third]),
        (vec![&number], vec![&second]),
        (vec!["--reason", "unknown type"], vec![&first]),
        (vec!["--reason", "answered 4"], vec![&first, &second, &third, &fourth]),
        (vec!["--since", "1h", "--until", "0s"], vec![&first, &second, &third, &fourth]),
        (vec!["--until", "1h"], vec![]),
        (vec!["--since", "2100-01-01T00:00:00Z"], vec![]),
        (vec!["--since", first["buried"].as_str().unwrap(), "--sink", "nobody"], vec![]),
    ] {
        let expected = sorted(expected.into_iter().cloned().collect());
        assert_eq!(setup.letters(&filters).await, expected, "{filters:?}");
    }
    let (_, shown) = run(&setup, &["list"]).await;
    for words in ["NUMBER", "REASON", "crm", "other", "415", "answered 400 Bad Request", "4 dead letters"] {
        assert!(shown.contains(words), "no {words} in {shown}");
    }
    let widths: Vec<_> =
        shown.lines().take(5).map(|line| line.find("b24").or(line.find("127.0.0.1"))).collect();
    assert!(
        widths[1].is_some() && widths[1..].iter().all(|width| *width == widths[1]),
        "not aligned: {shown}"
    );
    assert_eq!(run(&setup, &["list", "--since", "yesterday"]).await.0, 64);
    assert_eq!(run(&setup, &["show", "99"]).await.0, 64);
    let (_, shown) = run(&setup, &["show", &first["number"].to_string()]).await;
    assert!(shown.contains("unknown TYPE  [2J") && !shown.contains('\u{1b}'), "{shown}");
}

/// A sink that rejects every event, with tiny limits; the state contains one dead letter.
async fn bounded(bounds: &str) -> (Portal, Receiver, Setup) {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup = Setup::new().with(bounds).with_user(&portal, "support", 1, 1).with_receiver(&receiver);
    (portal, receiver, setup)
}

#[tokio::test]
async fn when_the_dead_letters_are_full_the_lane_is_held_until_a_person_makes_room() {
    let (portal, receiver, setup) = bounded("dead_letters.max_size = \"1MiB\"").await;
    receiver.answer_always(Some(413));
    portal.record_as(json!({"user": 1, "count": 5, "bytes": 300_000})).await;
    let ids = portal.ids(1).await;
    let mut relay = setup.run();
    relay.until_logged("there is no room for another dead letter").await;
    let log = relay.log();
    assert_eq!(log.matches("they become dead letters").count(), 1, "{log}");
    assert_eq!(log.matches("the dead letters are nearly full").count(), 1, "{log}");
    until("held", async || setup.lane_of("crm").await["state"] == "held").await;
    assert_eq!(setup.buried_ids().await, ids[..3]);
    portal.assert_nothing_confirmed_unseen(1).await;
    let trouble = setup.lane_of("crm").await["trouble"].clone();
    for words in ["dead_letters.max_size", "dead-letters replay", "discard"] {
        assert!(trouble.as_str().unwrap().contains(words), "{trouble}");
    }

    let (exit, said) = run(&setup, &["discard", "--id", &ids[0].to_string(), "--yes"]).await;
    assert_eq!(exit, 0, "{said}");
    until("it goes on by itself", async || setup.buried_ids().await == ids[1..4]).await;
    until("held again", async || setup.lane_of("crm").await["state"] == "held").await;
    receiver.answer_always(None);
    relay.signal(Signal::HUP);
    until("the last one is accepted", async || receiver.accepted_ids() == ids[4..]).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    let bytes: u64 = setup.letters(&[]).await.iter().map(|letter| letter["bytes"].as_u64().unwrap()).sum();
    assert!(bytes <= 1 << 20, "{bytes}");
}

#[tokio::test]
async fn an_old_dead_letter_is_warned_of_and_holds_nothing_up() {
    let (portal, receiver, setup) = bounded("dead_letters.max_age = \"10h\"").await;
    receiver.answer_always(Some(400));
    portal.record(1, 1).await;
    let log = setup.drain().await;
    assert!(!log.contains("older than `dead_letters.max_age`"), "{log}");
    let state = Connection::open(setup.path("b24relay.db")).unwrap();
    state.execute("UPDATE dead_letter SET buried_ms = first_ms - 11 * 3600000", []).unwrap();
    drop(state);
    portal.record(1, 3).await;
    let log = setup.drain().await;
    assert_eq!(log.matches("older than `dead_letters.max_age`").count(), 1, "{log}");
    assert!(!log.contains("sink is held"), "{log}");
    assert_eq!(setup.buried_ids().await, portal.ids(1).await);
}

#[tokio::test]
async fn a_sink_whose_dead_letters_are_full_does_not_hold_another() {
    let (portal, receiver, setup) = bounded("delivery.hold = \"0s\"\ndead_letters.max_size = \"1MiB\"").await;
    let setup = setup.with(&format!(
        "[sinks.other]\ntype = \"webhook\"\nurl = \"{}\"\nevents = [\"ONIMV2ODD\"]\nretry = {{ min = \"10ms\", max = \"20ms\" }}",
        receiver.url()
    ));
    receiver.answer_always(Some(413));
    portal.record_as(json!({"user": 1, "count": 4, "bytes": 300_000})).await;
    portal.record_as(json!({"user": 1, "count": 1, "type": "ONIMV2ODD"})).await;
    let mut relay = setup.run();
    until("held", async || setup.lane_of("crm").await["state"] == "held").await;
    until("buried", async || setup.letters(&["--sink", "other"]).await.len() == 1).await;
    assert_eq!(setup.letters(&["--sink", "crm"]).await.len(), 3);
    assert_ne!(setup.lane_of("other").await["state"], "held");
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
}

#[tokio::test]
async fn when_full_the_oldest_dead_letters_can_give_way() {
    let limits = "dead_letters = { max_size = \"1MiB\", when_full = \"drop_oldest\" }";
    let (portal, receiver, setup) = bounded(limits).await;
    receiver.answer_always(Some(413));
    portal.record_as(json!({"user": 1, "count": 5, "bytes": 300_000})).await;
    let log = setup.drain().await;
    assert!(log.contains("the dead letters are full: the oldest have been deleted"), "{log}");
    assert_eq!(setup.buried_ids().await, portal.ids(1).await[2..]);
}

#[tokio::test]
async fn what_a_sink_rejected_that_is_gone_can_be_seen_and_let_go() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    receiver.answer_always(Some(400));
    portal.record(1, 3).await;
    let setup = Setup::new().with_source(&portal).with_receiver(&receiver);
    setup.drain().await;
    let setup = setup.anew().with_source(&portal).with_file();
    setup.drain().await;
    assert_eq!(setup.letters(&["--sink", "crm"]).await.len(), 3);
    let shown = stdout(&finished(&["status"], setup.folder()).await);
    assert!(
        shown.contains("3 dead letters of `crm`") && shown.contains("dead-letters list --sink crm"),
        "{shown}"
    );
    assert!(run(&setup, &["show", "1"]).await.1.contains("answered 400"));

    let count = receiver.count();
    let (exit, said) = run(&setup, &["replay"]).await;
    assert!(exit == 78 && said.contains("`crm` is no longer configured"), "{exit}: {said}");
    assert_eq!((receiver.count(), setup.letters(&[]).await.len()), (count, 3));

    let (exit, said) = run(&setup, &["discard", "--sink", "crm"]).await;
    assert!(exit == 64 && said.contains("--yes"), "{exit}: {said}");
    let (exit, said) = run(&setup, &["discard", "--sink", "crm", "--dry-run"]).await;
    assert!(exit == 0 && said.contains("3 dead letters of `crm`") && said.contains("dry run"), "{said}");
    assert_eq!(setup.letters(&[]).await.len(), 3);
    // Without any configuration.
    let (exit, said) =
        run(&setup, &["discard", "2", "--yes", "--state", "b24relay.db", "--config", "none"]).await;
    assert!(exit == 0 && said.contains("1 dead letter discarded"), "{said}");
    let (_, said) = run(&setup, &["discard", "--yes"]).await;
    assert!(said.contains("2 dead letters discarded"), "{said}");
    assert!(run(&setup, &["list"]).await.1.contains("no dead letters"));
    assert!(run(&setup, &["discard", "--yes"]).await.1.contains("no dead letters"));
}

#[tokio::test]
async fn without_a_state_file_nothing_is_created() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    for args in [["list"].as_slice(), &["show", "1"], &["replay"], &["discard", "--yes"]] {
        let (exit, said) = run(&setup, args).await;
        assert!(exit == 74 && said.contains("there is none yet"), "{args:?}: {exit}: {said}");
    }
    assert_eq!(fs::read_dir(setup.folder()).unwrap().count(), 1, "the configuration alone");
    assert_eq!(portal.control(Method::GET, "stats", Value::Null).await["requests"], json!({}));
}
