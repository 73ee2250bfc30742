//! One queue: its poll loop, the rules of its polling, and the confirm window.

pub(super) mod confirm_window; // which events may be confirmed
pub(super) mod pace; // how long to wait after each step
pub(super) mod page_limit; // how many events a poll asks for
pub(super) mod poll_loop; // poll, journal, pause
pub(super) mod poller; // one poll, with token refresh and refusals
pub(super) mod portal_queue; // the queue of a real portal
pub(super) mod preflight; // the checks before a poll may confirm
pub(super) mod retention; // the portal's 24 hours
pub(super) mod unreadable; // events that cannot be parsed
pub(super) mod upstream; // a queue as the relay uses it
