//! One queue: its poll loop, what decides how it polls, and what may be confirmed.

pub mod confirm_window;
pub mod pace;
pub mod page_limit;
pub mod poll_loop;
pub mod poller;
pub mod preflight;
pub mod retention;
pub mod unreadable;
