//! The page: the state at the top, then sinks, sources and recent events.

pub(super) mod chart; // what the charts show, and how
pub(super) mod document; // the whole page
pub(super) mod markup;
pub(super) mod recent; // the latest events and problems
pub(super) mod sinks; // each sink over all sources
pub(super) mod sources; // the table of sources
pub(super) mod texts; // all texts, in each language
pub(super) mod top; // the state in a word, and four figures
