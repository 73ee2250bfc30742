//! What the tests share. Nothing in here is a test.

pub mod expected;
pub mod portal;
pub mod process;
pub mod receivers;
pub mod state;
