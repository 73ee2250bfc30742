//! State files: prepared, damaged, recorded and read.

pub mod corruption;
pub mod disk;
pub mod recording;
pub mod state_rows;
pub mod veteran;
