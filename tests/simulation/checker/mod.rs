//! Checks the guarantees, at every step and at the end.

pub(crate) mod calls;
pub(crate) mod count;
pub(crate) mod judge;
pub(crate) mod ledger;
pub(crate) mod restores;
