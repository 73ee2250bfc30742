//! The variables of the environment.

pub(crate) mod environment; // captured once
pub(crate) mod variable; // names of our variables
pub(crate) mod variable_names; // variables that look like ours
