//! Differences between portals, changed with the control API. The default is a normal portal.

use serde::{Deserialize, Serialize};

use crate::queue::lateness::Lateness;
use crate::rest::limits::bucket::BucketSize;
use crate::wire::payload::Loaded;

/// The portal's switches. Their names are the keys of `POST /sandbox/portal`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "switches are independent of each other")]
pub(crate) struct Switches {
    /// The portal is closed: every call gets `PORTAL_DELETED`.
    pub closed: bool,
    /// Refuse plain HTTP. The sandbox supports nothing else.
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
    /// The body starts with a byte order mark.
    pub bom: bool,
    /// The body starts with a PHP warning, as on a portal that displays errors.
    pub noise_before: bool,
    /// The body ends with output of a template.
    pub noise_after: bool,
    /// Every call gets an HTML page with status 200, and none is executed.
    pub html: bool,
    /// Every call finds its connection closed without an answer, and none is executed.
    pub cut: bool,
    /// How much the payloads of new events contain about message, chat and user.
    pub loaded: Loaded,
    /// `eventId` and `nextOffset` are strings.
    pub ids_as_strings: bool,
    /// `nextOffset` of an empty page is null.
    pub null_next_offset: bool,
    /// Pages have `lastEventId` and no `nextOffset` (the format before 25.03.2026).
    pub legacy_last_event_id: bool,
    /// Added to the `date` of new events: the difference between the clocks of the database and the portal.
    pub date_skew_s: i64,
    /// The plan includes reservations and connectors for offline events (PORTAL.md 4).
    pub extended_offline: bool,
    /// Rows per second that the traffic generator adds across the whole portal.
    pub rate: f64,
    /// The operating time in seconds that each credential may use for each method within ten minutes; null
    /// for no limit (PORTAL.md 7).
    pub operating_limit_s: Option<f64>,
    /// The time that each call is reported to take.
    pub execution_s: f64,
    /// Newer rows are not on the replica yet, which serves callers without an offset (PORTAL.md 2.4).
    pub replica_lag_s: i64,
    /// The rate limiter; null for none (PORTAL.md 7).
    pub bucket: Option<BucketSize>,
    /// Rows that become visible some time after they get an id; null for none (PORTAL.md 2.9).
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
            cut: false,
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
