//! What the tests share. Nothing in here is a test.

pub(crate) mod expected;
pub(crate) mod portal;
pub(crate) mod process;
pub(crate) mod receivers;
pub(crate) mod state;
