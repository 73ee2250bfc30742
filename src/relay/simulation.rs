//! The entry point for the simulation of the engine (`tests/simulation`), and for nothing else. It runs the daemon
//! once, like [`crate::relay::run_reloading`], but in a host that follows a script.
//!
//! The state file (`Store::simulated`), this machine's clock (`simulate_clock`) and blocking work
//! (`simulate_blocking`) follow a script too, and so do the random delays if the caller seeds the thread's
//! `fastrand`.

#[cfg(feature = "simulation")]
pub use crate::blocking::simulation::simulate_blocking;
pub use crate::relay::host::Host;
pub use crate::relay::run::Run;
#[cfg(feature = "simulation")]
pub use crate::wall_clock::simulation::simulate_clock;
