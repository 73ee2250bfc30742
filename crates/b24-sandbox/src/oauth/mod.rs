//! The authorization server and its pages.

pub mod answer; // the token endpoint's responses
pub mod grant; // who gets a code or tokens
pub mod landing; // the pages in the browser
pub mod routes;
