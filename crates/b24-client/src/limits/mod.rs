//! The limits of a portal, and how often it may be asked.

pub mod budget; // requests per second
pub mod operating; // the operating time of each method
pub mod tries; // how often a command tries again
