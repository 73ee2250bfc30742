//! Many lives of one relay, each ended by kill -9, and what came of them all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::future::pending;
use std::time::Duration;

use b24relay::store::Store;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::Tally;
use super::manner::Manner;
use crate::support::expected::books::{Arrivals, Books, Queue};
use crate::support::expected::ledger::{assert_at_least_once, assert_exactly_once};
use crate::support::expected::trouble;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::Relay;
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::{Delivery, Receiver};

/// Events asked for in one poll, by chance of the round: many batches in a life, or one that outlasts it.
const LIMITS: [u16; 3] = [7, 40, 200];

/// With so many events before it, a relay gets no new ones: what lives do not deliver is left to the end.
const WAITING_MAX: u64 = 400;

/// What the journal gives a sink at once, at most.
const CHUNK: usize = 1000;

/// How long a life waits for deliveries before it is nudged, and once more afterwards.
const CALM: Duration = Duration::from_millis(300);

/// What the bot was registered with.
const TOKEN: &str = "t0ken";

/// One portal, one receiver, one state file, and many lives.
pub struct Round {
    portal: Portal,
    receiver: Receiver,
    setup: Setup,
    manner: Manner,
    sources: [(&'static str, Queue); 3],
    /// What stdout may see again after a kill: one batch.
    batch: usize,
    books: Books,
    printed: Arrivals,
    at_webhook: Arrivals,
    /// By source and sink: how far each lane had come, on disk, when the last life ended.
    checkpoints: BTreeMap<(String, String), u64>,
    dice: StdRng,
    tally: Tally,
}

impl Round {
    /// Plays one of `kills` lives, and returns what happened if all promises were kept.
    pub async fn play(hold: String, seed: u64, kills: usize) -> Tally {
        let mut round = Self::prepare(&hold, seed).await;
        for life in 0..kills {
            round.live(life).await;
        }
        round.drain(kills).await;
        round.judge(kills).await
    }

    async fn prepare(hold: &str, seed: u64) -> Self {
        let (portal, receiver) = (Portal::start().await, Receiver::start().await);
        portal.post("users/3", json!({"scopes": ["im", "imbot"]})).await;
        let bot =
            portal.post("bots", json!({"code": "helper", "token": TOKEN})).await["id"].as_u64().unwrap();
        let url = portal.webhook_url(3);
        let mut dice = StdRng::seed_from_u64(seed);
        let limit = LIMITS[dice.random_range(0..LIMITS.len())];
        let manner = Manner::of(seed);
        let setup = Setup::new()
            .with(&format!("[delivery]\nhold = \"{hold}\""))
            .with_user(&portal, "sales", 1, limit)
            .with_user(&portal, "support", 2, limit)
            .with(&format!(
                "[sources.helper]\nkind = \"bot\"\nbot_id = {bot}\nbot_token = \"{TOKEN}\"\nwebhook_url = \"{url}\"\n\
                 poll = {{ idle = \"20ms\", busy = \"0s\", limit = {limit}, timeout = \"5s\" }}"
            ))
            .with_file()
            .with_stdout()
            .with_receiver_in(&receiver, manner.keys);
        let sources = [("sales", Queue::User(1)), ("support", Queue::User(2)), ("helper", Queue::Bot(bot))];
        Self {
            portal,
            receiver,
            setup,
            manner,
            sources,
            batch: CHUNK,
            books: Books::default(),
            printed: Arrivals::new(),
            at_webhook: Arrivals::new(),
            checkpoints: BTreeMap::new(),
            dice,
            tally: Tally::default(),
        }
    }

    /// A life, from its start to its end by kill -9.
    async fn live(&mut self, life: usize) {
        self.let_things_happen();
        self.make_trouble().await;
        let mut relay = Relay::start_with(self.setup.folder(), &[], self.printed(life).into());
        self.await_a_moment(&relay).await;
        assert!(relay.is_running(), "it left by itself:\n{}", relay.log());
        relay.kill();
        self.tally.kills += 1;
        self.look_back(life);
    }

    /// What a life has done, now that it is over.
    fn look_back(&mut self, life: usize) {
        self.read_printed(life);
        self.take_deliveries();
        // Before the first commit there may be no state file yet.
        let Ok(report) = Store::report(&self.setup.path("b24relay.db")) else { return };
        for lane in report.lanes {
            let before = self.checkpoints.insert((lane.source, lane.sink), lane.next).unwrap_or_default();
            assert!(lane.next >= before, "a checkpoint went back from {before} to {}", lane.next);
        }
    }

    /// What had been committed for `sink` comes no more, however far the others were behind.
    fn assert_fresh(&self, source: &str, sink: &str, id: u64) {
        let checkpoint = self.checkpoints.get(&(source.to_owned(), sink.to_owned())).copied().unwrap_or(1);
        assert!(id >= checkpoint, "{sink} sees {id} of {source} again, and had committed up to {checkpoint}");
    }

    fn read_printed(&mut self, life: usize) {
        let mut arrivals = Arrivals::new();
        self.books.read(&self.setup.path(&format!("out{life}")), &mut arrivals);
        for (source, ids) in arrivals {
            for id in &ids {
                self.assert_fresh(source, "console", *id);
            }
            self.printed.entry(source).or_default().extend(ids);
        }
    }

    fn let_things_happen(&mut self) {
        let stats = self.portal.sandbox.stats();
        let waiting: u64 = stats.users.values().chain(stats.bots.values()).map(|queue| queue.pending).sum();
        if waiting > WAITING_MAX {
            return;
        }
        let most = if self.dice.random_ratio(1, 6) { 120 } else { 20 };
        for (source, queue) in self.sources {
            for _ in 0..self.dice.random_range(0..=most) {
                self.books.record(&self.portal, source, queue, &mut self.dice);
            }
        }
    }

    /// The portal fails each user in every second life or so, the receiver now and then.
    async fn make_trouble(&mut self) {
        let users: Vec<u64> = (1..=3).filter(|_| self.dice.random_bool(0.5)).collect();
        let faults: Vec<Value> =
            users.into_iter().map(|user| trouble::of_portal(&mut self.dice, user)).collect();
        self.end_trouble().await;
        self.portal.post("faults", faults.into()).await;
        for _ in 0..self.dice.random_range(0..4) {
            self.receiver.script(trouble::of_receiver(&mut self.dice));
        }
    }

    async fn end_trouble(&self) {
        self.portal.control(Method::DELETE, "faults", Value::Null).await;
        self.receiver.forget_script();
    }

    /// Somewhere between the first instruction and far into the batches, on any machine. Whatever has made
    /// the relay wait by then, it is told once to try again.
    async fn await_a_moment(&mut self, relay: &Relay) {
        let calls = self.calls();
        if self.dice.random_ratio(3, 4) {
            let most = [20, 90, 300][self.dice.random_range(0..3)];
            let deliveries = self.dice.random_range(1..most);
            let arrive = || until("deliveries", async || self.receiver.count() >= deliveries);
            let in_time = timeout(CALM, arrive()).await.is_ok();
            // Before its first call it may not have learned yet what the signal means.
            if !in_time && self.calls() > calls {
                relay.signal(Signal::HUP);
                timeout(CALM, arrive()).await.ok();
            }
        }
        let moment = Duration::from_micros(self.dice.random_range(0..60_000));
        timeout(moment, pending::<()>()).await.ok();
    }

    /// How many calls the portal has had.
    fn calls(&self) -> u64 {
        self.portal.sandbox.stats().requests.values().sum()
    }

    /// What the receiver has got since it was asked last, all of one life.
    fn take_deliveries(&mut self) {
        let deliveries = self.receiver.take_deliveries();
        let mut refused = BTreeSet::new();
        for Delivery { text, accepted, .. } in &deliveries {
            let (source, id) = self.books.identify(text);
            self.assert_fresh(source, "crm", id);
            self.tally.retries += usize::from(refused.remove(&id));
            if *accepted {
                self.at_webhook.entry(source).or_default().push(id);
            } else {
                self.tally.refused_attempts += 1;
                refused.insert(id);
            }
        }
    }

    /// Standard output of one life: a file of its own, since a line may be torn by the kill.
    fn printed(&self, life: usize) -> File {
        File::create(self.setup.path(&format!("out{life}"))).unwrap()
    }

    async fn drain(&mut self, kills: usize) {
        self.end_trouble().await;
        let mut relay = Relay::start_with(self.setup.folder(), &["--once"], self.printed(kills).into());
        assert_eq!(relay.exit_code().await, 0, "{}", relay.log());
        self.look_back(kills);
    }

    /// Holds everything against the promises.
    async fn judge(mut self, kills: usize) -> Tally {
        let mut filed = Arrivals::new();
        assert!(std::fs::read(self.setup.path("events.jsonl")).unwrap().ends_with(b"\n"), "a torn line");
        self.books.read(&self.setup.path("events.jsonl"), &mut filed);
        for (source, queue) in self.sources {
            let recorded = self.books.ids_of(source);
            let (ids, stats) = match queue {
                Queue::User(user) => (self.portal.ids(user).await, self.portal.stats(user).await),
                Queue::Bot(bot) => (self.portal.bot_ids(bot).await, self.portal.bot_stats(bot).await),
            };
            assert_eq!(recorded, ids, "the books of {source} are the portal's");
            assert_eq!(stats["confirmed_unserved"], 0, "{stats}");
            assert_exactly_once(&filed[source], &recorded);
            self.manner.judge(&self.books, &self.at_webhook[source], &recorded, kills);
            assert_at_least_once(&self.printed[source], &recorded, kills, self.batch);
            self.tally.redelivered += stats["served_again"].as_u64().unwrap();
            self.tally.repeated_by_webhook += self.at_webhook[source].len() - recorded.len();
            self.tally.repeated_by_stdout += self.printed[source].len() - recorded.len();
        }
        self.tally.events = self.books.len();
        self.tally.portal_faults = self.portal.sandbox.stats().faults;
        self.tally
    }
}
