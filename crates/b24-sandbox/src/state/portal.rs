//! The complete state of the portal: accounts, counter, clock, switches, faults. All changes are made under
//! one lock, which is held only briefly.

use std::collections::BTreeMap;
use std::time::Instant;

use jiff::Timestamp;

use crate::faults::script::FaultScript;
use crate::queue::buffer::{Queue, UnsubscribePolicy};
use crate::queue::ids::Counter;
use crate::queue::owner::{ControlError, Reader};
use crate::queue::retention::{CHUNK, Cleaner, LIFETIME_S};
use crate::rest::limits::bucket::Bucket;
use crate::rest::limits::operating::Operating;
use crate::rest::refusal::Refusal;
use crate::state::apps::{self, App, NextRefresh};
use crate::state::bots::Bots;
use crate::state::clock::Clock;
use crate::state::config::SandboxConfig;
use crate::state::counters::Stats;
use crate::state::handlers::Handler;
use crate::state::offline::OfflineQueue;
use crate::state::rng::Rng;
use crate::state::switches::Switches;
use crate::state::tokens::Tokens;
use crate::traffic::generator::TrafficGenerator;

/// A user with a webhook, and the user's queue.
#[derive(Debug)]
pub(crate) struct Account {
    /// The user id, from 1.
    pub id: u64,
    /// The webhook's secret.
    pub code: String,
    /// The scopes of the webhook.
    pub scopes: Vec<String>,
    /// False if the user was dismissed.
    pub active: bool,
    /// True for an administrator; by default only the first user.
    pub is_admin: bool,
    /// The events in this user's queue.
    pub queue: Queue,
}

/// The emulated portal.
#[derive(Debug)]
pub(crate) struct Portal {
    /// Its clock. Use [`Portal::now`] to read it, because that also deletes old rows.
    pub clock: Clock,
    /// Its behaviour.
    pub switches: Switches,
    /// The faults that are still to come.
    pub faults: FaultScript,
    /// By user id.
    pub accounts: BTreeMap<u64, Account>,
    /// By client id.
    pub apps: BTreeMap<String, App>,
    /// The codes and tokens of the applications.
    pub tokens: Tokens,
    /// By client id: false values for the next refresh response.
    pub next_refresh: BTreeMap<String, NextRefresh>,
    /// The event bindings of the applications.
    pub handlers: Vec<Handler>,
    /// The offline events of the applications.
    pub offline: OfflineQueue,
    /// The portal's permanent id, which does not depend on its address (PORTAL.md 1.5).
    pub member_id: String,
    /// The seed of all random values.
    pub seed: u64,
    /// The source of payloads.
    pub generator: TrafficGenerator,
    /// The random delays of late rows.
    pub lateness: Rng,
    /// No late row becomes visible before this time.
    pub next_late: Option<Instant>,
    counter: Counter,
    cleaner: Cleaner,
    pub bucket: Bucket,
    pub stats: Stats,
    /// The operating time that calls are reported to take.
    pub operating: Operating,
    /// All bots, including unregistered ones.
    pub bots: Bots,
}

impl Portal {
    /// A portal with the settings in `config`, without events.
    pub(crate) fn new(config: &SandboxConfig) -> Self {
        let clock = Clock::default();
        let accounts = (1..=u64::from(config.users.max(1)))
            .map(|id| {
                let mut queue = Queue::default();
                queue.set_subscribed(config.subscribed);
                let code = Rng::new(config.seed, 1000 + id).code(16);
                (id, Account { id, code, scopes: vec!["im".into()], active: true, is_admin: id == 1, queue })
            })
            .collect();
        Self {
            cleaner: Cleaner::new(clock.now().as_second()),
            clock,
            switches: Switches {
                purge_on_unsubscribe: !config.keep_on_unsubscribe,
                rate: config.rate,
                ..Switches::default()
            },
            faults: FaultScript::default(),
            accounts,
            apps: apps::first(config.seed),
            tokens: Tokens::new(Rng::new(config.seed, 4)),
            next_refresh: BTreeMap::new(),
            handlers: Vec::new(),
            offline: OfflineQueue::new(Rng::new(config.seed, 6)),
            member_id: Rng::new(config.seed, 5).hex(32),
            seed: config.seed,
            generator: TrafficGenerator::new(config.users, config.chats, Rng::new(config.seed, 2)),
            lateness: Rng::new(config.seed, 7),
            next_late: None,
            counter: Counter::new(Rng::new(config.seed, 3)),
            bucket: Bucket::default(),
            stats: Stats::default(),
            operating: Operating::default(),
            bots: Bots::new(config.users),
        }
    }

