//! SIGHUP reloads the configuration, completely or not at all, and only changed parts are affected.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::serve::Listener;
use rustix::process::Signal;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::MissedTickBehavior;

use crate::support::expected::ledger::{assert_exactly_once, assert_once_each, ids_in};
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, finished, stderr};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::{Answer, Receiver};

const SECOND: &str = "[sinks.second]\ntype = \"file\"\npath = \"second.jsonl\"";

/// Every reload ends with one of these.
const ENDS: [&str; 2] = ["configuration reloaded", "configuration not reloaded"];

fn reloads_in(log: &str) -> usize {
    ENDS.iter().map(|end| log.matches(end).count()).sum()
}

/// Reloads the configuration, and returns the log lines about it.
async fn reload(relay: &Relay) -> String {
    let before = relay.log();
    relay.signal(Signal::HUP);
    until("the reload has ended", async || reloads_in(&relay.log()) > reloads_in(&before)).await;
    relay.log()[before.len()..].to_owned()
}

/// The same for a configuration that must be accepted.
pub(crate) async fn apply(relay: &Relay) -> String {
    let said = reload(relay).await;
    assert!(said.contains(ENDS[0]), "{said}");
    said
}

/// The same for a configuration that must be refused.
pub(crate) async fn refuse(relay: &Relay) -> String {
    let said = reload(relay).await;
    assert!(said.contains(ENDS[1]), "{said}");
    said
}

/// Runs `steps` while the first user gets events. The last request is finished and not cancelled, because the portal
/// would record its events at any time afterwards.
async fn under_load<T>(portal: &Portal, steps: impl Future<Output = T>) -> T {
    let is_over = Cell::new(false);
    let load = async {
        // Slow enough for a busy machine, because all events must be delivered in the end.
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            pace.tick().await;
            if is_over.get() {
                break;
            }
            portal.record(1, 3).await;
        }
    };
    let steps = async {
        let outcome = steps.await;
        is_over.set(true);
        outcome
    };
    tokio::join!(steps, load).0
}

async fn until_filed(setup: &Setup, portal: &Portal) {
    let ids = portal.ids(1).await;
    until("all are filed", async || setup.filed_count() >= ids.len()).await;
}

/// A listener that counts its connections.
struct Turnstile {
    listener: TcpListener,
    count: Arc<AtomicUsize>,
}

impl Listener for Turnstile {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let accepted = self.listener.accept().await.unwrap();
        self.count.fetch_add(1, Ordering::SeqCst);
        accepted
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A receiver, and the number of its connections.
async fn counted_receiver() -> (Receiver, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    (Receiver::start_on(Turnstile { listener, count: Arc::clone(&count) }), count)
}

#[tokio::test]
async fn a_configuration_with_mistakes_changes_nothing_and_every_mistake_is_told() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 3).await;
    let mut relay = setup.run();
    until_filed(&setup, &portal).await;

    let setup = setup
        .anew()
        .with("shutdown_grace = \"soon\"")
        .with("[sources.sales]\npoll.idel = \"5s\"")
        .with("[sinks.crm]\ntype = \"webhook\"");
    let said = refuse(&relay).await;
    for mistake in ["shutdown_grace", "sources.sales.poll.idel", "sources.sales.webhook_url", "sinks.crm.url"]
    {
        assert!(said.contains(mistake), "no `{mistake}` in: {said}");
    }
    // The errors as `check` prints them.
    let check = stderr(&finished(&["check", "--no-network"], setup.folder()).await);
    let mistakes: Vec<&str> = check.lines().skip(1).collect();
    assert!(mistakes.len() >= 4, "{check}");
    for mistake in mistakes {
        assert!(said.contains(mistake), "no `{mistake}` in: {said}");
    }

    let setup = setup.anew().with("this is no TOML");
    assert!(refuse(&relay).await.contains("not valid TOML"));
    std::fs::remove_file(setup.path("b24relay.toml")).unwrap();
    assert!(refuse(&relay).await.contains("no configuration found"));

    portal.record(1, 3).await;
    until_filed(&setup, &portal).await;
    let setup = setup.anew().with_source(&portal).with_file();
    assert!(apply(&relay).await.contains("nothing has changed"));
    portal.record(1, 3).await;
    until_filed(&setup, &portal).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
    assert_eq!(relay.log().matches("source started").count(), 1, "{}", relay.log());
}

