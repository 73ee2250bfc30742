//! G1, G2, G3 and I6 with everything combined: users and a bot, every kind of sink, faults on both sides, and kill -9
//! at any moment. A kill may cause duplicates within the limits of G2, but never a lost event, a wrong order or a
//! changed byte.
//!
//! A round consists of many runs of one relay. `tests/kills/run` does the same for thousands of kills.

mod delivery_settings;
mod round;
use std::fmt::{self, Display, Formatter};
use std::ops::AddAssign;
use std::panic::AssertUnwindSafe;

use futures_util::{FutureExt as _, StreamExt as _, stream};
use round::Round;

/// The default number of kills for each `hold`.
const KILLS: u64 = 200;

/// How many rounds run at the same time, because a run mostly waits.
const AT_ONCE: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_amid_trouble_on_both_sides_lose_nothing() {
    Campaign::of("forever").run().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_amid_trouble_on_both_sides_without_hold_lose_nothing() {
    Campaign::of("0s").run().await;
}

/// Rounds of several kills each. The same seed gives the same actions, but not at the same moments.
struct Campaign {
    hold: String,
    rounds: u64,
    kills: usize,
    seed: u64,
}

impl Campaign {
    /// The settings of the script, or the defaults for every test run.
    #[expect(clippy::disallowed_methods, reason = "how the script tells this test what to do")]
    fn of(hold: &str) -> Self {
        let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
        let kills = number("KILLS_COUNT").unwrap_or(KILLS).clamp(1, 1_000_000);
        Self {
            hold: hold.into(),
            rounds: kills.div_ceil(50),
            kills: usize::try_from(kills.min(50)).unwrap(),
            seed: number("KILLS_SEED").unwrap_or_else(rand::random),
        }
    }

    #[expect(clippy::print_stderr, reason = "the seed of a failure, and how far it has come")]
    async fn run(self) {
        let Self { hold, rounds, kills, seed } = self;
        eprintln!("seed {seed}, hold {hold}, {rounds} rounds of {kills} kills");
        let rounds = (0..rounds).map(|round| {
            let hold = hold.clone();
            let seed = seed.wrapping_add(round);
            async move { (seed, AssertUnwindSafe(Round::play(hold, seed, kills)).catch_unwind().await) }
        });
        let mut rounds = stream::iter(rounds).buffer_unordered(AT_ONCE);
        let mut sum = Tally::default();
        while let Some((seed, tally)) = rounds.next().await {
            // The panic has already shown the failure.
            sum += tally.unwrap_or_else(|_| {
                panic!("a round has failed, and `tests/kills/run --kills {kills} --seed {seed}` is like it")
            });
            eprintln!("{sum}");
        }
        sum.assert_it_was_a_test();
    }
}

/// The counters of the test.
#[derive(Default, Debug)]
struct Tally {
    kills: usize,
    events: usize,
    /// Answers of the portal with a fault.
    portal_faults: u64,
    /// Attempts that the receiver did not accept.
    refused_attempts: usize,
    /// Retried events within the same run.
    retries: usize,
    /// Events that the portal returned more than once.
    redelivered: u64,
    repeated_by_webhook: usize,
    repeated_by_stdout: usize,
}

impl Display for Tally {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { kills, events, portal_faults, refused_attempts, retries, redelivered, .. } = self;
        let (webhook, stdout) = (self.repeated_by_webhook, self.repeated_by_stdout);
        write!(
            f,
            "{kills} kills: {events} events, {redelivered} of them redelivered by the portal; \
             {portal_faults} answers of the portal broken; {refused_attempts} attempts refused by the receiver, \
             {retries} retried within the same life; duplicates: file 0, webhook {webhook}, stdout {stdout}"
        )
    }
}

impl Tally {
    /// Without any of these, the test would prove nothing.
    fn assert_it_was_a_test(&self) {
        let Self { portal_faults, retries, redelivered, repeated_by_webhook, .. } = *self;
        let hit = portal_faults > 0 && retries > 0 && redelivered > 0 && repeated_by_webhook > 0;
        assert!(hit, "the trouble hit nothing: {self:?}");
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.kills += other.kills;
        self.events += other.events;
        self.portal_faults += other.portal_faults;
        self.refused_attempts += other.refused_attempts;
        self.retries += other.retries;
        self.redelivered += other.redelivered;
        self.repeated_by_webhook += other.repeated_by_webhook;
        self.repeated_by_stdout += other.repeated_by_stdout;
    }
}
