//! The real binary as a process, its configuration, and ways to look at it.

pub(crate) mod relay;
pub(crate) mod setup;
pub(crate) mod shown;
pub(crate) mod terminal;
pub(crate) mod usage;
pub(crate) mod waiting;
pub(crate) mod webdriver;
