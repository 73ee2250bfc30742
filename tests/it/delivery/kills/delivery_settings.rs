//! The delivery settings of the webhook in a round, and which repeats a crash may cause with them (G2, G3).

use crate::support::expected::event_record::EventRecord;
use crate::support::expected::ledger::{assert_at_least_once, assert_complete};

/// How many events can settle between two commits.
const UNCOMMITTED_MAX: usize = 64;

/// The delivery settings of a round.
#[derive(Clone, Copy)]
pub(super) struct DeliverySettings {
    /// The settings of the sink.
    pub keys: &'static str,
    order: Order,
    /// The limit of events in flight.
    in_flight_max: usize,
}

#[derive(Clone, Copy)]
enum Order {
    OfSource,
    OfChats,
    None,
}

impl DeliverySettings {
    const ALL: [Self; 4] = [
        Self { keys: "ordering = \"strict\"", order: Order::OfSource, in_flight_max: 1 },
        Self { keys: "", order: Order::OfChats, in_flight_max: 8 },
        Self { keys: "ordering = \"none\"\nconcurrency = 16", order: Order::None, in_flight_max: 16 },
        Self { keys: "concurrency = 3\nbatch = { events = 10 }", order: Order::OfChats, in_flight_max: 30 },
    ];

    /// The settings of the round with this seed; rounds take turns.
    pub(super) fn of(seed: u64) -> Self {
        Self::ALL[usize::try_from(seed % 4).unwrap()]
    }

    /// Compares the `arrived` events of one source with the `recorded` ones, after `kills` crashes.
    pub(super) fn judge(self, event_record: &EventRecord, arrived: &[u64], recorded: &[u64], kills: usize) {
        let repeats_max = self.in_flight_max + UNCOMMITTED_MAX;
        assert_complete(arrived, recorded);
        let repeats = arrived.len() - recorded.len();
        assert!(repeats <= kills * repeats_max, "{repeats} repeats after {kills} kills");
        match self.order {
            Order::OfSource => assert_at_least_once(arrived, recorded, kills, repeats_max),
            Order::OfChats => {
                let recorded = event_record.by_chat(recorded);
                for (chat, arrived) in event_record.by_chat(arrived) {
                    assert_at_least_once(&arrived, &recorded[&chat], kills, repeats_max);
                }
            }
            Order::None => {}
        }
    }
}
