//! The codes of the warnings and errors in the log: each of these lines has one, as its field `code`.
//!
//! A code never changes its meaning, because people and programs search for it. When its last line goes, the code is
//! deleted here, and its number is never used again. Lines with the same meaning share a code. The letter is the area.
//! An error that ends the program has the code of its exit code instead (`B24-E78` for 78).
//! `docs/operate/troubleshooting.md` and its Russian version explain every code.

// Portal and sources. Next: P22.
pub(crate) const SOURCE_REFUSED: &str = "B24-P01";
pub(crate) const SOURCE_NOT_SERVED: &str = "B24-P02";
pub(crate) const POLL_FAILED: &str = "B24-P03";
pub(crate) const SUBSCRIPTION_NOT_RENEWED: &str = "B24-P04";
pub(crate) const SUBSCRIPTION_LOST: &str = "B24-P05";
pub(crate) const FOREIGN_READER: &str = "B24-P06";
pub(crate) const EVENTS_SKIPPED: &str = "B24-P07";
pub(crate) const EVENTS_REPEATED: &str = "B24-P08";
pub(crate) const DATES_ODD: &str = "B24-P09";
pub(crate) const PORTAL_RESTORED: &str = "B24-P10";
pub(crate) const OPERATING_TIME_SHORT: &str = "B24-P11";
pub(crate) const POLLS_TOO_MANY: &str = "B24-P12";
pub(crate) const RETENTION_WARNING: &str = "B24-P13";
pub(crate) const RETENTION_ERROR: &str = "B24-P14";
pub(crate) const GAP: &str = "B24-P15";

// Sinks of every type, and webhooks. Next: S12.
pub(crate) const ATTEMPT_FAILED: &str = "B24-S01";
pub(crate) const SINK_HELD: &str = "B24-S02";
pub(crate) const SINK_PAUSED: &str = "B24-S03";
pub(crate) const EVENTS_REJECTED: &str = "B24-S04";
pub(crate) const DEAD_LETTERS_NEARLY_FULL: &str = "B24-S05";
pub(crate) const DEAD_LETTERS_DROPPED: &str = "B24-S06";
pub(crate) const DEAD_LETTERS_OLD: &str = "B24-S07";
pub(crate) const EVERYTHING_FILTERED: &str = "B24-S08";
pub(crate) const SECRETS_UNUSABLE: &str = "B24-S09";
pub(crate) const FILTER_FAILED: &str = "B24-S11";

// File sinks. Next: F12.
pub(crate) const FILE_NOT_ROTATED: &str = "B24-F01";
pub(crate) const FILES_NOT_TIDIED: &str = "B24-F02";
pub(crate) const FILE_NOT_COMPRESSED: &str = "B24-F03";
pub(crate) const FILE_NOT_DELETED: &str = "B24-F04";
pub(crate) const COPIES_DIFFER: &str = "B24-F05";
pub(crate) const FILE_NOT_SEARCHED: &str = "B24-F06";
pub(crate) const FILE_REPAIRED: &str = "B24-F07";
pub(crate) const FILE_TAKEN_AWAY: &str = "B24-F08";
pub(crate) const FILE_REPLACED: &str = "B24-F09";
pub(crate) const FILE_EXPOSED: &str = "B24-F10";
pub(crate) const FILES_IGNORED: &str = "B24-F11";

// State file and journal. Next: J06.
pub(crate) const STATE_NOT_WRITTEN: &str = "B24-J01";
pub(crate) const JOURNAL_NEARLY_FULL: &str = "B24-J02";
pub(crate) const JOURNAL_FULL: &str = "B24-J03";
pub(crate) const SINK_REMOVED: &str = "B24-J04";
pub(crate) const SOURCE_REMOVED: &str = "B24-J05";

// Configuration. Next: C07.
pub(crate) const CONFIG_INVALID: &str = "B24-C01";
pub(crate) const CONFIG_NOT_APPLIED: &str = "B24-C02";
pub(crate) const RELOAD_REFUSED: &str = "B24-C03";
pub(crate) const RELOAD_WAITS: &str = "B24-C04";
pub(crate) const CONFIG_NOTICE: &str = "B24-C05";
pub(crate) const NOTHING_TO_FORGET: &str = "B24-C06";

// This host, the process and its HTTP server. Next: H07.
pub(crate) const WRONG_TOKEN: &str = "B24-H01";
pub(crate) const PLAIN_HTTP: &str = "B24-H02";
pub(crate) const POLL_LOOP_HANGS: &str = "B24-H03";
pub(crate) const CLOCK_SKEW: &str = "B24-H04";
pub(crate) const THREAD_PANICKED: &str = "B24-H05";
pub(crate) const LOG_LINES_DROPPED: &str = "B24-H06";
