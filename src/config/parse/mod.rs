//! From the text of file, environment and flags to checked values.

pub mod document; // the file, with line numbers
pub mod enums; // one of a few words
pub mod environment; // captured once
pub mod findings; // all violations of one round
pub mod lines; // the line of a value
pub mod load; // finds and merges the layers
pub mod quote; // how keys and values are quoted
pub mod read; // the merged tree becomes a `Config`
pub mod syntax; // the error for text that is not TOML
pub mod table; // reads one table
pub mod value; // one typed value
pub mod variable; // names of our variables
pub mod variable_names; // variables that look like ours
