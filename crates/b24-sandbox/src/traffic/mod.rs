//! Generated traffic: people, chats and the events that they cause.

pub mod background; // random events at a rate
pub mod chat; // chats and their members
pub mod generator; // messages by a seed
pub mod people;
pub mod phrases; // texts
pub mod scene; // one event for all its recipients
