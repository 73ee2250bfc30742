//! The REST interface: parses requests and executes them.

pub mod batch; // 50 calls in one request
pub mod caller; // the checks before every method
pub mod credential;
pub mod dispatch; // from a name to its code
pub mod execute; // checks, limiter, method
pub mod input; // parses requests
pub mod limits; // rate and operating time
pub mod method; // the names
pub mod methods; // by topic
pub mod outcome; // a method's context and result
pub mod reference; // `$result[...]` in a batch
pub mod refusal; // the portal's errors
