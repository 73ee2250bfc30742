//! The content of the file: layouts and their migrations, checksums and integrity checks.

pub mod checksum; // one for each row
pub mod finding; // a result of an inspection
pub mod inspection; // `state check`
pub mod integrity; // rules of rows and between tables
pub mod migrations;
pub mod page_check; // SQLite's check of a big file, in the background
