//! What a portal answers, and what is forgiven in it.

pub(crate) mod intermediary; // responses that no portal sent
pub(crate) mod lenient; // numbers as strings, `Y` for true
pub(crate) mod odd; // pages with an unreadable event
pub(crate) mod scan; // the structure of a JSON text, without parsing it
pub(crate) mod shapes; // the JSON of responses
pub(crate) mod unreadable; // responses without JSON
