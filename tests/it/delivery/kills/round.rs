//! Many runs of one relay, each ended by kill -9, and their combined result.

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
use super::delivery_settings::DeliverySettings;
use crate::support::expected::event_record::{Arrivals, EventRecord, Queue};
use crate::support::expected::ledger::{assert_at_least_once, assert_exactly_once};
use crate::support::expected::trouble;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::Relay;
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::{Delivery, Receiver};

/// The limit of a poll, chosen at random for each round: from many batches in a run to one batch that takes longer than
/// a run.
const LIMITS: [u16; 3] = [7, 40, 200];

/// With this many waiting events, a relay gets no new ones. The remaining events are delivered at the end.
const WAITING_MAX: u64 = 400;

/// The largest number of events that the journal gives a sink at once.
const CHUNK: usize = 1000;

/// How long a run waits for deliveries before a SIGHUP, and once more after it.
const CALM: Duration = Duration::from_millis(300);

/// The token with which the bot was registered.
const TOKEN: &str = "t0ken";

/// One portal, one receiver, one state file, and many runs.
pub(super) struct Round {
    portal: Portal,
    receiver: Receiver,
    setup: Setup,
    settings: DeliverySettings,
    sources: [(&'static str, Queue); 3],
    /// The most events that stdout may get again after a kill: one batch.
    batch: usize,
    event_record: EventRecord,
    printed: Arrivals,
    at_webhook: Arrivals,
    /// By source and sink: the committed position of each lane at the end of the last run.
    checkpoints: BTreeMap<(String, String), u64>,
    dice: StdRng,
    tally: Tally,
}

impl Round {
    /// Plays one round of `kills` runs, and returns the counters if all guarantees were kept.
    pub(super) async fn play(hold: String, seed: u64, kills: usize) -> Tally {
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
        let settings = DeliverySettings::of(seed);
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
            .with_receiver_in(&receiver, &format!("timeout = \"1s\"\n{}", settings.keys));
        let sources = [("sales", Queue::User(1)), ("support", Queue::User(2)), ("helper", Queue::Bot(bot))];
        Self {
            portal,
            receiver,
            setup,
            settings,
            sources,
            batch: CHUNK,
            event_record: EventRecord::default(),
            printed: Arrivals::new(),
            at_webhook: Arrivals::new(),
            checkpoints: BTreeMap::new(),
            dice,
            tally: Tally::default(),
        }
    }

    /// One run, from its start to its end by kill -9.
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

    /// Checks a run after its end.
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

    /// Asserts that events committed for `sink` do not come again, even if other sinks were far behind.
    fn assert_fresh(&self, source: &str, sink: &str, id: u64) {
        let checkpoint = self.checkpoints.get(&(source.to_owned(), sink.to_owned())).copied().unwrap_or(1);
        assert!(id >= checkpoint, "{sink} sees {id} of {source} again, and had committed up to {checkpoint}");
    }

    fn read_printed(&mut self, life: usize) {
        let mut arrivals = Arrivals::new();
        self.event_record.read(&self.setup.path(&format!("out{life}")), &mut arrivals);
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
                self.event_record.record(&self.portal, source, queue, &mut self.dice);
            }
        }
    }

    /// The portal fails for each user in about every second run, the receiver sometimes.
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

    /// Waits for a random moment, between the first instruction and many batches later, on any machine. If the relay is
    /// waiting for something by then, it gets one SIGHUP to retry.
    async fn await_a_moment(&mut self, relay: &Relay) {
        let calls = self.calls();
        if self.dice.random_ratio(3, 4) {
            let most = [20, 90, 300][self.dice.random_range(0..3)];
            let deliveries = self.dice.random_range(1..most);
            let arrive = || until("deliveries", async || self.receiver.count() >= deliveries);
            let in_time = timeout(CALM, arrive()).await.is_ok();
            // Before its first call the signal may still have its default action.
            if !in_time && self.calls() > calls {
                relay.signal(Signal::HUP);
                timeout(CALM, arrive()).await.ok();
            }
        }
        let moment = Duration::from_micros(self.dice.random_range(0..60_000));
        timeout(moment, pending::<()>()).await.ok();
    }

    /// How many calls the portal has received.
    fn calls(&self) -> u64 {
        self.portal.sandbox.stats().requests.values().sum()
    }

    /// The receiver's new deliveries, all from one run.
    fn take_deliveries(&mut self) {
        let deliveries = self.receiver.take_deliveries();
        let mut refused = BTreeSet::new();
        for Delivery { text, accepted, .. } in &deliveries {
            let (source, id) = self.event_record.identify(text);
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

    /// Standard output of one run. Each run has its own file, because the kill may leave an incomplete line.
    fn printed(&self, life: usize) -> File {
        File::create(self.setup.path(&format!("out{life}"))).unwrap()
    }

    async fn drain(&mut self, kills: usize) {
        self.end_trouble().await;
        let mut relay = Relay::start_with(self.setup.folder(), &["--once"], self.printed(kills).into());
        assert_eq!(relay.exit_code().await, 0, "{}", relay.log());
        self.look_back(kills);
    }

    /// Checks all guarantees.
    async fn judge(mut self, kills: usize) -> Tally {
        let mut filed = Arrivals::new();
        assert!(std::fs::read(self.setup.path("events.jsonl")).unwrap().ends_with(b"\n"), "a torn line");
        self.event_record.read(&self.setup.path("events.jsonl"), &mut filed);
        for (source, queue) in self.sources {
            let recorded = self.event_record.ids_of(source);
            let (ids, stats) = match queue {
                Queue::User(user) => (self.portal.ids(user).await, self.portal.stats(user).await),
                Queue::Bot(bot) => (self.portal.bot_ids(bot).await, self.portal.bot_stats(bot).await),
            };
            assert_eq!(recorded, ids, "the record of {source} is the portal's");
            assert_eq!(stats["confirmed_unserved"], 0, "{stats}");
            assert_exactly_once(&filed[source], &recorded);
            self.settings.judge(&self.event_record, &self.at_webhook[source], &recorded, kills);
            assert_at_least_once(&self.printed[source], &recorded, kills, self.batch);
            self.tally.redelivered += stats["served_again"].as_u64().unwrap();
            self.tally.repeated_by_webhook += self.at_webhook[source].len() - recorded.len();
            self.tally.repeated_by_stdout += self.printed[source].len() - recorded.len();
        }
        self.tally.events = self.event_record.len();
        self.tally.portal_faults = self.portal.sandbox.stats().faults;
        self.tally
    }
}
