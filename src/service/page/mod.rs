//! The page: flows, charts and recent events.

pub mod charts;
pub mod document;
pub mod flows;
pub mod history;
pub mod markup;
pub mod recent_events;
pub mod recent_problems;
