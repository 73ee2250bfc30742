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

impl Exit {
    /// The code that the error which ends the process has in the log and on stderr.
    pub fn code(self) -> String {
        format!("B24-E{}", self as u8)
    }
}
