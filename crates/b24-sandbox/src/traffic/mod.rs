//! Generated traffic: people, chats and the events that they cause.

pub(crate) mod background; // random events at a rate
pub(crate) mod chat; // chats and their members
pub(crate) mod event_data;
pub(crate) mod generator; // messages by a seed
pub(crate) mod people;
pub(crate) mod phrases; // texts // one event for all its recipients
