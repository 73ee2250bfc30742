//! The page: flows, charts and recent events.

pub mod charts; // the last hour as SVG
pub mod document; // the whole page
pub mod flows; // each source and its sinks
pub mod history; // the last hour of each lane
pub mod markup;
pub mod recent_events; // the latest events, if enabled
pub mod recent_problems; // the latest warnings and errors
