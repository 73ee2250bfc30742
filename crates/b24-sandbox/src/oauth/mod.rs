//! The authorization server, and its pages for people.

pub mod answer;
pub mod grant;
pub mod landing;
pub mod routes;
