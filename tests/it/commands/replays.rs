//! `dead-letters replay`: rejected events are delivered after all, once, in order, and unchanged.

use std::process::Stdio;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::expected::ledger::assert_exactly_once;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, code, command, finished, stderr, stdout};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::{Answer, Receiver};

const REPLAY: [&str; 2] = ["dead-letters", "replay"];

/// `count` dead letters of `crm`, whose receiver now accepts everything.
async fn buried(count: usize) -> (Portal, Receiver, Setup) {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    portal.record(1, count).await;
    receiver.answer_always(Some(422));
    let keys = "ordering = \"strict\"\nhold_after_rejections = 1000";
    let setup = Setup::new().with_source(&portal).with_receiver_in(&receiver, keys);
    setup.drain().await;
    assert_eq!(setup.buried_ids().await, portal.ids(1).await);
    receiver.answer_always(None);
    (portal, receiver, setup)
}

async fn replay(setup: &Setup, filters: &[&str]) -> (i32, String) {
    let done = finished(&[&REPLAY, filters].concat(), setup.folder()).await;
    (code(&done), stdout(&done) + &stderr(&done))
}

/// A replay in the background.
fn start(setup: &Setup, failpoint: &str) -> Relay {
    let mut command = command();
    command.args(REPLAY).current_dir(setup.folder());
    if !failpoint.is_empty() {
        command.env("FAILPOINT", failpoint);
    }
    Relay::start_command(command, setup.folder(), Stdio::null())
}

#[tokio::test]
async fn a_replay_delivers_what_was_rejected_in_order_and_byte_for_byte() {
    let (portal, receiver, setup) = buried(230).await;
    let before = receiver.deliveries();
    let (exit, said) = replay(&setup, &[]).await;
    assert_eq!(exit, 0, "{said}");
    for words in ["100 of 230 delivered", "200 of 230 delivered", "230 dead letters delivered"] {
        assert!(said.contains(words), "no {words} in {said}");
    }
    assert_exactly_once(&receiver.accepted_ids(), &portal.ids(1).await);
    for delivery in receiver.deliveries().into_iter().filter(|delivery| delivery.accepted) {
        let rejected = before.iter().find(|rejected| rejected.event_id == delivery.event_id).unwrap();
        assert_eq!(rejected.webhook_id, delivery.webhook_id);
        assert_eq!(rejected.text, delivery.text);
    }
    assert_eq!(setup.letters(&[]).await, Vec::<Value>::new());
    let (exit, said) = replay(&setup, &[]).await;
    assert!(exit == 0 && said.contains("no dead letters"), "{said}");
    assert_eq!(receiver.accepted_ids().len(), 230);
}

#[tokio::test]
async fn only_what_is_chosen_is_sent() {
    let (portal, receiver, setup) = buried(5).await;
    let ids = portal.ids(1).await;
    let (exit, said) = replay(&setup, &["--id", &ids[3].to_string(), "--id", &ids[1].to_string()]).await;
    assert_eq!(exit, 0, "{said}");
    assert_eq!(receiver.accepted_ids(), [ids[1], ids[3]]);
    assert_eq!(setup.buried_ids().await, [ids[0], ids[2], ids[4]]);
}

#[tokio::test]
async fn beside_a_running_daemon_a_replay_works_and_what_is_new_goes_on() {
    let (portal, receiver, setup) = buried(40).await;
    let mut relay = setup.run();
    relay.until_logged("source started").await;
    portal.record(1, 40).await;
    let replaying = start(&setup, "");
    until("all is accepted", async || receiver.accepted_ids().len() == 80).await;
    until("no dead letters are left", async || setup.letters(&[]).await.is_empty()).await;
    drop(replaying);
    until("the portal may forget", async || portal.stats(1).await["pending"] == 0).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    let ids = portal.ids(1).await;
    let (old, new): (Vec<u64>, Vec<u64>) = receiver.accepted_ids().into_iter().partition(|id| *id <= ids[39]);
    assert_exactly_once(&old, &ids[..40]);
    assert_exactly_once(&new, &ids[40..]);
}

