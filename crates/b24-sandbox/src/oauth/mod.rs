//! The authorization server and its pages.

pub mod answer;
pub mod grant;
pub mod landing;
pub mod routes;
