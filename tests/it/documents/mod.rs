//! Documents and source code keep their own rules.

pub(crate) mod circles;
pub(crate) mod claims;
pub(crate) mod dependencies;
pub(crate) mod deployment;
pub(crate) mod installer;
pub(crate) mod log_codes;
pub(crate) mod manual;
pub(crate) mod manuals;
pub(crate) mod scripts;
pub(crate) mod tidy;
pub(crate) mod troubleshooting;
