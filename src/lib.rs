//! placeholder
pub mod cli;
pub mod config;
pub mod event;
pub mod http_client;
pub mod portal;
pub mod relay;
pub mod retry;
pub mod sandbox;
pub mod shutdown;
pub mod sink;
pub mod store;
pub mod telemetry;
