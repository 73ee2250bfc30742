//! The latest events and problems.

pub(in crate::service) mod recent_events; // the latest events, if enabled
pub(in crate::service) mod recent_problems; // the latest warnings and errors, equal ones together
