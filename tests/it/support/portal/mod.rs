//! The sandbox portal of one test, its applications and its authorization server.

pub(crate) mod application;
pub(crate) mod front;
pub(crate) mod logins;
pub(crate) mod sandbox;
pub(crate) mod token_server;
