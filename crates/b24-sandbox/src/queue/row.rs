//! One event in one queue (PORTAL.md 2.2).

use std::sync::Arc;

/// One event for one reader. The payload is rendered once and shared.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The portal's event id.
    pub id: u64,
    /// `ONIMV2MESSAGEADD` and the like.
    pub kind: Arc<str>,
    /// Unix time of its creation, in seconds.
    pub created_s: i64,
    /// Unix time of its `date`, in seconds.
    pub dated_s: i64,
    /// The JSON of `data`.
    pub data: Arc<str>,
    /// How often it was sent.
    pub served: Served,
}

impl Row {
    /// A row that was never sent.
    pub(crate) fn new(id: u64, created_s: i64, kind: Arc<str>, data: Arc<str>) -> Self {
        Self { id, kind, created_s, dated_s: created_s, data, served: Served::Never }
    }

    /// The row with another date, which comes from a clock that differs from the portal's.
    pub(crate) fn dated(self, dated_s: i64) -> Self {
        Self { dated_s, ..self }
    }

    /// True if no complete response has contained it.
    pub(crate) fn is_unserved(&self) -> bool {
        self.served == Served::Never
    }
}

/// The number of complete responses that contained a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Served {
    /// No response.
    Never,
    /// One response.
    Once,
    /// Several responses.
    Again,
}
