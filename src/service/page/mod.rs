//! The page: flows, charts and recent events.

pub mod charts;
pub mod document;
pub mod flows;
pub mod glimpses;
pub mod history;
pub mod markup;
pub mod troubles;
