//! From the text of file, environment and flags to checked values.

pub mod document;
pub mod enums;
pub mod environment;
pub mod findings;
pub mod lines;
pub mod load;
pub mod quote;
pub mod read;
pub mod syntax;
pub mod table;
pub mod value;
pub mod variable;
pub mod variable_names;
