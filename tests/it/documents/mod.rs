//! Documents and source code keep their own rules.

pub mod circles;
pub mod claims;
pub mod dependencies;
pub mod log_codes;
pub mod manual;
pub mod manuals;
pub mod scripts;
pub mod tidy;
pub mod troubleshooting;
