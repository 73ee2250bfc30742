//! [`Checkpoint`]: which events of its source's journal a lane has settled. Pure.
//!
//! A sink may settle an event before an earlier one, so one number is not enough. All events before `next` are settled,
//! and so are the ranges above it.

use std::collections::BTreeMap;

use crate::event::Seq;

/// Which events of a source's journal a lane has settled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    next: Seq,
    /// Start and end of each range. Every range lies above `next`, and no two ranges touch.
    above: BTreeMap<Seq, Seq>,
}

impl Checkpoint {
    /// A checkpoint with all events before `next` settled, and no others.
    pub fn at(next: Seq) -> Self {
        Self { next, above: BTreeMap::new() }
    }

    /// The first event that is not settled.
    pub fn next(&self) -> Seq {
        self.next
    }

    /// Whether the event at `seq` is settled.
    pub fn covers(&self, seq: Seq) -> bool {
        seq < self.next || self.above.range(..=seq).next_back().is_some_and(|(_, end)| seq < *end)
    }

    /// Marks the event at `seq` as settled.
    pub fn settle(&mut self, seq: Seq) {
        if seq == self.next {
            self.advance(seq.next());
        } else if !self.covers(seq) {
            self.insert(seq, seq.next());
        }
    }

    /// Marks all events before `next` as settled. Never moves back.
    pub fn advance(&mut self, next: Seq) {
        self.next = self.next.max(next);
        while let Some((start, end)) = self.above.first_key_value().map(|(start, end)| (*start, *end))
            && start <= self.next
        {
            self.above.remove(&start);
            self.next = self.next.max(end);
        }
    }

    /// Adds an unsettled range above `next`, and joins it with the ranges that it touches.
    fn insert(&mut self, mut start: Seq, mut end: Seq) {
        if let Some((before, _)) = self.above.range(..start).next_back().filter(|(_, until)| **until == start)
        {
            start = *before;
        }
        if let Some(until) = self.above.remove(&end) {
            end = until;
        }
        self.above.insert(start, end);
    }

    /// How many events before `end` are not settled.
    pub fn pending(&self, end: Seq) -> u64 {
        let settled: u64 = self.above.iter().map(|(start, end)| end.since(*start)).sum();
        end.since(self.next).saturating_sub(settled)
    }

    /// The ranges above `next` as text: `[[5,9],[12,13]]`. A range includes its start and excludes its end.
    pub fn above_text(&self) -> String {
        let ranges: Vec<_> = self.above.iter().map(|(start, end)| (start.get(), end.get())).collect();
        serde_json::to_string(&ranges).unwrap_or_default()
    }

    /// The checkpoint at `next` with the ranges of [`Checkpoint::above_text`]; `None` if the text is invalid.
    pub fn parse(next: Seq, above: &str) -> Option<Self> {
        let ranges: Vec<(u64, u64)> = serde_json::from_str(above).ok()?;
        let mut checkpoint = Self::at(next);
        for (start, end) in ranges {
            let (start, end) = (Seq::try_new(start)?, Seq::try_new(end)?);
            if start >= end {
                return None;
            }
            // In older layouts, ranges may touch each other.
            if start <= checkpoint.next {
                checkpoint.advance(end);
            } else if !checkpoint.covers(start) {
                checkpoint.insert(start, end);
            } else {
                return None;
            }
        }
        Some(checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn seq(number: u64) -> Seq {
        Seq::try_new(number).unwrap()
    }

    #[test]
    fn what_is_settled_out_of_turn_is_kept_as_ranges() {
        let mut checkpoint = Checkpoint::at(seq(10));
        for number in [12, 14, 13, 20] {
            checkpoint.settle(seq(number));
        }
        assert_eq!(checkpoint.above_text(), "[[12,15],[20,21]]");
        assert_eq!((checkpoint.pending(seq(21)), checkpoint.next()), (7, seq(10)));
        checkpoint.settle(seq(10));
        assert_eq!(checkpoint.next(), seq(11));
        checkpoint.settle(seq(11));
        assert_eq!((checkpoint.next(), checkpoint.above_text().as_str()), (seq(15), "[[20,21]]"));
    }

    #[test]
    fn nonsense_is_no_checkpoint() {
        for text in [
            "",
            "{}",
            "[0]",
            "[[1]]",
            "[[5,5]]",
            "[[6,5]]",
            "[[0,3]]",
            "null",
            "[[1,2]",
            "[[1,9223372036854775808]]",
        ] {
            assert_eq!(Checkpoint::parse(seq(1), text), None, "{text}");
        }
        assert_eq!(Checkpoint::parse(seq(3), "[[3,5],[5,6],[8,9],[9,10]]").unwrap().above_text(), "[[8,10]]");
    }

    proptest! {
        #[test]
        fn nothing_settled_is_ever_forgotten(steps in prop::collection::vec((1u64..60, 0..8), 0..80)) {
            let mut checkpoint = Checkpoint::at(Seq::FIRST);
            let mut settled = BTreeSet::new();
            for (number, dice) in steps {
                if dice == 0 {
                    checkpoint.advance(seq(number));
                    settled.extend(1..number);
                } else {
                    checkpoint.settle(seq(number));
                    settled.insert(number);
                }
                let again = Checkpoint::parse(checkpoint.next(), &checkpoint.above_text());
                prop_assert_eq!(again.as_ref(), Some(&checkpoint));
                for number in 1..60 {
                    prop_assert_eq!(checkpoint.covers(seq(number)), settled.contains(&number));
                }
                prop_assert_eq!(checkpoint.pending(seq(60)), (1..60).filter(|number| !settled.contains(number)).count() as u64);
                prop_assert!(!settled.contains(&checkpoint.next().get()));
            }
        }
    }
}
