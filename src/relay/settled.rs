//! Whether something came to its end.

/// See the top of this file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settled {
    /// It did, and that is on the disk.
    All,
    /// A stop, or the end of a drain's patience, left some of it for another time.
    CutShort,
}
