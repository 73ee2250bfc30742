//! From the text of file, environment and flags to checked values.

pub mod choice;
pub mod document;
pub mod environment;
pub mod findings;
pub mod leaf;
pub mod lines;
pub mod load;
pub mod read;
pub mod shown;
pub mod syntax;
pub mod table;
pub mod variable;
pub mod variable_names;
