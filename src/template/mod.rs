//! What operators write over an event: expressions of filters. The language is that of minijinja.

mod engine; // limits, undefined values, and the place of a mistake
pub(crate) mod expression; // `filter` of a sink
mod variables; // the event as the variables of an expression

pub use expression::Expression;