#[tokio::test]
async fn a_sink_that_is_added_under_load_gets_what_comes_and_makes_nobody_repeat() {
    for mode in ["direct", "journal"] {
        let (portal, receiver) = (Portal::start().await, Receiver::start().await);
        let setup = Setup::new().with(&format!("[delivery]\nmode = \"{mode}\"")).with_source(&portal);
        let setup = setup.with_receiver_in(&receiver, "concurrency = 4").with_file();
        let mut relay = setup.run();
        let (setup, since) = under_load(&portal, async {
            until("events flow", async || setup.filed_count() > 20).await;
            let setup = setup.with(SECOND);
            let said = apply(&relay).await;
            assert!(said.contains("sinks.second: added"), "{said}");
            let since = portal.ids(1).await.len();
            until("they flow to the new one", async || ids_in(&setup.path("second.jsonl"), true).len() > 20)
                .await;
            (setup, since)
        })
        .await;
        let ids = portal.ids(1).await;
        until("all are there", async || {
            receiver.accepted_ids().len() >= ids.len()
                && setup.filed_count() >= ids.len()
                && ids_in(&setup.path("second.jsonl"), true).last() == ids.last()
        })
        .await;
        assert_eq!(relay.stop().await, 0, "{}", relay.log());
        assert_once_each(&receiver.accepted_ids(), &ids);
        assert_exactly_once(&setup.filed_ids(), &ids);
        let second = ids_in(&setup.path("second.jsonl"), false);
        assert!(second.ends_with(&ids[since..]), "{mode}: {since}, {second:?} of {ids:?}");
        assert_exactly_once(&second, &ids[ids.len() - second.len()..]);
    }
}

#[tokio::test]
async fn a_sink_that_moves_while_deliveries_are_under_way_loses_and_repeats_nothing() {
    for mode in ["direct", "journal"] {
        let (portal, old, new) = (Portal::start().await, Receiver::start().await, Receiver::start().await);
        let setup = Setup::new().with(&format!("[delivery]\nmode = \"{mode}\"")).with_source(&portal);
        let keys = "ordering = \"none\"\nconcurrency = 4\nretry = { min = \"50m\", max = \"1h\" }";
        let sink = |url: &str| format!("[sinks.crm]\ntype = \"webhook\"\nurl = \"{url}\"\n{keys}");
        let setup = setup.with(&sink(&old.url())).with_file();
        old.script([Answer::Status(200), Answer::Hold, Answer::Hold, Answer::Status(500)]);
        portal.record(1, 40).await;
        let mut relay = setup.run();
        relay.until_logged("attempt failed").await;

        let setup = setup.anew().with(&format!("[delivery]\nmode = \"{mode}\"")).with_source(&portal);
        let setup = setup.with(&sink(&new.url())).with_file();
        relay.signal(Signal::HUP);
        relay.until_logged("sinks.crm: changed (url)").await;
        portal.record(1, 5).await;
        assert_eq!(reloads_in(&relay.log()), 0, "two are under way: {}", relay.log());
        assert_eq!(new.count(), 0, "{mode}");
        old.release();
        let ids = portal.ids(1).await;
        until("all are delivered", async || old.accepted_ids().len() + new.accepted_ids().len() >= ids.len())
            .await;
        assert_eq!(relay.stop().await, 0, "{}", relay.log());
        assert_once_each(&[old.accepted_ids(), new.accepted_ids()].concat(), &ids);
        assert!(!new.accepted_ids().is_empty() && new.deliveries().iter().all(|delivery| delivery.accepted));
        assert_exactly_once(&setup.filed_ids(), &ids);
    }
}

#[tokio::test]
async fn when_the_grace_is_over_only_what_is_under_way_still_goes_to_a_sink_of_before() {
    let (portal, old, new) = (Portal::start().await, Receiver::start().await, Receiver::start().await);
    let setup = |setup: Setup, receiver: &Receiver| {
        let setup = setup.with("shutdown_grace = \"0s\"").with_source(&portal);
        setup.with_webhook("crm", &receiver.url(), "ordering = \"strict\"")
    };
    let first = setup(Setup::new(), &old);
    old.script([Answer::Hold]);
    portal.record(1, 20).await;
    let mut relay = first.run();
    until("the first is under way", async || old.count() == 1).await;
    let _second = setup(first.anew(), &new);
    relay.signal(Signal::HUP);
    relay.until_logged("nothing new is delivered").await;
    old.release();
    let ids = portal.ids(1).await;
    until("the others arrive", async || new.accepted_ids().len() == ids.len() - 1).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_eq!(old.accepted_ids(), ids[..1], "one was under way");
    assert_exactly_once(&new.accepted_ids(), &ids[1..]);
}

