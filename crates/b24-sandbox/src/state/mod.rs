//! The portal's state: accounts, applications, bots, handlers, tokens, the clock and the counters.

pub mod apps; // applications
pub mod bots;
pub mod clock; // real, set or frozen
pub mod config; // of a sandbox
pub mod counters; // for tests
pub mod event_names; // events that can be bound
pub mod handlers; // bindings of applications
pub mod offline; // the offline queue
pub mod portal; // all of it, behind one lock
pub mod rng; // reproducible random values
pub mod switches; // differences between portals
pub mod tokens; // codes and tokens
