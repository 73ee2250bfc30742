//! The codes of this crate's warnings, as their field `code`. The daemon has the others, and its documents explain them
//! all.

pub const PORTAL_MOVED: &str = "B24-P16";
pub const PORTAL_BACK: &str = "B24-P17";
pub const PORTAL_NOT_TRUSTED: &str = "B24-P18";
pub const ADDRESS_NOT_STORED: &str = "B24-P19";
pub const TOKENS_NOT_STORED: &str = "B24-P20";
pub const TOKENS_LOST: &str = "B24-P21";
pub const STRAY_BYTES: &str = "B24-S10";
