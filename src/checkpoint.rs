//! [`Checkpoint`]: what one lane has settled of its source. Pure.
//!
//! Ids become visible out of order (PORTAL.md 2.9, hazard 2), so one number is not enough: the offset
//! says below which everything is settled, and above it stand the ids that are settled already.

use std::collections::BTreeSet;
use std::num::NonZeroU64;

use crate::event::{EventId, Offset};

/// See the top of this file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    offset: Offset,
    /// None is below `offset`.
    above: BTreeSet<EventId>,
}

impl Checkpoint {
    /// Everything below `offset` is settled, and nothing above.
    pub fn at(offset: Offset) -> Self {
        Self { offset, above: BTreeSet::new() }
    }

    /// The lowest id that may not be settled.
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// The settled ids at and above the offset.
    pub fn above(&self) -> impl Iterator<Item = EventId> {
        self.above.iter().copied()
    }

    /// Whether `id` is settled.
    pub fn covers(&self, id: EventId) -> bool {
        !self.offset.wants(id) || self.above.contains(&id)
    }

    /// `id` is settled now.
    pub fn settle(&mut self, id: EventId) {
        if self.offset.wants(id) {
            self.above.insert(id);
        }
    }

    /// Everything below `offset` is settled, and nothing more will appear there. Never moves back.
    pub fn raise(&mut self, offset: Offset) {
        if offset > self.offset {
            self.offset = offset;
            self.above = std::mem::take(&mut self.above).into_iter().filter(|id| offset.wants(*id)).collect();
        }
    }

    /// The ids above the offset, as text: `[2001,2007]`.
    pub fn above_text(&self) -> String {
        self.above.iter().map(|id| id.get()).collect::<serde_json::Value>().to_string()
    }

    /// The checkpoint at `offset` with the ids of [`Checkpoint::above_text`]; `None` when that is no list of ids.
    pub fn parse(offset: Offset, above: &str) -> Option<Self> {
        let ids: Vec<NonZeroU64> = serde_json::from_str(above).ok()?;
        let ids = ids.into_iter().map(|id| EventId::try_new(id.get()));
        let above = ids.collect::<Option<BTreeSet<_>>>()?;
        Some(Self { offset, above: above.into_iter().filter(|id| offset.wants(*id)).collect() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(id: u64) -> EventId {
        EventId::try_new(id).unwrap()
    }

    fn offset(offset: u64) -> Offset {
        Offset::try_new(offset).unwrap()
    }

    #[test]
    fn an_id_that_shows_late_is_not_covered_by_a_higher_one() {
        let mut checkpoint = Checkpoint::at(offset(10));
        checkpoint.settle(id(12));
        assert!(checkpoint.covers(id(9)) && checkpoint.covers(id(12)) && !checkpoint.covers(id(11)));
        checkpoint.settle(id(11));
        checkpoint.raise(offset(12));
        assert_eq!((checkpoint.offset(), checkpoint.above_text().as_str()), (offset(12), "[12]"));
    }

    #[test]
    fn nonsense_is_no_checkpoint() {
        for text in ["", "{}", "[0]", "[-1]", "[1.5]", "[\"1\"]", "[9223372036854775807]", "null", "[1"] {
            assert_eq!(Checkpoint::parse(offset(1), text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_settled_is_ever_forgotten(steps in prop::collection::vec((1u64..60, any::<bool>()), 0..80)) {
            let mut checkpoint = Checkpoint::at(Offset::START);
            let mut settled = BTreeSet::new();
            for (number, is_raise) in steps {
                if is_raise {
                    checkpoint.raise(offset(number));
                    settled.extend(1..number);
                } else {
                    checkpoint.settle(id(number));
                    settled.insert(number);
                }
                let again = Checkpoint::parse(checkpoint.offset(), &checkpoint.above_text());
                prop_assert_eq!(again.as_ref(), Some(&checkpoint));
                for number in 1..60 {
                    prop_assert_eq!(checkpoint.covers(id(number)), settled.contains(&number));
                }
            }
        }
    }
}
