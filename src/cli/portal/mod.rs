//! Commands that ask a portal.

pub(in crate::cli) mod handlers;
pub(in crate::cli) mod login;
pub(in crate::cli) mod loss; // counts the events that a command would remove
pub(in crate::cli) mod moved;
pub(in crate::cli) mod peek; // reads a queue without confirming
pub(in crate::cli) mod refused; // the portal's refusals
pub(in crate::cli) mod source; // the source that a command works on
pub(in crate::cli) mod subscription; // `subscribe` and `unsubscribe`
pub(in crate::cli) mod tap;
