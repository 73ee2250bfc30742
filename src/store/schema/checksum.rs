//! Seals: a checksum in every row that controls deliveries or confirmations.
//!
//! SQLite notices a torn page, but not a flipped bit inside a number. A row whose seal does not match is damaged: it is
//! neither believed nor overwritten. The `manifest` says how many rows there must be, and the sum of their seals,
//! because a page that is missing or out of date leaves no other trace. Rows that change are sealed by triggers of the
//! connection that writes them; those of `batch` and `dead_letter` when they are inserted.

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _};

/// Rows that change: a table, its key, and all columns that its seal covers.
const SEALED: &[(&str, &[&str], &[&str])] = &[
    (
        "source",
        &["name"],
        &[
            "name",
            "identity",
            "generation",
            "next_seq",
            "open_seq",
            "confirmed",
            "grown",
            "floor",
            "marks",
            "covered_ms",
            "has_odd_dates",
            "journal_bytes",
        ],
    ),
    ("lane", &["source", "sink"], &["source", "sink", "next", "above", "start_ms", "mark", "inherited"]),
    ("gap", &["source", "number"], &["source", "number", "from_ms", "to_ms"]),
    ("memory", &["key"], &["key", "value"]),
];

/// The same for layout 3; layouts 1 and 2 had no seals.
const SEALED_BEFORE: &[(&str, &[&str], &[&str])] = &[
    (
        "source",
        &["name"],
        &["name", "identity", "confirmed", "received", "covered_ms", "has_odd_dates", "journal_bytes"],
    ),
    ("checkpoint", &["source", "sink"], &["source", "sink", "offset", "above", "start_ms", "gaps"]),
    ("gap", &["source", "number"], &["source", "number", "from_ms", "to_ms"]),
    ("memory", &["key"], &["key", "value"]),
];

/// Registers the SQL function `seal`, which every statement about sealed rows needs.
pub(crate) fn register_function(connection: &Connection) -> rusqlite::Result<()> {
    let flags =
        FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("seal", -1, flags, |context| Ok(seal(context)))
}

/// Makes `connection` seal the rows that it writes, and refuse to overwrite a row whose seal does not match.
pub(crate) fn keep(connection: &Connection) -> rusqlite::Result<()> {
    // The triggers belong to this connection alone, and must not need a folder for temporary files.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    for (table, key, sealed) in SEALED {
        let (list, key) = (sealed.join(", "), key.join(", "));
        let (old, new, new_key) = (prefixed(&list, "old"), prefixed(&list, "new"), prefixed(&key, "new"));
        let seal = format!("UPDATE {table} SET seal = seal({new}) WHERE ({key}) = ({new_key})");
        let count = |change: &str| format!("UPDATE manifest SET {change} WHERE name = '{table}'");
        let (more, other, fewer) = (
            count(&format!("rows = rows + 1, seals = seals + seal({new})")),
            count(&format!("seals = seals - old.seal + seal({new})")),
            count("rows = rows - 1, seals = seals - old.seal"),
        );
        connection.execute_batch(&format!(
            "CREATE TEMP TRIGGER guard_{table} BEFORE UPDATE OF {list} ON main.{table}
                 WHEN old.seal <> seal({old})
                 BEGIN SELECT raise(ABORT, 'a row of `{table}` is not as it was written'); END;
             CREATE TEMP TRIGGER new_{table} AFTER INSERT ON main.{table} BEGIN {seal}; {more}; END;
             CREATE TEMP TRIGGER other_{table} AFTER UPDATE OF {list} ON main.{table} BEGIN {seal}; {other}; END;
             CREATE TEMP TRIGGER no_{table} AFTER DELETE ON main.{table} BEGIN {fewer}; END;"
        ))?;
    }
    Ok(())
}

/// The problem with the seals of the rows that decide, if there is one, in a file of `layout`.
pub(crate) fn broken(connection: &Connection, layout: u32) -> rusqlite::Result<Option<String>> {
    let tables = match layout {
        ..3 => &[],
        3 => SEALED_BEFORE,
        4.. => SEALED,
    };
    if layout == 3 {
        // Rows that the next layout seals again must be as they were written.
        let select = "SELECT source || '/' || id FROM journal WHERE seal <> seal(source, id, kind, date, data) LIMIT 1";
        let row: Option<String> = connection.query_row(select, [], |row| row.get(0)).optional()?;
        if let Some(row) = row {
            return Ok(Some(format!("the row `{row}` of `journal` is not as it was written")));
        }
    }
    for (table, key, sealed) in tables {
        let (key, sealed) = (key.join(" || '/' || "), sealed.join(", "));
        let select = format!("SELECT {key} FROM {table} WHERE seal <> seal({sealed}) LIMIT 1");
        let row: Option<String> = connection.query_row(&select, [], |row| row.get(0)).optional()?;
        if let Some(row) = row {
            return Ok(Some(format!("the row `{row}` of `{table}` is not as it was written")));
        }
        if !is_complete(connection, table)? {
            return Ok(Some(format!("rows of `{table}` are missing, or of an earlier time")));
        }
    }
    Ok(None)
}

/// Whether the rows match the manifest. It is one statement, because another process may be writing.
fn is_complete(connection: &Connection, table: &str) -> rusqlite::Result<bool> {
    let select = format!(
        "SELECT 1 FROM manifest WHERE name = ?1
         AND (rows, seals) = (SELECT count(*), ifnull(sum(seal), 0) FROM {table})"
    );
    Ok(connection.query_row(&select, [table], |_| Ok(())).optional()?.is_some())
}

/// `a, b` as `new.a, new.b`.
fn prefixed(list: &str, prefix: &str) -> String {
    format!("{prefix}.{}", list.replace(", ", &format!(", {prefix}.")))
}

/// Covers each value's type, length and bytes, so that values that form the same text only together differ.
fn seal(context: &Context<'_>) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    for index in 0..context.len() {
        let (kind, bytes): (u8, &[u8]) = match context.get_raw(index) {
            ValueRef::Null => (0, &[]),
            ValueRef::Integer(number) => (1, &number.to_le_bytes()),
            ValueRef::Real(number) => (2, &number.to_le_bytes()),
            ValueRef::Text(text) => (3, text),
            ValueRef::Blob(blob) => (4, blob),
        };
        hasher.update(&[kind]);
        hasher.update(&bytes.len().to_le_bytes());
        hasher.update(bytes);
    }
    hasher.finalize().into()
}
