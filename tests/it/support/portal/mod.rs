//! The sandbox portal of one test, its applications and its authorization server.

pub mod application;
pub mod logins;
pub mod sandbox;
pub mod token_server;
