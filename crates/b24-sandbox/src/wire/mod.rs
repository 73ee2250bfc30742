//! Renders responses as bytes.

pub mod bot_payload; // events of bots
pub mod envelope; // of every response
pub mod html; // pages and redirects
pub mod members; // JSON objects that keep their bytes
pub mod outcome; // `result` and `time`
pub mod page; // the response to a poll
pub mod payload; // `data` of an event
pub mod php_json; // JSON as PHP writes it
