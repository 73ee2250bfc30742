//! The promises, tested from outside: real HTTP, real files, real processes, real signals.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(missing_docs, reason = "a test's name is its documentation")]

mod application;
mod ledger;
mod logins;
mod portal;
mod process;
mod receiver;
mod setup;
mod tidy;
mod waiting;

mod bot_endings;
mod bot_refusals;
mod bot_sources;
mod bots;
mod budget;
mod commands;
mod configuration;
mod crashes;
mod delivery;
mod faults;
mod first_layout;
mod full_disk;
mod grant;
mod handlers;
mod latecomers;
mod login;
mod oauth;
mod offsets;
mod parking;
mod preflight;
mod reconfigured;
mod refusals;
mod renamed;
mod restored;
mod secrets;
mod signals;
mod state_file;
mod subscription;
mod tap;
mod tokens;
mod whose_queue;
