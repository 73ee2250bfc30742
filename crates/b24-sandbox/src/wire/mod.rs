//! Renders responses as bytes.

pub mod bot_payload;
pub mod envelope;
pub mod html;
pub mod members;
pub mod outcome;
pub mod page;
pub mod payload;
pub mod php_json;
