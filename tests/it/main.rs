//! The promises, tested from outside: real HTTP, real files, real processes, real signals.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(missing_docs, reason = "a test's name is its documentation")]

mod ledger;
mod logins;
mod portal;
mod process;
mod receiver;
mod setup;
mod tidy;
mod waiting;

mod bots;
mod commands;
mod configuration;
mod crashes;
mod delivery;
mod faults;
mod full_disk;
mod grant;
mod handlers;
mod latecomers;
mod login;
mod oauth;
mod preflight;
mod reconfigured;
mod secrets;
mod signals;
mod state_file;
mod subscription;
mod tap;
mod tokens;
