//! b24relay
fn main() {}
