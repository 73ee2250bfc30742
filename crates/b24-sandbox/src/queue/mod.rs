//! The event queues: rows, ids, how events are added and read, and how old ones are deleted.

pub mod append; // dates and visibility
pub mod buffer; // one queue
pub mod ids; // the event counter
pub mod lateness; // rows that become visible late
pub mod owner; // a user or a bot
pub mod read; // one page
pub mod retention; // deletes rows after 24 hours
pub mod row; // one event
pub mod seed; // generated events
pub mod selection; // filters of the offline queue
