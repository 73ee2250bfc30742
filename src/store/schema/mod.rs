//! The content of the file: layouts and their migrations, checksums and integrity checks.

pub(super) mod checksum; // one for each row
pub(super) mod finding; // a result of an inspection
pub(super) mod inspection; // `state check`
pub(super) mod integrity; // rules of rows and between tables
pub(super) mod migrations;
pub(super) mod page_check; // SQLite's check of a big file, in the background
