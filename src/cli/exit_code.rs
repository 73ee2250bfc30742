//! The codes that commands end with (`sysexits.h`).

/// The exit codes of the process (docs/reference/exit-codes.md).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    Clean = 0,
    Usage = 64,
    Unavailable = 69,
    Internal = 70,
    Io = 74,
    Temporary = 75,
    Refused = 77,
    Config = 78,
}
