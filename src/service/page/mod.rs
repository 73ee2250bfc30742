//! The page: flows, charts and recent events.

pub(super) mod charts; // the last hour as SVG
pub(super) mod document; // the whole page
pub(super) mod flows; // each source and its sinks
pub(super) mod history; // the last hour of each lane
pub(super) mod markup;
pub(super) mod recent_events; // the latest events, if enabled
pub(super) mod recent_problems; // the latest warnings and errors
