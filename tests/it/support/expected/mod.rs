//! What must arrive, and the trouble on the way.

pub mod books;
pub mod ledger;
pub mod trouble;
