//! One queue: its poll loop, the rules of its polling, and the confirm window.

pub mod confirm_window; // which events may be confirmed
pub mod pace; // how long to wait after each step
pub mod page_limit; // how many events a poll asks for
pub mod poll_loop; // poll, journal, pause
pub mod poller; // one poll, with token refresh and refusals
pub mod portal_queue; // the queue of a real portal
pub mod preflight; // the checks before a poll may confirm
pub mod retention; // the portal's 24 hours
pub mod unreadable; // events that cannot be parsed
pub mod upstream; // a queue as the relay uses it
