//! What an operator sees: page, metrics, `status`, log and notifications.

pub(crate) mod browser;
pub(crate) mod hour;
pub(crate) mod lane_states;
pub(crate) mod night;
pub(crate) mod notified;
pub(crate) mod states;
pub(crate) mod surface;
pub(crate) mod told;
