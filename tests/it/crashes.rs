//! G1, G2, G3 and I6: kill -9 at any moment costs duplicates within G2, never events.

use std::fs::File;
use std::io::Write as _;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::timeout;

use crate::ledger::{assert_at_least_once, assert_exactly_once, ids_in};
use crate::portal::Portal;
use crate::process::Relay;
use crate::receiver::{Answer, Receiver};
use crate::setup::Setup;
use crate::waiting::until;

/// How many lives end by kill -9 in the test below.
const KILLS: usize = 200;

/// The webhook's share of G2: what was in flight, and what had settled since the last commit.
const WEBHOOK_REPEATS_MAX: usize = 1 + 64;

/// Events asked for in one poll: small, so that a life sees several batches.
const LIMIT: u16 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stderr, reason = "the seed of a failure")]
async fn two_hundred_kills_lose_nothing_and_repeat_little() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup = Setup::new()
        .with_user(&portal, "support", 1, LIMIT)
        .with_file()
        .with_stdout()
        .with_receiver(&receiver);
    let seed = rand::random();
    eprintln!("seed {seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    for life in 0..KILLS {
        portal.record(1, 60).await;
        if life % 5 == 0 {
            receiver.script([Answer::Status(200), Answer::Status(503)]);
        }
        let mut relay = Relay::start_with(setup.folder(), &[], printed(&setup, life).into());
        // Somewhere between the first instruction and far into the batches.
        let deliveries = receiver.count() + dice.random_range(0..120);
        let moment = Duration::from_micros(dice.random_range(0..200_000));
        timeout(moment, until("deliveries", async || receiver.count() >= deliveries)).await.ok();
        relay.kill();
    }
    let mut relay = Relay::start_with(setup.folder(), &["--once"], printed(&setup, KILLS).into());
    assert_eq!(relay.exit_code().await, 0, "{}", relay.log());

    let recorded = portal.ids(1).await;
    assert_eq!(recorded.len(), KILLS * 60);
    assert_exactly_once(&setup.filed_ids(), &recorded);
    assert_at_least_once(&receiver.accepted_ids(), &recorded, KILLS, WEBHOOK_REPEATS_MAX);
    assert!(receiver.accepted_ids().len() > recorded.len(), "the kills hit nothing: this run proves nothing");
    let printed: Vec<u64> =
        (0..=KILLS).flat_map(|life| ids_in(&setup.path(&format!("out{life}")), true)).collect();
    assert_at_least_once(&printed, &recorded, KILLS, LIMIT.into());
    portal.assert_nothing_confirmed_unseen(1).await;
}

/// Standard output of one life: a file of its own, since a line may be torn by the kill.
fn printed(setup: &Setup, life: usize) -> File {
    File::create(setup.path(&format!("out{life}"))).unwrap()
}

#[tokio::test]
async fn what_a_crash_left_in_the_file_is_not_written_again() {
    let portal = Portal::start().await;
    portal.record(1, 100).await;
    let setup = Setup::new().with_source(&portal).with_file();
    let mut relay = Relay::start(setup.folder(), &["--once"]);
    assert_eq!(relay.exit_code().await, 0);
    let whole = std::fs::read(setup.path("events.jsonl")).unwrap();
    // As if the kill had come at every kind of moment between the first byte and the commit.
    for cut in [0, 1, 5, whole.len() / 3, whole.len() / 2, whole.len() - 1, whole.len()] {
        std::fs::remove_file(setup.path("b24relay.db")).unwrap();
        std::fs::write(setup.path("events.jsonl"), &whole[..cut]).unwrap();
        let mut relay = Relay::start(setup.folder(), &["--once"]);
        assert_eq!(relay.exit_code().await, 0);
        assert_eq!(std::fs::read(setup.path("events.jsonl")).unwrap(), whole, "cut at {cut}");
    }
}

#[tokio::test]
async fn text_of_somebody_else_in_the_file_is_left_alone() {
    let portal = Portal::start().await;
    portal.record(1, 10).await;
    let setup = Setup::new().with_source(&portal).with_file();
    let mut file = File::create(setup.path("events.jsonl")).unwrap();
    file.write_all(b"# a note\n\n{\"id\":\"other\"} without an end").unwrap();
    let mut relay = Relay::start(setup.folder(), &["--once"]);
    assert_eq!(relay.exit_code().await, 0);

    let text = std::fs::read_to_string(setup.path("events.jsonl")).unwrap();
    let events = text.strip_prefix("# a note\n\n{\"id\":\"other\"} without an end\n").unwrap();
    assert_eq!(events.lines().count(), 10);
}

#[tokio::test]
async fn a_crash_after_the_receivers_answer_repeats_no_more_than_the_uncommitted() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    portal.record(1, 500).await;
    // The 300th is never answered, so that all before it is settled and time passes.
    receiver.script(std::iter::repeat_n(Answer::Status(200), 299).chain([Answer::Hang]));
    // An attempt that may take longer than this test waits: only a commit beside it can save us.
    let sink = format!("[sinks.crm]\ntype = \"webhook\"\nurl = \"{}\"\ntimeout = \"5m\"", receiver.url());
    let setup = Setup::new().with_source(&portal).with(&sink);
    let mut relay = setup.run();
    until("300 requests", async || receiver.count() == 300).await;
    // The hanging attempt does not keep what was settled before it from being committed.
    let recorded = portal.ids(1).await;
    until("the commit", async || setup.committed_offset("support", "crm") == recorded[298] + 1).await;
    relay.kill();

    let mut relay = Relay::start(setup.folder(), &["--once"]);
    assert_eq!(relay.exit_code().await, 0);
    assert_exactly_once(&receiver.accepted_ids(), &recorded);
}
