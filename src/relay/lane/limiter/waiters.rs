//! The queue of waiters for a limiter's permits, in the order of requests.
//!
//! A waiter that does not ask at the moment keeps its place and is passed over, so that no lane waits for one that is
//! busy with something else.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::Notify;

#[derive(Default)]
pub(super) struct Waiters {
    queue: VecDeque<Waiter>,
    numbers: u64,
}

struct Waiter {
    number: u64,
    is_asking: bool,
    wake: Arc<Notify>,
}

impl Waiters {
    /// A number for a new waiter.
    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Lets the waiter ask for a permit, at the end of the queue unless it has a place there. `wake` is notified when
    /// it is its turn to look.
    pub(super) fn ask(&mut self, number: u64, wake: &Arc<Notify>) {
        if let Some(waiter) = self.find(number) {
            waiter.is_asking = true;
        } else {
            self.queue.push_back(Waiter { number, is_asking: true, wake: Arc::clone(wake) });
        }
    }

    /// Stops asking for now; the waiter keeps its place.
    pub(super) fn stop_asking(&mut self, number: u64) {
        if let Some(waiter) = self.find(number) {
            waiter.is_asking = false;
        }
    }

    /// Gives up the waiter's place.
    pub(super) fn leave(&mut self, number: u64) {
        self.queue.retain(|waiter| waiter.number != number);
    }

    /// Whether the waiter is the first of those that ask.
    pub(super) fn is_next(&self, number: u64) -> bool {
        self.next().is_some_and(|waiter| waiter.number == number)
    }

    /// Lets the first waiter that asks look for a permit. The notification is kept for a waiter that does not listen
    /// yet.
    pub(super) fn wake_next(&self) {
        if let Some(waiter) = self.next() {
            waiter.wake.notify_one();
        }
    }

    fn next(&self) -> Option<&Waiter> {
        self.queue.iter().find(|waiter| waiter.is_asking)
    }

    fn find(&mut self, number: u64) -> Option<&mut Waiter> {
        self.queue.iter_mut().find(|waiter| waiter.number == number)
    }
}
