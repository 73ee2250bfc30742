//! What commands print, and what they ask.

pub(in crate::cli) mod consent; // asks before something is destroyed
pub(in crate::cli) mod input_mode;
pub(in crate::cli) mod palette; // colours of states
pub(in crate::cli) mod print; // answers and remarks
pub(in crate::cli) mod table; // columns for people
pub(in crate::cli) mod watch; // repeats a report
