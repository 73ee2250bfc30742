//! The portal's limits: requests per second, and operating time per method.

pub mod bucket; // requests per second
pub mod operating; // seconds per method
