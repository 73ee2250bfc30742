//! What a portal answers, and what is forgiven in it.

pub mod intermediary; // responses that no portal sent
pub mod lenient; // numbers as strings, `Y` for true
pub mod odd; // pages with an unreadable event
pub mod scan; // the structure of a JSON text, without parsing it
pub mod shapes; // the JSON of responses
pub mod unreadable; // responses without JSON
