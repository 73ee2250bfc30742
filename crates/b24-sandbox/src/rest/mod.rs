//! The REST interface: what a request asks for, and the portal's answer.

pub mod batch;
pub mod call;
pub mod caller;
pub mod form;
pub mod limits;
pub mod method;
pub mod methods;
pub mod parameter;
pub mod reader;
pub mod reference;
pub mod refusal;
