//! What a person types: one file per command, each thin.

pub mod sandbox;
