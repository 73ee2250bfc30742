//! Every event is delivered, in order, through crashes and failing sinks.

pub(crate) mod basics;
pub(crate) mod crashes;
pub(crate) mod dead_letters;
pub(crate) mod failpoints;
pub(crate) mod journal;
pub(crate) mod kills;
pub(crate) mod lane_fates;
pub(crate) mod neighbours;
pub(crate) mod ordering;
pub(crate) mod power_cut;
pub(crate) mod signals;
pub(crate) mod soak;
