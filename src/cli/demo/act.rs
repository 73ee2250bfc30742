//! The actions of a demo, and the script of `--drama`.

use std::collections::VecDeque;
use std::time::Duration;

/// An action on request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Act {
    /// kill -9, and a new start a second later.
    KillRelay,
    /// Stops the receiver, or starts it again.
    ToggleReceiver,
    /// Cuts the portal off, or connects it again.
    TogglePortal,
    /// Ends the demo.
    End,
}

/// When each act of `--drama` is due, as a part of the whole length.
const DRAMA: [(f64, Act); 6] = [
    (0.15, Act::KillRelay),
    (0.30, Act::ToggleReceiver),
    (0.45, Act::ToggleReceiver),
    (0.55, Act::TogglePortal),
    (0.70, Act::TogglePortal),
    (0.80, Act::KillRelay),
];

/// The acts to come, each with its time since the beginning.
#[derive(Default)]
pub(super) struct Script(VecDeque<(Duration, Act)>);

impl Script {
    /// All acts within `length`.
    pub(super) fn of(length: Duration) -> Self {
        Self(DRAMA.into_iter().map(|(part, act)| (length.mul_f64(part), act)).collect())
    }

    /// Takes the next act if its time has come.
    pub(super) fn due(&mut self, elapsed: Duration) -> Option<Act> {
        let (time, act) = *self.0.front()?;
        if elapsed < time {
            return None;
        }
        self.0.pop_front();
        Some(act)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drama_takes_place_in_order_and_leaves_nothing_broken() {
        let mut script = Script::of(Duration::from_secs(20));
        assert_eq!(script.due(Duration::from_secs(2)), None);
        assert_eq!(script.due(Duration::from_secs(3)), Some(Act::KillRelay));
        assert_eq!(script.due(Duration::from_secs(3)), None);
        let rest: Vec<Act> = std::iter::from_fn(|| script.due(Duration::from_secs(20))).collect();
        for toggle in [Act::ToggleReceiver, Act::TogglePortal] {
            assert_eq!(rest.iter().filter(|act| **act == toggle).count(), 2, "{rest:?}");
        }
    }
}
