//! Every event is delivered, in order, through crashes and failing sinks.

pub mod basics;
pub mod crashes;
pub mod dead_letters;
pub mod failpoints;
pub mod journal;
pub mod kills;
pub mod lane_fates;
pub mod neighbours;
pub mod ordering;
pub mod power_cut;
pub mod signals;
pub mod soak;