#[tokio::test]
async fn what_is_rejected_again_stays_with_the_new_reason_and_the_rest_goes_on() {
    let (portal, receiver, setup) = buried(4).await;
    let ids = portal.ids(1).await;
    let bytes = async || setup.letters(&["2"]).await[0]["bytes"].as_u64().unwrap();
    let before = bytes().await;
    receiver.refuse(&ids[1..2], &Answer::Body(400, "\u{440}\u{440}\u{440}".into()));
    let (exit, said) = replay(&setup, &[]).await;
    assert_eq!(exit, 75, "{said}");
    for words in ["rejected again", "400 Bad Request", "3 dead letters delivered, 1 rejected again, 1 left"] {
        assert!(said.contains(words), "no {words} in {said}");
    }
    assert_eq!(receiver.accepted_ids(), [ids[0], ids[2], ids[3]]);
    let shown = stdout(&finished(&["dead-letters", "show", "2", "--json"], setup.folder()).await);
    let letter: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&letter["status"], &letter["attempts"]), (&json!(400), &json!(4)), "{letter}");
    assert_eq!(letter["answer"], "\u{440}\u{440}\u{440}");
    // The reason also contains the receiver's text, if there is any.
    let words = "\u{440}\u{440}\u{440}";
    let [gone, come] =
        ["422 Unprocessable Entity".to_owned(), format!("400 Bad Request, \"{words}\"{words}")]
            .map(|text| text.len() as u64);
    assert_eq!(bytes().await, before - gone + come);
}

#[tokio::test]
async fn a_sink_that_fails_ends_the_replay_and_the_rest_stays() {
    for (status, attempts) in [(503, 5), (401, 1), (302, 1)] {
        let (portal, receiver, setup) = buried(5).await;
        let ids = portal.ids(1).await;
        receiver.script([Answer::Status(200), Answer::Status(204)]);
        receiver.answer_always(Some(status));
        let before = receiver.count();
        let (exit, said) = replay(&setup, &[]).await;
        assert_eq!(exit, 75, "{said}");
        assert!(said.contains(&format!("answered {status}")) && said.contains("3 left"), "{said}");
        assert_eq!(receiver.count() - before, 2 + attempts, "{said}");
        assert_eq!(setup.buried_ids().await, ids[2..]);
        receiver.answer_always(None);
        let (exit, said) = replay(&setup, &[]).await;
        assert_eq!(exit, 0, "{said}");
        assert_exactly_once(&receiver.accepted_ids(), &ids);
    }
}

#[tokio::test]
async fn one_sinks_failure_is_not_anothers() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let dead = Receiver::start().await;
    let other = format!("[sinks.other]\ntype = \"webhook\"\nurl = \"{}\"", dead.url());
    let setup = Setup::new()
        .with_source(&portal)
        .with_receiver(&receiver)
        .with(&other)
        .with("retry = { min = \"10ms\", max = \"20ms\" }");
    portal.record(1, 3).await;
    receiver.answer_always(Some(400));
    dead.answer_always(Some(400));
    setup.drain().await;
    receiver.answer_always(None);
    dead.answer_always(Some(403));
    let before = dead.count();
    let (exit, said) = replay(&setup, &[]).await;
    assert!(exit == 75 && said.contains("all that is left of `other` stays"), "{exit}: {said}");
    assert_exactly_once(&receiver.accepted_ids(), &portal.ids(1).await);
    assert_eq!((dead.count() - before, setup.letters(&["--sink", "other"]).await.len()), (1, 3));
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "the seed of a failure")]
async fn kills_during_a_replay_lose_nothing_and_repeat_only_what_was_in_flight() {
    let (portal, receiver, setup) = buried(150).await;
    let ids = portal.ids(1).await;
    let mut kills = 0;
    for point in ["replaying", "replayed", "exhumed"] {
        for visit in [1, 2, 5] {
            let mut replaying = start(&setup, &format!("{point}:{visit}"));
            replaying.ended().await;
            let (left, accepted) = (setup.buried_ids().await, receiver.accepted_ids());
            let is_safe = |id: &u64| left.contains(id) || accepted.contains(id);
            assert!(ids.iter().all(is_safe), "lost at {point}:{visit}");
            kills += usize::from(point == "replayed");
        }
    }
    let seed = rand::random();
    eprintln!("seed {seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    for _ in 0..25 {
        let mut replaying = start(&setup, "");
        let target = receiver.count() + dice.random_range(0..4);
        let moment = Duration::from_millis(dice.random_range(0..150));
        timeout(moment, until("deliveries", async || receiver.count() >= target)).await.ok();
        replaying.kill();
        kills += 1;
    }
    let (exit, said) = replay(&setup, &[]).await;
    assert_eq!(exit, 0, "{said}");
    let mut accepted = receiver.accepted_ids();
    assert!(accepted.is_sorted(), "out of order: {accepted:?}");
    let sent = accepted.len();
    accepted.dedup();
    assert_exactly_once(&accepted, &ids);
    assert!((3..=kills).contains(&(sent - ids.len())), "{} repeats after {kills} kills", sent - ids.len());
}

