//! The state file: layouts, damage, place and size.

pub mod corrupted;
pub mod first_layout;
pub mod migrations;
pub mod old_layouts;
pub mod reconfigured;
pub mod state_commands;
pub mod state_file;
pub mod state_place;
pub mod state_size;
