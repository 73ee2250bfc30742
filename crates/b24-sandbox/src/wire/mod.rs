//! Renders responses as bytes.

pub(crate) mod bot_payload; // events of bots
pub(crate) mod envelope; // of every response
pub(crate) mod html; // pages and redirects
pub(crate) mod members; // JSON objects that keep their bytes
pub(crate) mod outcome; // `result` and `time`
pub(crate) mod page; // the response to a poll
pub(crate) mod payload; // `data` of an event
pub(crate) mod php_json; // JSON as PHP writes it
