//! What the engine meets: a portal, sinks and clocks that follow the plan.

pub(crate) mod clocks;
pub(crate) mod events;
pub(crate) mod portal;
pub(crate) mod queue;
pub(crate) mod sinks;
