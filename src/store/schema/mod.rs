//! The content of the file: layouts and their migrations, checksums and integrity checks.

pub mod checksum;
pub mod finding;
pub mod inspection;
pub mod integrity;
pub mod migrations;
pub mod page_check;
