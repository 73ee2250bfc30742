//! Tests of the guarantees from outside: real HTTP, real files, real processes, real signals.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::similar_names, reason = "what is compared has like names")]
#![allow(missing_docs, reason = "a test's name is its documentation")]

mod bots;
mod commands;
mod delivery;
mod documents;
mod file_sink;
mod filters;
mod messengers;
mod oauth;
mod observe;
mod portal;
mod reload;
mod security;
mod starting;
mod state;
mod support;
mod webhook_sink;
