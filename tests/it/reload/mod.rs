//! SIGHUP reloads the configuration.

pub mod left_behind;
pub mod reload_limits;
pub mod reload_names;
pub mod reloaded_surface;
pub mod reloading;
