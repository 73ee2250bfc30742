//! State files: prepared, damaged, recorded and read.

pub(crate) mod corruption;
pub(crate) mod disk;
pub(crate) mod populated_state;
pub(crate) mod recording;
pub(crate) mod state_rows;
