//! placeholder
pub mod cli;
pub mod config;
pub mod event;
pub mod sandbox;
