//! How the webhook of a round takes its events, and what it may see of a crash then (G2, G3).

use crate::support::expected::books::Books;
use crate::support::expected::ledger::{assert_at_least_once, assert_complete};

/// What settles between two commits.
const UNCOMMITTED_MAX: usize = 64;

/// See the top of this file.
#[derive(Clone, Copy)]
pub struct Manner {
    /// The sink's keys.
    pub keys: &'static str,
    order: Order,
    /// How many events are under way at most.
    in_flight_max: usize,
}

#[derive(Clone, Copy)]
enum Order {
    OfSource,
    OfChats,
    None,
}

impl Manner {
    const ALL: [Self; 4] = [
        Self { keys: "ordering = \"strict\"", order: Order::OfSource, in_flight_max: 1 },
        Self { keys: "", order: Order::OfChats, in_flight_max: 8 },
        Self { keys: "ordering = \"none\"\nconcurrency = 16", order: Order::None, in_flight_max: 16 },
        Self { keys: "concurrency = 3\nbatch = { events = 10 }", order: Order::OfChats, in_flight_max: 30 },
    ];

    /// That of the round with this seed: one round after the other takes the next.
    pub fn of(seed: u64) -> Self {
        Self::ALL[usize::try_from(seed % 4).unwrap()]
    }

    /// Holds what `arrived` of one source against what was `recorded`, after `kills` crashes.
    pub fn judge(self, books: &Books, arrived: &[u64], recorded: &[u64], kills: usize) {
        let repeats_max = self.in_flight_max + UNCOMMITTED_MAX;
        assert_complete(arrived, recorded);
        let repeats = arrived.len() - recorded.len();
        assert!(repeats <= kills * repeats_max, "{repeats} repeats after {kills} kills");
        match self.order {
            Order::OfSource => assert_at_least_once(arrived, recorded, kills, repeats_max),
            Order::OfChats => {
                let recorded = books.by_chat(recorded);
                for (chat, arrived) in books.by_chat(arrived) {
                    assert_at_least_once(&arrived, &recorded[&chat], kills, repeats_max);
                }
            }
            Order::None => {}
        }
    }
}
