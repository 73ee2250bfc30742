//! The limits of a portal, and how often it may be asked.

pub(crate) mod budget; // requests per second
pub(crate) mod operating; // the operating time of each method
pub(crate) mod tries; // how often a command tries again
