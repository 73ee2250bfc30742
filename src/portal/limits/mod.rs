//! The limits of a portal, and how often it may be asked.

pub mod budget;
pub mod operating;
pub mod tries;
