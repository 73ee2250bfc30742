//! The portal's limits: requests per second, and operating time per method.

pub(crate) mod bucket; // requests per second
pub(crate) mod operating; // seconds per method
