//! The REST interface: parses requests and executes them.

pub mod batch;
pub mod caller;
pub mod credential;
pub mod dispatch;
pub mod execute;
pub mod input;
pub mod limits;
pub mod method;
pub mod methods;
pub mod outcome;
pub mod reference;
pub mod refusal;
