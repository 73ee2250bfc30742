//! What must arrive, and the trouble on the way.

pub(crate) mod event_record;
pub(crate) mod ledger;
pub(crate) mod trouble;
