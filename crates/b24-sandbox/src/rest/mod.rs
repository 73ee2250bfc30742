//! The REST interface: parses requests and executes them.

pub(crate) mod batch; // 50 calls in one request
pub(crate) mod caller; // the checks before every method
pub(crate) mod credential;
pub(crate) mod dispatch; // from a name to its code
pub(crate) mod execute; // checks, limiter, method
pub(crate) mod input; // parses requests
pub(crate) mod limits; // rate and operating time
pub(crate) mod method; // the names
pub(crate) mod methods; // by topic
pub(crate) mod outcome; // a method's context and result
pub(crate) mod reference; // `$result[...]` in a batch
pub(crate) mod refusal; // the portal's errors
