//! From the text of file, environment and flags to checked values.

pub(super) mod document; // the file, with line numbers
pub(super) mod enums; // one of a few words
pub(super) mod findings; // all violations of one round
pub(super) mod keys; // which keys have which values, to compare
pub(super) mod lines; // the line of a value
pub(super) mod load; // finds and merges the layers
pub(super) mod quote; // how keys and values are quoted
pub(super) mod read; // the merged tree becomes a `Config`
pub(super) mod syntax; // the error for text that is not TOML
pub(super) mod table; // reads one table
pub(super) mod value; // one typed value
pub(crate) mod variables; // of the environment
