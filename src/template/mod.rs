//! What operators write over an event: expressions of filters and templates of bodies. The language is that of minijinja.

pub(crate) mod body; // `template` of a webhook
mod engine; // limits, undefined values, and the place of a mistake
pub(crate) mod expression; // `filter` of a sink
mod variables; // the event as the variables of an expression

pub use body::BodyTemplate;
pub use expression::Expression;
