//! The real binary as a process, its configuration, and ways to look at it.

pub mod relay;
pub mod setup;
pub mod shown;
pub mod terminal;
pub mod usage;
pub mod waiting;
pub mod webdriver;
