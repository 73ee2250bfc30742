//! Generated traffic: people, chats and the events that they cause.

pub mod background;
pub mod chat;
pub mod generator;
pub mod people;
pub mod phrases;
pub mod scene;
