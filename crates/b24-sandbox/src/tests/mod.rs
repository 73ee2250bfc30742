//! Tests of the sandbox over real TCP.

mod basics;
mod bench; // the fixture
mod bots;
mod event_methods;
mod late_ids;
mod limits;
mod oauth;
