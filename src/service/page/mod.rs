//! The page: flows, charts and recent events.

pub mod charts; // the last hour as SVG
pub mod document; // the whole page
pub mod flows; // each source and its sinks
pub mod glimpses; // the latest events, if enabled
pub mod history; // the last hour of each lane
pub mod markup;
pub mod troubles; // the latest warnings and errors
