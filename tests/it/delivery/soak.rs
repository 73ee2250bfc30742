//! G1 and G2 over a long time: a steady load, faults on both sides, and a relay that loses nothing and does not grow.
//! `tests/soak/run` runs it with the release build.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::Method;
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::support::expected::event_record::{Arrivals, EventRecord, Queue};
use crate::support::expected::ledger::{assert_at_least_once, assert_exactly_once};
use crate::support::expected::trouble;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::Relay;
use crate::support::process::setup::Setup;
use crate::support::process::usage::{ResourceUsage, Sample};
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::{Delivery, Receiver};

/// How often events are made and arrivals are recorded.
const BEAT: Duration = Duration::from_millis(50);

/// The default duration, which is too short to show growth.
const SHORT: Duration = Duration::from_secs(5);

/// The process is sampled, and new faults begin, after this many beats: every 2 seconds.
const BEATS: u64 = 40;

const SOURCES: [(&str, Queue); 2] = [("sales", Queue::User(1)), ("support", Queue::User(2))];

/// The arguments of `tests/soak/run`.
struct Plan {
    length: Duration,
    rate: u32,
    seed: u64,
    hold: String,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "how the script tells this test what to do")]
async fn a_long_time_of_load_and_trouble_leaves_no_trace() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let minutes = number("SOAK_MINUTES").map(|minutes| Duration::from_secs(60 * minutes.clamp(1, 1440)));
    let plan = Plan {
        length: minutes.unwrap_or(SHORT),
        rate: u32::try_from(number("SOAK_RATE").unwrap_or(50).clamp(1, 1000)).unwrap(),
        seed: number("SOAK_SEED").unwrap_or_else(rand::random),
        hold: std::env::var("SOAK_HOLD").unwrap_or_else(|_| "forever".into()),
    };
    Soak::run(plan).await;
}

/// A portal, a receiver, and the relay between them.
struct Soak {
    portal: Portal,
    receiver: Receiver,
    setup: Setup,
    relay: Relay,
    event_record: EventRecord,
    at_webhook: Arrivals,
    refused_attempts: usize,
    usage: ResourceUsage,
    dice: StdRng,
    length: Duration,
}

impl Soak {
    #[expect(clippy::print_stderr, reason = "the seed of a failure")]
    async fn run(plan: Plan) {
        let Plan { length, rate, seed, hold } = plan;
        eprintln!("{} minutes, {rate} events/s, hold {hold}, seed {seed}", length.as_secs() / 60);
        let mut soak = Self::begin(&hold, seed, length).await;
        soak.load(length, rate).await;
        soak.drain().await;
        soak.judge().await;
    }

    async fn begin(hold: &str, seed: u64, length: Duration) -> Self {
        let (portal, receiver) = (Portal::start().await, Receiver::start().await);
        let mut setup = Setup::new().with(&format!("[delivery]\nhold = \"{hold}\"")).with_unlimited(&portal);
        for (source, user) in [("sales", 1), ("support", 2)] {
            let url = portal.webhook_url(user);
            let poll = "poll = { idle = \"1s\", busy = \"0s\", timeout = \"5s\" }";
            setup = setup.with(&format!("[sources.{source}]\nwebhook_url = \"{url}\"\n{poll}"));
        }
        let setup = setup.with_file().with_silent_receiver(&receiver);
        let relay = setup.run();
        // If it were refused before its first success, it would exit.
        until("the relay is let in", async || portal.polls().await >= 2).await;
        let (event_record, at_webhook, usage) =
            (EventRecord::default(), Arrivals::new(), ResourceUsage::default());
        let dice = StdRng::seed_from_u64(seed);
        Self {
            portal,
            receiver,
            setup,
            relay,
            event_record,
            at_webhook,
            refused_attempts: 0,
            usage,
            dice,
            length,
        }
    }

    /// Makes events and faults for `length`.
    async fn load(&mut self, length: Duration, rate: u32) {
        let start = Instant::now();
        let mut beats = interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (mut made, mut beat) = (0.0, 0);
        while start.elapsed() < length {
            beats.tick().await;
            while made < start.elapsed().as_secs_f64() * f64::from(rate) {
                let (source, queue) = SOURCES[self.dice.random_range(0..SOURCES.len())];
                self.event_record.record(&self.portal, source, queue, &mut self.dice);
                made += 1.0;
            }
            self.note_deliveries();
            if beat % BEATS == 0 {
                assert!(self.relay.is_running(), "it left by itself:\n{}", self.relay.log());
                self.usage.0.push(Sample::of(self.relay.id()));
                self.make_trouble().await;
            }
            beat += 1;
        }
    }

    /// One fault of the portal for one of the users, and one fault of the receiver.
    async fn make_trouble(&mut self) {
        let user = self.dice.random_range(1..=2);
        let fault = trouble::of_portal(&mut self.dice, user);
        self.portal.post("faults", fault).await;
        self.receiver.script(trouble::of_receiver(&mut self.dice));
    }

    fn note_deliveries(&mut self) {
        for Delivery { text, accepted, .. } in self.receiver.take_deliveries() {
            if accepted {
                self.event_record.note(&text, &mut self.at_webhook);
            } else {
                self.event_record.identify(&text);
                self.refused_attempts += 1;
            }
        }
    }

    /// Ends load and faults: all remaining events arrive, then the relay stops without an error.
    async fn drain(&mut self) {
        self.portal.control(Method::DELETE, "faults", Value::Null).await;
        self.receiver.forget_script();
        for (source, _) in SOURCES {
            let last = self.event_record.ids_of(source).last().copied().unwrap();
            for sink in ["archive", "crm"] {
                let lane = format!("{sink} has all of {source}");
                until(&lane, async || self.setup.committed_offset(source, sink) > last).await;
            }
        }
        assert_eq!(self.relay.stop().await, 0, "{}", self.relay.log());
        self.note_deliveries();
    }

    /// Prints the results, and checks the guarantees.
    #[expect(clippy::print_stderr, reason = "the table is what this is for")]
    async fn judge(&self) {
        let mut filed = Arrivals::new();
        self.event_record.read(&self.setup.path("events.jsonl"), &mut filed);
        let broken = self.portal.sandbox.stats().faults;
        let (events, refused) = (self.event_record.len(), self.refused_attempts);
        eprintln!("\n{}", self.usage);
        eprintln!("{events:>9} events");
        for (sink, arrivals) in [("file", &filed), ("receiver", &self.at_webhook)] {
            let arrived: usize = arrivals.values().map(Vec::len).sum();
            eprintln!("{arrived:>9} at the {sink}, {} of them repeats", arrived.saturating_sub(events));
        }
        eprintln!("{broken:>9} answers of the portal broken");
        eprintln!("{refused:>9} attempts refused by the receiver or left without an answer");

        for (user, (source, _)) in (1..).zip(SOURCES) {
            let recorded = self.event_record.ids_of(source);
            assert_eq!(recorded, self.portal.ids(user).await, "the record of {source} is the portal's");
            assert_exactly_once(&filed[source], &recorded);
            // There was no crash, so no accepted event came again.
            assert_at_least_once(&self.at_webhook[source], &recorded, 0, 0);
            self.portal.assert_nothing_confirmed_unseen(user).await;
        }
        assert!(broken > 0 && refused > 0, "the trouble hit nothing");
        if self.length == SHORT {
            return;
        }
        let growth = self.usage.growth();
        assert!(growth.is_empty(), "it grows: {growth:?}");
        eprintln!("\nnothing missing, made up, changed or out of order; memory and descriptors flat");
    }
}
