//! What an operator sees: page, metrics, `status`, log and notifications.

pub(crate) mod browser;
pub(crate) mod lane_states;
pub(crate) mod notified;
pub(crate) mod operator_reports;
pub(crate) mod operator_scenarios;
pub(crate) mod page_history;
pub(crate) mod page_sizes;
pub(crate) mod states;
pub(crate) mod surface;
