//! The state file: layouts, damage, place and size.

pub(crate) mod corrupted;
pub(crate) mod first_layout;
pub(crate) mod migrations;
pub(crate) mod old_layouts;
pub(crate) mod reconfigured;
pub(crate) mod state_commands;
pub(crate) mod state_file;
pub(crate) mod state_place;
pub(crate) mod state_size;
