//! The portal's limits: requests per second, and operating time per method.

pub mod bucket;
pub mod operating;