    /// The portal's time. Each call also runs the cleaner, if it is due (PORTAL.md 2.5).
    pub(crate) fn now(&mut self) -> Timestamp {
        let now = self.clock.now();
        let now_s = now.as_second();
        while let Some(cutoff) = self.cleaner.due(now_s) {
            if !self.queues().any(|queue| queue.has_expired(now_s - LIFETIME_S)) {
                self.cleaner.skip_to(now_s);
                break;
            }
            let count = self.sweep(cutoff, CHUNK);
            self.cleaner.ran(count);
        }
        now
    }

    /// Deletes every row older than 24 hours at once, and returns their number.
    pub(crate) fn clean(&mut self) -> usize {
        let now_s = self.now().as_second();
        self.sweep(now_s - LIFETIME_S, usize::MAX)
    }

    fn sweep(&mut self, cutoff_s: i64, max: usize) -> usize {
        let sweep = |count, queue: &mut Queue| count + queue.expire(cutoff_s, max - count);
        self.queues_mut().fold(0, sweep)
    }

    /// The queues of all users and bots: the portal keeps them in one table (PORTAL.md 2.2).
    fn queues(&self) -> impl Iterator<Item = &Queue> {
        let users = self.accounts.values().map(|account| &account.queue);
        users.chain(self.bots.queues().map(|(_, queue)| queue))
    }

    /// All queues, mutable.
    pub(crate) fn queues_mut(&mut self) -> impl Iterator<Item = &mut Queue> {
        let users = self.accounts.values_mut().map(|account| &mut account.queue);
        users.chain(self.bots.queues_mut().map(|(_, queue)| queue))
    }

    /// Counts a call refused by the operating limiter.
    pub(crate) fn count_blocked(&mut self) {
        self.stats.blocked += 1;
    }

    /// Counts a call to a previous address of the portal.
    pub(crate) fn count_redirect(&mut self) {
        self.stats.redirected += 1;
    }

    /// The queue of `user`.
    ///
    /// # Errors
    ///
    /// If there is no such user.
    pub(crate) fn queue_of(&mut self, user: u64) -> Result<&mut Queue, Refusal> {
        let account = self.accounts.get_mut(&user).ok_or_else(Refusal::inactive_user)?;
        Ok(&mut account.queue)
    }

    /// The effect of `unsubscribe` on the rows of a queue.
    pub(crate) fn unsubscribe_policy(&self) -> UnsubscribePolicy {
        if self.switches.purge_on_unsubscribe { UnsubscribePolicy::Purge } else { UnsubscribePolicy::Keep }
    }

    /// Assigns the next event id.
    pub(crate) fn allot(&mut self) -> u64 {
        self.counter.allot()
    }

    /// Sets the counter and returns the next id. A lower value stands for a restored portal, so later rows
    /// are removed (PORTAL.md 2.4).
    pub(crate) fn set_counter(&mut self, next: u64) -> u64 {
        let next = self.counter.set(next);
        for queue in self.queues_mut() {
            queue.roll_back(next);
        }
        next
    }

    /// The counts so far.
    pub(crate) fn stats(&self) -> Stats {
        let users = self.accounts.iter().map(|(id, account)| (*id, account.queue.stats())).collect();
        let bots = self.bots.queues().map(|(id, queue)| (id, queue.stats())).collect();
        Stats { users, bots, faults_left: self.faults.left(), ..self.stats.clone() }
    }

    /// The queue of `reader`, which may be an unregistered bot.
    ///
    /// # Errors
    ///
    /// If there is no such user or bot.
    pub(crate) fn queue(&self, reader: Reader) -> Result<&Queue, ControlError> {
        match reader {
            Reader::User(id) => {
                self.accounts.get(&id).map(|account| &account.queue).ok_or(ControlError::UnknownUser(id))
            }
            Reader::Bot(id) => self.bots.queue(id).ok_or(ControlError::UnknownBot(id)),
        }
    }

    /// The queue of `reader`, mutable.
    ///
    /// # Errors
    ///
    /// If there is no such user or bot.
    pub(crate) fn queue_mut(&mut self, reader: Reader) -> Result<&mut Queue, ControlError> {
        match reader {
            Reader::User(id) => {
                let account = self.accounts.get_mut(&id);
                account.map(|account| &mut account.queue).ok_or(ControlError::UnknownUser(id))
            }
            Reader::Bot(id) => {
                self.bots.get_mut(id).map(|bot| &mut bot.queue).ok_or(ControlError::UnknownBot(id))
            }
        }
    }
}
