//! The charts of the page: what is recorded, for how long, and how it is drawn.

pub(in crate::service) mod drawing; // lines as SVG, with their scales
pub(in crate::service) mod frame; // the figures of one step
pub(in crate::service) mod history; // the last hour in small steps, the last day in larger ones
