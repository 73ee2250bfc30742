//! The codes of this crate's warnings, as their field `code`. The daemon has the others, and its documents explain them
//! all.

pub(crate) const PORTAL_MOVED: &str = "B24-P16";
pub(crate) const PORTAL_BACK: &str = "B24-P17";
pub(crate) const PORTAL_NOT_TRUSTED: &str = "B24-P18";
pub(crate) const ADDRESS_NOT_STORED: &str = "B24-P19";
pub(crate) const TOKENS_NOT_STORED: &str = "B24-P20";
pub(crate) const TOKENS_LOST: &str = "B24-P21";
pub(crate) const STRAY_BYTES: &str = "B24-S10";
