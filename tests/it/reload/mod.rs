//! SIGHUP reloads the configuration.

pub(crate) mod left_behind;
pub(crate) mod reload_limits;
pub(crate) mod reload_names;
pub(crate) mod reloaded_surface;
pub(crate) mod reloading;
