//! SIGHUP reloads the configuration.

pub(crate) mod reload_limits;
pub(crate) mod reload_names;
pub(crate) mod reloaded_surface;
pub(crate) mod reloading;
pub(crate) mod removed_parts;
