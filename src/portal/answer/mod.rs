//! What a portal answers, and what is forgiven in it.

pub mod intermediary;
pub mod lenient;
pub mod odd;
pub mod scan;
pub mod shapes;
pub mod unreadable;
