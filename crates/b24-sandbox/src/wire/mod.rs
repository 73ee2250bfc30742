//! Answers as bytes.

pub mod batch_page;
pub mod bot_payload;
pub mod envelope;
pub mod page;
pub mod payload;
pub mod php_json;
