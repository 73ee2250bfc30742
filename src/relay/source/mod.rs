//! One queue: its poll loop, the rules of its polling, and the confirm window.

pub mod confirm_window;
pub mod pace;
pub mod page_limit;
pub mod poll_loop;
pub mod poller;
pub mod preflight;
pub mod retention;
pub mod unreadable;
