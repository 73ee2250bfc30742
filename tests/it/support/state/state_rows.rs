//! Reads a state file directly, without the relay.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

/// The offset of the portal's queue after all events that a lane has committed without a gap.
pub(crate) fn committed_offset(path: &Path, source: &str, sink: &str) -> rusqlite::Result<u64> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    // Events that are no longer in the journal are confirmed.
    connection.query_row(
        "SELECT ifnull((SELECT 1 + (ids ->> (next - 1 - first)) FROM batch WHERE batch.source = lane.source
             AND first <= next - 1 AND next - 1 < first + count), iif(next = 1, 1, confirmed))
         FROM lane JOIN source ON name = lane.source WHERE lane.source = ?1 AND sink = ?2",
        [source, sink],
        |row| row.get(0),
    )
}
