//! What must arrive, and the trouble on the way.

pub(crate) mod books;
pub(crate) mod ledger;
pub(crate) mod trouble;
