//! What an operator sees: page, metrics, `status`, log and notifications.

pub mod browser;
pub mod hour;
pub mod lane_states;
pub mod night;
pub mod notified;
pub mod states;
pub mod surface;
pub mod told;