#[tokio::test]
async fn a_source_that_is_removed_stops_polling_and_one_that_is_added_begins() {
    let portal = Portal::start().await;
    let setup =
        Setup::new().with_user(&portal, "support", 1, 1000).with_user(&portal, "idle", 3, 1000).with_file();
    portal.record(1, 3).await;
    let mut relay = setup.run();
    until("all three are filed", async || setup.filed_count() == 3).await;

    let setup =
        setup.anew().with_user(&portal, "sales", 2, 1000).with_user(&portal, "idle", 3, 1000).with_file();
    let said = apply(&relay).await;
    for change in ["sources.support: removed", "sources.sales: added"] {
        assert!(said.contains(change), "no `{change}` in: {said}");
    }
    portal.record(1, 3).await;
    let served = portal.stats(1).await["served"].clone();
    portal.record(2, 3).await;
    portal.record(3, 3).await;
    until("the others' events are filed", async || setup.filed_count() == 9).await;
    assert_eq!(portal.stats(1).await["served"], served, "nobody polls for the removed source");
    assert_eq!(relay.log().matches("source started").count(), 3, "`idle` goes on: {}", relay.log());

    // Configured again, it continues at its position.
    let setup = setup.with_user(&portal, "support", 1, 1000);
    apply(&relay).await;
    until("what came meanwhile is filed", async || setup.filed_count() == 12).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    let ids = [portal.ids(1).await, portal.ids(2).await, portal.ids(3).await].concat();
    assert_once_each(&setup.filed_ids(), &ids);
}

#[tokio::test]
async fn what_a_reload_does_not_concern_is_not_disturbed() {
    let portal = Portal::start().await;
    let (receiver, connections) = counted_receiver().await;
    let setup = Setup::new().with_source(&portal).with_receiver(&receiver);
    portal.record(1, 3).await;
    let mut relay = setup.run();
    until("three arrive", async || receiver.count() == 3).await;
    // The first connection is not used again, because nothing was known about the receiver.
    assert_eq!(connections.load(Ordering::SeqCst), 2);

    // Another source, and a sink only for it.
    let setup = setup
        .with_user(&portal, "sales", 2, 1000)
        .with("[sinks.second]\ntype = \"file\"\npath = \"second.jsonl\"\nsources = [\"sales\"]");
    apply(&relay).await;
    portal.record(1, 3).await;
    portal.record(2, 3).await;
    until("both get their events", async || {
        receiver.count() == 9 && ids_in(&setup.path("second.jsonl"), true).len() == 3
    })
    .await;
    assert_eq!(connections.load(Ordering::SeqCst), 2, "the connection is the same as before");
    assert_eq!(relay.log().matches("source started").count(), 2, "{}", relay.log());
    assert_eq!(portal.stats(1).await["subscribes"], 1, "it has not begun anew");

    // A restarted source also uses the existing connections.
    let _setup = setup.anew().with_user(&portal, "support", 1, 500).with_receiver(&receiver);
    let said = apply(&relay).await;
    assert!(said.contains("sources.support: changed (poll.limit)"), "{said}");
    portal.record(1, 3).await;
    until("the last three arrive", async || receiver.count() == 12).await;
    assert_eq!(connections.load(Ordering::SeqCst), 2, "the connection is the same as before");
    assert_eq!(relay.log().matches("source started").count(), 3, "{}", relay.log());
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
}

#[tokio::test]
async fn a_sink_that_is_removed_finds_its_events_when_it_is_back() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup = Setup::new().with("[delivery]\nhold = \"0s\"").with_source(&portal).with_file();
    let setup = setup.with_receiver(&receiver);
    portal.record(1, 5).await;
    let mut relay = setup.run();
    until("the receiver has five", async || receiver.accepted_ids().len() == 5).await;
    receiver.answer_always(Some(500));
    portal.record(1, 5).await;
    until_filed(&setup, &portal).await;
    relay.until_logged("attempt failed").await;
    let setup = setup.anew().with("[delivery]\nhold = \"0s\"").with_source(&portal).with_file();
    apply(&relay).await;
    relay.until_logged("the journal keeps its events").await;
    portal.record(1, 5).await;
    until_filed(&setup, &portal).await;
    receiver.answer_always(None);
    let setup = setup.with_receiver(&receiver);
    apply(&relay).await;
    until("the receiver has all", async || receiver.accepted_ids().len() >= 15).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_exactly_once(&receiver.accepted_ids(), &portal.ids(1).await);
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
}

#[tokio::test]
async fn a_reload_that_waits_for_an_attempt_says_so_and_polling_goes_on_meanwhile() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    portal.record(1, 1).await;
    receiver.refuse(&portal.ids(1).await, &Answer::Hold);
    let crm = format!("[sinks.crm]\ntype = \"webhook\"\nurl = \"{}\"\ntimeout = \"60s\"", receiver.url());
    let keys = "shutdown_grace = \"1s\"\n[delivery]\nhold = \"0s\"";
    let setup = Setup::new().with(keys).with_source(&portal).with(&crm);
    let mut relay = setup.run();
    until("an attempt is under way", async || receiver.count() == 1).await;
    let setup = setup.anew().with(keys).with_user(&portal, "support", 1, 500).with(&crm);
    relay.signal(Signal::HUP);
    relay.until_logged("a reload waits for attempts in progress at these sinks").await;
    assert!(relay.log().contains("sources=\"support\" sinks=\"crm\""), "{}", relay.log());
    portal.record(1, 5).await;
    until("they are read and confirmed", async || portal.stats(1).await["pending"] == 0).await;
    assert_eq!(reloads_in(&relay.log()), 0, "{}", relay.log());
    receiver.release();
    relay.until_logged(ENDS[0]).await;
    until("all are delivered", async || receiver.count() == 6).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_once_each(&receiver.accepted_ids(), &portal.ids(1).await);
    drop(setup);
}

