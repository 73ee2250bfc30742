//! What one portal does unlike another: flipped by the control API, harmless by default.

use serde::{Deserialize, Serialize};

use crate::queue::lateness::Lateness;
use crate::rest::limits::bucket::BucketSize;
use crate::wire::payload::Loaded;

/// The portal's switches. Their names are the keys of `POST /sandbox/portal`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "switches are independent of each other")]
pub struct Switches {
    /// The portal is closed: every call is answered `PORTAL_DELETED`.
    pub closed: bool,
    /// Plain HTTP is refused, and the sandbox speaks nothing else.
    pub require_https: bool,
    /// `unsubscribe` deletes the stored rows (PORTAL.md 2.6).
    pub purge_on_unsubscribe: bool,
    /// Reactions say `add` or `delete`, as documented, and not `""` (PORTAL.md 2.7).
    pub reaction_action: bool,
    /// `time.start` and `time.processing` are floats, as in older builds.
    pub float_time: bool,
    /// The numbers of `time` are strings.
    pub time_as_strings: bool,
    /// `time` has `operating` and `operating_reset_at`.
    pub operating: bool,
    /// A byte order mark stands before the body.
    pub bom: bool,
    /// A PHP warning stands before the body, as on a portal that displays errors.
    pub noise_before: bool,
    /// Something that a template printed stands behind the body.
    pub noise_after: bool,
    /// Every call is answered with an HTML page and status 200, and none is carried out.
    pub html: bool,
    /// What the payloads of events recorded from now on hold of message, chat and user.
    pub loaded: Loaded,
    /// `eventId` and `nextOffset` are strings.
    pub ids_as_strings: bool,
    /// `nextOffset` of an empty page is null.
    pub null_next_offset: bool,
    /// Pages have `lastEventId` and no `nextOffset` (the format before 25.03.2026).
    pub legacy_last_event_id: bool,
    /// Added to the `date` of events as they are recorded: the database's clock against the portal's.
    pub date_skew_s: i64,
    /// The plan has reservations and connectors for offline events (PORTAL.md 4).
    pub extended_offline: bool,
    /// Rows the chatter makes, in one second, over the whole portal.
    pub rate: f64,
    /// How many seconds each credential may spend on each method within ten minutes; as many as it
    /// likes when null (PORTAL.md 7).
    pub operating_limit_s: Option<f64>,
    /// What each call is said to take.
    pub execution_s: f64,
    /// Rows younger than this are not on the replica yet, which callers without an offset read
    /// (PORTAL.md 2.4).
    pub replica_lag_s: i64,
    /// The rate limiter; none unless set (PORTAL.md 7).
    pub bucket: Option<BucketSize>,
    /// Rows that show some time after they were given an id; none unless set (PORTAL.md 2.9).
    pub late: Option<Lateness>,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            closed: false,
            require_https: false,
            purge_on_unsubscribe: true,
            reaction_action: false,
            float_time: false,
            time_as_strings: false,
            operating: true,
            bom: false,
            noise_before: false,
            noise_after: false,
            html: false,
            loaded: Loaded::Whole,
            ids_as_strings: false,
            null_next_offset: false,
            legacy_last_event_id: false,
            date_skew_s: 0,
            extended_offline: true,
            rate: 0.0,
            operating_limit_s: None,
            execution_s: 0.0,
            replica_lag_s: 0,
            bucket: None,
            late: None,
        }
    }
}
