//! The control API under `/sandbox/`, for tests and developers.

pub mod api; // the routes
pub mod apps; // applications and their tokens
pub mod bots;
pub mod handlers; // bindings that no application requested
pub mod queues; // the events of one user or bot
pub mod relocation; // the portal moves
pub mod reply; // responses and body parsing
