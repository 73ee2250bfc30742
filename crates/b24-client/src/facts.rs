//! What every Bitrix24 portal does, as constants.

use std::time::Duration;

/// The most events that one read returns (PORTAL.md 2.3). Later events can only be read after these are confirmed.
pub const PAGE_MAX: u16 = 1000;

/// How long the portal keeps an event, read or not (PORTAL.md 2.5).
pub const EVENT_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// The pause after `OPERATION_TIME_LIMIT` when the portal does not say how long to wait (PORTAL.md section 7).
pub const OPERATING_UNKNOWN: Duration = Duration::from_secs(60);
