//! The turns of one source. A turn ends with its process, or with a reload that affects the source. Then the ledgers
//! are closed and opened again.

use std::collections::BTreeSet;

use b24relay::config::OrderingConfig;
use tokio_util::sync::CancellationToken;

use crate::checker::ledger::Ledger;
use crate::plan::SinkPlan;
use crate::setting::Setting;
use crate::world::{World, now_ms};

/// The calls that a start or a reload can cause.
const CALLS_PER_TURN: u64 = 12;

impl World {
    /// A process begins, which `crash` ends.
    pub(crate) fn awake(&mut self, crash: &CancellationToken) {
        self.calls.in_life = 0;
        self.must_begin = false;
        self.crash = crash.clone();
        self.fuse = None;
    }

    /// The source is opened with `setting`. The previous turn of this process has ended.
    pub(crate) fn turn(&mut self, setting: &Setting) {
        assert!(!self.is_read, "`{}` begins anew while the one of before still reads", self.source);
        self.judge_end(false, now_ms());
        self.life += 1;
        self.must_begin = false;
        self.count.turns += 1;
        self.calls.in_life = 0;
        self.calls.justify(now_ms(), CALLS_PER_TURN);
        self.ledgers.goal = None;
        self.sinks = setting.config().sinks;
        let takers = setting.takers(self.source);
        let number = self.life;
        self.tell(format_args!("turn {number}: {}", setting.summary()));
        self.enrol(&takers);
        self.count_places();
    }

    /// Counts whether three sinks or more continue from as many different positions.
    fn count_places(&mut self) {
        let view = self.view();
        let configured = self.ledgers.sinks.iter().filter(|(_, ledger)| ledger.is_configured);
        let places = configured.filter_map(|(name, _)| view.lanes.get(*name));
        let places: BTreeSet<u64> = places.map(|lane| lane.checkpoint.next().get()).collect();
        self.count.spread_turns += u64::from(places.len() >= 3);
    }

    fn enrol(&mut self, sinks: &[SinkPlan]) {
        let view = self.view();
        // The present and future content of the journal.
        let journal = view.journal.keys().filter_map(|seq| self.ledgers.entries.get(seq));
        let journal = journal.map(|entry| entry.key);
        let waiting: BTreeSet<u64> =
            self.queue.waiting().range(self.ledgers.abandoned_below..).copied().chain(journal).collect();
        for ledger in self.ledgers.sinks.values_mut() {
            ledger.is_configured = false;
        }
        // There is no record of a sink that has never settled anything.
        let is_there =
            |name: &str| view.lanes.contains_key(name) || sinks.iter().any(|sink| sink.name == name);
        self.ledgers.sinks.retain(|name, _| is_there(name));
        for plan in sinks {
            if let Some(ledger) = self.ledgers.sinks.get_mut(plan.name) {
                ledger.bind(plan);
                continue;
            }
            self.count.sinks_returned += u64::from(self.life > 1);
            let ledger = Ledger::new(plan, waiting.clone(), self.life == 1);
            self.ledgers.sinks.insert(plan.name, ledger);
        }
    }
}

impl Ledger {
    /// From now on this is the sink of `plan`.
    fn bind(&mut self, plan: &SinkPlan) {
        // An event excluded by one filter, and removed from the books by a crash, may pass another filter later.
        if strictness(plan) > strictness(&self.plan) || plan.kinds != self.plan.kinds {
            self.ordered_since_ms = now_ms();
        }
        self.is_configured = true;
        self.plan = plan.clone();
    }
}

fn strictness(plan: &SinkPlan) -> u8 {
    match plan.flow.ordering {
        OrderingConfig::None => 0,
        OrderingConfig::Chat => 1,
        OrderingConfig::Strict => 2,
    }
}
