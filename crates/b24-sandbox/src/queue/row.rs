//! One event as it stands in one queue (PORTAL.md 2.2).

use std::sync::Arc;

/// One event for one reader. The payload is rendered once and shared.
#[derive(Clone, Debug)]
pub struct Row {
    /// The portal's number for it.
    pub id: u64,
    /// `ONIMV2MESSAGEADD` and the like.
    pub kind: Arc<str>,
    /// Unix second of its creation.
    pub created_s: i64,
    /// Unix second of the `date` it is shown with.
    pub dated_s: i64,
    /// The JSON of `data`.
    pub data: Arc<str>,
    /// How often it went out.
    pub served: Served,
}

impl Row {
    /// A row nobody has seen.
    pub fn new(id: u64, created_s: i64, kind: Arc<str>, data: Arc<str>) -> Self {
        Self { id, kind, created_s, dated_s: created_s, data, served: Served::Never }
    }

    /// The row under another date, which it keeps: that of a clock unlike the portal's.
    pub fn dated(self, dated_s: i64) -> Self {
        Self { dated_s, ..self }
    }

    /// Whether no whole answer has ever carried it.
    pub fn is_unserved(&self) -> bool {
        self.served == Served::Never
    }
}

/// In how many whole answers a row went out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Served {
    /// In none.
    Never,
    /// In one.
    Once,
    /// In more.
    Again,
}
