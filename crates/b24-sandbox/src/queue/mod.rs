//! The event queues: rows, ids, how events are added and read, and how old ones are deleted.

pub(crate) mod append; // dates and visibility
pub(crate) mod buffer; // one queue
pub(crate) mod ids; // the event counter
pub(crate) mod lateness; // rows that become visible late
pub(crate) mod owner; // a user or a bot
pub(crate) mod read; // one page
pub(crate) mod retention; // deletes rows after 24 hours
pub(crate) mod row; // one event
pub(crate) mod seed; // generated events
pub(crate) mod selection; // filters of the offline queue
