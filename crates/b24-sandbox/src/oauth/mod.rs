//! The authorization server and its pages.

pub(crate) mod answer; // the token endpoint's responses
pub(crate) mod grant; // who gets a code or tokens
pub(crate) mod landing; // the pages in the browser
pub(crate) mod routes;