#[tokio::test]
async fn a_kill_right_after_a_reload_loses_nothing() {
    let portal = Portal::start().await;
    let mut setup = Setup::new().with_source(&portal).with_file();
    for round in 0..6 {
        let mut relay = setup.run();
        let filed = setup.filed_count();
        setup = under_load(&portal, async {
            until("events flow", async || setup.filed_count() > filed + 10).await;
            let limit = 100 + round;
            setup = setup.anew().with_user(&portal, "support", 1, limit).with_file();
            setup = if round >= 2 { setup.with(SECOND) } else { setup };
            let log = relay.log().len();
            relay.signal(Signal::HUP);
            // At its beginning, in its middle, at its end.
            let point = ["the configuration has changed", "source started", ENDS[0]][usize::from(round) / 2];
            until(point, async || relay.log()[log..].contains(point)).await;
            relay.kill();
            setup
        })
        .await;
    }
    let mut relay = setup.run();
    until_filed(&setup, &portal).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
}

#[tokio::test]
async fn ten_reloads_in_a_row_under_load_lose_and_repeat_nothing() {
    for mode in ["direct", "journal"] {
        let (portal, receiver) = (Portal::start().await, Receiver::start().await);
        let setup = |setup: Setup, round: u16| {
            let file = format!(
                "[sinks.archive]\ntype = \"file\"\npath = \"events.jsonl\"\nmode = \"06{}0\"",
                round % 8
            );
            let setup = setup.with(&format!("[delivery]\nmode = \"{mode}\"")).with(&file);
            let setup = setup.with_user(&portal, "support", 1, 100 + round);
            let setup = setup.with_receiver_in(&receiver, "concurrency = 3");
            if round % 2 == 1 { setup.with(SECOND) } else { setup }
        };
        let mut last = setup(Setup::new(), 0);
        let mut relay = last.run();
        last = under_load(&portal, async {
            for round in 1..=10 {
                let filed = last.filed_count();
                until("events flow", async || last.filed_count() > filed + 10).await;
                // The new lane has reached the position of the others when the lag is over.
                let is_level =
                    async || last.lane_of("second").await["next"].as_u64().is_some_and(|at| at > 1);
                if round % 2 == 0 {
                    until("the second sink is level", is_level).await;
                }
                last = setup(last.anew(), round);
                let said = apply(&relay).await;
                assert!(said.contains("sinks.archive: changed (mode)"), "{said}");
            }
            last
        })
        .await;
        let ids = portal.ids(1).await;
        until("all are there", async || {
            last.filed_count() >= ids.len() && receiver.accepted_ids().len() >= ids.len()
        })
        .await;
        assert_eq!(relay.stop().await, 0, "{}", relay.log());
        assert_exactly_once(&last.filed_ids(), &ids);
        assert_once_each(&receiver.accepted_ids(), &ids);
        assert!(!relay.log().contains("sink is held"), "{}", relay.log());
        portal.assert_nothing_confirmed_unseen(1).await;
    }
}

#[tokio::test]
async fn a_mode_that_is_switched_frees_what_a_dead_sink_held_up() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    receiver.answer_always(Some(500));
    let setup = |setup: Setup, mode: &str| {
        let setup = setup.with(&format!("[delivery]\nmode = \"{mode}\"")).with_source(&portal);
        setup.with_receiver(&receiver).with_file()
    };
    let mut last = setup(Setup::new(), "direct");
    portal.record(1, 5).await;
    let mut relay = last.run();
    until_filed(&last, &portal).await;
    last = setup(last.anew(), "journal");
    let said = apply(&relay).await;
    assert!(said.contains("delivery.hold: changed"), "{said}");
    portal.record(1, 5).await;
    until_filed(&last, &portal).await;
    last = setup(last.anew(), "direct");
    apply(&relay).await;
    receiver.answer_always(None);
    portal.record(1, 5).await;
    until_filed(&last, &portal).await;
    until("the receiver has all", async || receiver.accepted_ids().len() >= 15).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_exactly_once(&receiver.accepted_ids(), &portal.ids(1).await);
    assert_exactly_once(&last.filed_ids(), &portal.ids(1).await);
}
