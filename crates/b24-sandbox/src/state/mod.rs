//! The portal's state: accounts, applications, bots, handlers, tokens, the clock and the counters.

pub(crate) mod apps; // applications
pub(crate) mod bots;
pub(crate) mod clock; // real, set or frozen
pub(crate) mod config; // of a sandbox
pub(crate) mod counters; // for tests
pub(crate) mod event_names; // events that can be bound
pub(crate) mod handlers; // bindings of applications
pub(crate) mod offline; // the offline queue
pub(crate) mod portal; // all of it, behind one lock
pub(crate) mod rng; // reproducible random values
pub(crate) mod switches; // differences between portals
pub(crate) mod tokens; // codes and tokens
