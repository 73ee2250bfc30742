//! [`Checkpoint`]: what one lane has settled of its source's journal. Pure.
//!
//! A sink may settle an event before one that stands in front of it, so one number is not enough: all before `next`
//! is settled, and above it are ranges that are settled as well.

use std::collections::BTreeMap;
use std::fmt;

/// The place of an event in its source's journal: counted from 1, in the order in which the portal showed the events,
/// without holes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Seq(u64);

impl Seq {
    /// That of the first event of a source.
    pub const FIRST: Self = Self(1);

    /// The sequence number, or `None` when `number` is 0 or fits no column of the state file.
    pub fn try_new(number: u64) -> Option<Self> {
        (1..=i64::MAX as u64).contains(&number).then_some(Self(number))
    }

    /// The number itself.
    pub fn get(self) -> u64 {
        self.0
    }

    /// That of the event `count` places behind.
    #[must_use]
    pub fn plus(self, count: usize) -> Self {
        Self(self.0 + count as u64)
    }

    /// That of the next event.
    #[must_use]
    pub fn next(self) -> Self {
        self.plus(1)
    }

    /// How many events there are from `earlier` on before this one.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// See the top of this file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    next: Seq,
    /// From where to where: each range is behind `next`, and none touches another.
    above: BTreeMap<u64, u64>,
}

impl Checkpoint {
    /// Everything before `next` is settled, and nothing else.
    pub fn at(next: Seq) -> Self {
        Self { next, above: BTreeMap::new() }
    }

    /// The first event that is not settled.
    pub fn next(&self) -> Seq {
        self.next
    }

    /// Whether the event at `seq` is settled.
    pub fn covers(&self, seq: Seq) -> bool {
        seq < self.next || self.above.range(..=seq.0).next_back().is_some_and(|(_, end)| seq.0 < *end)
    }

    /// The event at `seq` is settled now.
    pub fn settle(&mut self, seq: Seq) {
        if seq == self.next {
            self.advance(seq.next());
        } else if !self.covers(seq) {
            self.insert(seq.0, seq.0 + 1);
        }
    }

    /// Everything before `next` is settled now; never moves back.
    pub fn advance(&mut self, next: Seq) {
        self.next = self.next.max(next);
        while let Some((start, end)) = self.above.first_key_value().map(|(start, end)| (*start, *end))
            && start <= self.next.0
        {
            self.above.remove(&start);
            self.next.0 = self.next.0.max(end);
        }
    }

    /// Adds a range behind `next` that is not settled yet, and joins it with those that it touches.
    fn insert(&mut self, mut start: u64, mut end: u64) {
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
        let settled: u64 = self.above.iter().map(|(start, until)| until - start).sum();
        end.since(self.next).saturating_sub(settled)
    }

    /// The ranges above, as text: `[[5,9],[12,13]]`, each from its first event to the one behind its last.
    pub fn above_text(&self) -> String {
        let ranges: Vec<_> = self.above.iter().collect();
        serde_json::to_string(&ranges).unwrap_or_default()
    }

    /// The checkpoint at `next` with the ranges of [`Checkpoint::above_text`]; `None` when they are none.
    pub fn parse(next: Seq, above: &str) -> Option<Self> {
        let ranges: Vec<(u64, u64)> = serde_json::from_str(above).ok()?;
        let mut checkpoint = Self::at(next);
        for (start, end) in ranges {
            if start == 0 || start >= end || end > i64::MAX as u64 {
                return None;
            }
            // Ranges of an older layout may touch each other.
            if start <= checkpoint.next.0 {
                checkpoint.advance(Seq(end));
            } else if !checkpoint.covers(Seq(start)) {
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

    #[test]
    fn what_is_settled_out_of_turn_is_kept_as_ranges() {
        let mut checkpoint = Checkpoint::at(Seq(10));
        for seq in [12, 14, 13, 20] {
            checkpoint.settle(Seq(seq));
        }
        assert_eq!(checkpoint.above_text(), "[[12,15],[20,21]]");
        assert_eq!((checkpoint.pending(Seq(21)), checkpoint.next()), (7, Seq(10)));
        checkpoint.settle(Seq(10));
        assert_eq!(checkpoint.next(), Seq(11));
        checkpoint.settle(Seq(11));
        assert_eq!((checkpoint.next(), checkpoint.above_text().as_str()), (Seq(15), "[[20,21]]"));
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
            assert_eq!(Checkpoint::parse(Seq(1), text), None, "{text}");
        }
        assert_eq!(Checkpoint::parse(Seq(3), "[[3,5],[5,6],[8,9],[9,10]]").unwrap().above_text(), "[[8,10]]");
    }

    proptest! {
        #[test]
        fn nothing_settled_is_ever_forgotten(steps in prop::collection::vec((1u64..60, 0..8), 0..80)) {
            let mut checkpoint = Checkpoint::at(Seq::FIRST);
            let mut settled = BTreeSet::new();
            for (number, dice) in steps {
                if dice == 0 {
                    checkpoint.advance(Seq(number));
                    settled.extend(1..number);
                } else {
                    checkpoint.settle(Seq(number));
                    settled.insert(number);
                }
                let again = Checkpoint::parse(checkpoint.next(), &checkpoint.above_text());
                prop_assert_eq!(again.as_ref(), Some(&checkpoint));
                for number in 1..60 {
                    prop_assert_eq!(checkpoint.covers(Seq(number)), settled.contains(&number));
                }
                prop_assert_eq!(checkpoint.pending(Seq(60)), (1..60).filter(|seq| !settled.contains(seq)).count() as u64);
                prop_assert!(!settled.contains(&checkpoint.next().get()));
            }
        }
    }
}
