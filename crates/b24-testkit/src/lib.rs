//! What the tests of several crates share. Not part of the program.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)] // A test fails by a panic.

pub mod fuzzing; // fuzzed bytes as answers, and the seeds of fuzz targets