#[tokio::test]
async fn of_two_replays_at_once_one_leaves_and_nothing_is_sent_twice() {
    let (portal, receiver, setup) = buried(3).await;
    receiver.script([Answer::Hold]);
    let before = receiver.count();
    let mut first = start(&setup, "");
    until("the first is at it", async || receiver.count() > before).await;
    for args in [["replay"].as_slice(), &["discard", "--yes"]] {
        let second = finished(&[&["dead-letters"], args].concat(), setup.folder()).await;
        assert_eq!(code(&second), 75, "{}", stderr(&second));
        assert!(stderr(&second).contains(&format!("process {}", first.id())), "{}", stderr(&second));
    }
    receiver.release();
    assert_eq!(first.exit_code().await, 0, "{}", first.log());
    assert_exactly_once(&receiver.accepted_ids(), &portal.ids(1).await);
}

#[tokio::test]
async fn a_stop_lets_the_one_in_flight_arrive_and_leaves_the_rest() {
    let (portal, receiver, setup) = buried(3).await;
    receiver.script([Answer::Hold]);
    let before = receiver.count();
    let mut replaying = start(&setup, "");
    until("it is at it", async || receiver.count() > before).await;
    replaying.signal(Signal::TERM);
    replaying.until_logged("finishing what is under way").await;
    receiver.release();
    assert_eq!(replaying.exit_code().await, 75, "{}", replaying.log());
    let ids = portal.ids(1).await;
    assert_eq!((receiver.accepted_ids(), setup.buried_ids().await), (ids[..1].to_vec(), ids[1..].to_vec()));
}

#[tokio::test]
async fn what_a_person_discards_is_not_sent() {
    let (portal, receiver, setup) = buried(3).await;
    let ids = portal.ids(1).await;
    let done = finished(&["dead-letters", "discard", "2", "--yes"], setup.folder()).await;
    assert_eq!(code(&done), 0, "{}", stderr(&done));
    assert_eq!(replay(&setup, &[]).await.0, 0);
    assert_eq!(receiver.accepted_ids(), [ids[0], ids[2]]);
}

#[tokio::test]
async fn a_sink_that_became_a_file_takes_them_once_its_daemon_lets_go() {
    let (portal, _receiver, setup) = buried(3).await;
    let ids = portal.ids(1).await;
    let setup =
        setup.anew().with_source(&portal).with("[sinks.crm]\ntype = \"file\"\npath = \"events.jsonl\"");
    portal.record(1, 2).await;
    let mut relay = setup.run();
    until("later ones are filed", async || setup.filed_count() == 2).await;
    let (exit, said) = replay(&setup, &[]).await;
    assert!(exit == 75 && said.contains("such as a second b24relay: stop that one first"), "{exit}: {said}");
    assert_eq!(setup.buried_ids().await, ids);
    assert_eq!(relay.stop().await, 0);
    for failpoint in ["replayed:1", "replayed:2", "exhumed:1"] {
        start(&setup, failpoint).ended().await;
    }
    let (exit, said) = replay(&setup, &[]).await;
    assert_eq!(exit, 0, "{said}");
    let all = portal.ids(1).await;
    // A replay writes events even if the file has them already: the two in flight at a kill.
    let replayed = [all[0], all[0], all[1], all[1], all[2]];
    assert_eq!(setup.filed_ids(), [&all[3..], &replayed].concat());
}

#[tokio::test]
async fn events_replayed_to_standard_output_are_alone_there() {
    let (portal, _receiver, setup) = buried(3).await;
    let setup = setup.anew().with_source(&portal).with("[sinks.crm]\ntype = \"stdout\"");
    let done = finished(&REPLAY, setup.folder()).await;
    assert_eq!(code(&done), 0, "{}", stderr(&done));
    let lines: Vec<Value> = stdout(&done).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: Vec<u64> = lines.iter().map(|line| line["eventId"].as_u64().unwrap()).collect();
    assert_exactly_once(&ids, &portal.ids(1).await);
    assert!(stderr(&done).contains("3 dead letters delivered"), "{}", stderr(&done));
}
