//! The control API under `/sandbox/`, for tests and developers.

pub(crate) mod api; // the routes
pub(crate) mod apps; // applications and their tokens
pub(crate) mod bots;
pub(crate) mod handlers; // bindings that no application requested
pub(crate) mod queues; // the events of one user or bot
pub(crate) mod relocation; // the portal moves
pub(crate) mod reply; // responses and body parsing
