//! Small queries.

use rusqlite::{Connection, OptionalExtension as _};

/// The first value of the first row, if there is a row.
pub(super) fn first<T: rusqlite::types::FromSql>(
    connection: &Connection,
    sql: &str,
) -> rusqlite::Result<Option<T>> {
    connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()
}
