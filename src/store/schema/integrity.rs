//! The rules of every row, and those between tables: constraints that SQLite does not know.
//!
//! Only a condition that must always hold is a rule.

use std::collections::BTreeMap;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::store::schema::finding::Finding;

/// How many rows that break a rule are reported.
const ROWS_MAX: usize = 3;

/// A table, and the rules for each of its rows.
struct Table {
    name: &'static str,
    /// Its name for the operator.
    what: &'static str,
    /// The name of a row, as an expression.
    row: &'static str,
    shown: Shown,
    /// A condition, and the problem where it does not hold.
    rules: &'static [(&'static str, &'static str)],
}

/// How a table is shown.
enum Shown {
    /// Each row separately, with this text.
    Rows(&'static str),
    /// All rows together, with this text.
    Whole(&'static str),
}

const TABLES: &[Table] = &[
    Table {
        name: "source",
        what: "source",
        row: "name",
        shown: Shown::Rows(
            "iif(identity = '', 'no queue yet', identity) || ', confirmed below ' || confirmed
             || ', ' || (next_seq - 1) || ' events read' || iif(generation > 1, ', generation ' || generation, '')",
        ),
        rules: &[
            (
                "seal = seal(name, identity, generation, next_seq, open_seq, confirmed, grown, floor, marks, covered_ms,
                     has_odd_dates, journal_bytes)",
                NOT_AS_WRITTEN,
            ),
            ("confirmed >= 1 AND floor >= 1", "an offset below 1"),
            ("open_seq BETWEEN 1 AND next_seq", "it says that more is confirmed than was read"),
            (
                "journal_bytes = (SELECT ifnull(sum(bytes), 0) FROM batch WHERE source = name)",
                "the size on record is not that of its journal",
            ),
        ],
    },
    Table {
        name: "lane",
        what: "checkpoint",
        row: "source || ' -> ' || sink",
        shown: Shown::Rows(
            "(next - 1) || ' events settled'
             || iif(json_valid(above) AND above <> '[]', ', and more above', '') || ', delivered ' || delivered",
        ),
        rules: &[
            ("seal = seal(source, sink, next, above, start_ms, mark, inherited)", NOT_AS_WRITTEN),
            (
                "next BETWEEN 1 AND (SELECT next_seq FROM source WHERE name = source)",
                "it lies behind what was read",
            ),
            (
                "CASE WHEN json_valid(above) THEN json_type(above) = 'array' AND NOT EXISTS (
                     SELECT 1 FROM json_each(above) WHERE type <> 'array' OR value ->> 0 >= value ->> 1) END",
                "what is settled above it is no list of ranges",
            ),
        ],
    },
    Table {
        name: "batch",
        what: "journal",
        row: "source || ' ' || first",
        shown: Shown::Whole(
            "SELECT ifnull(sum(count), 0) || ' events, ' || ifnull(sum(bytes), 0) || ' bytes' FROM batch",
        ),
        rules: &[
            ("seal = seal(source, first, count, generation, ids, body)", NOT_AS_WRITTEN),
            ("json_valid(ids) AND json_array_length(ids) = count", "it does not say which events it holds"),
            // See `journal::EVENT_BYTES`.
            ("bytes = octet_length(body) + 40 * count", "the size on record is not its own"),
        ],
    },
    Table {
        name: "dead_letter",
        what: "dead letters",
        row: "sink || ' ' || number",
        shown: Shown::Whole(
            "SELECT count(*) || ' events, ' || ifnull(sum(bytes), 0) || ' bytes' FROM dead_letter",
        ),
        rules: &[
            ("seal = seal(sink, source, queue, id, kind, date, data)", NOT_AS_WRITTEN),
            ("id >= 1", "an id below 1"),
        ],
    },
    Table {
        name: "gap",
        what: "gaps",
        row: "source || ' ' || number",
        shown: Shown::Whole("SELECT count(*) FROM gap"),
        rules: &[
            ("seal = seal(source, number, from_ms, to_ms)", NOT_AS_WRITTEN),
            (
                "number BETWEEN 1 AND (SELECT count(*) FROM gap AS other WHERE other.source = gap.source)",
                "they are not counted from 1",
            ),
            ("from_ms <= to_ms", "it ends before it begins"),
        ],
    },
    Table {
        name: "memory",
        what: "logins, addresses and skips",
        row: "key",
        shown: Shown::Whole("SELECT count(*) FROM memory"),
        rules: &[("seal = seal(key, value)", NOT_AS_WRITTEN)],
    },
];

const NOT_AS_WRITTEN: &str = "not as it was written";

/// Checks every row of a file with the newest layout.
pub(crate) fn findings(connection: &Connection) -> Vec<Finding> {
    let mut findings = Vec::new();
    for table in TABLES {
        let looked = match table.shown {
            Shown::Rows(text) => each(connection, table, text),
            Shown::Whole(text) => whole(connection, table, text).map(|finding| vec![finding]),
        };
        findings.extend(looked.unwrap_or_else(|error| {
            let trouble = format!("it cannot be read to its end: {error}");
            vec![Finding::judged(table.what, "", &[trouble])]
        }));
    }
    findings
}

/// The offset at which each source can continue with a new state file, if its records can be trusted: after the events
/// that all its sinks have, and not before the confirmed offset.
pub(crate) fn offsets(connection: &Connection) -> rusqlite::Result<BTreeMap<String, u64>> {
    let mut select = connection.prepare(
        "SELECT name, max(confirmed, min(
             ifnull((SELECT max(value) + 1 FROM batch, json_each(ids) WHERE source = name AND first + count <= least), 1),
             ifnull((SELECT min(value) FROM batch, json_each(ids) WHERE source = name AND first + count > least),
                 9223372036854775807)))
         FROM (SELECT *, (SELECT min(iif(seal = seal(source, sink, next, above, start_ms, mark, inherited),
                 next, 1)) FROM lane WHERE source = name) AS least FROM source)
         WHERE seal = seal(name, identity, generation, next_seq, open_seq, confirmed, grown, floor, marks, covered_ms,
             has_odd_dates, journal_bytes)",
    )?;
    select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn each(connection: &Connection, table: &Table, text: &str) -> rusqlite::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    visit(connection, table, text, |row, text, troubles| {
        let troubles: Vec<_> = troubles.into_iter().map(str::to_owned).collect();
        findings.push(Finding::judged(&format!("{} {row}", table.what), text, &troubles));
    })?;
    Ok(findings)
}

fn whole(connection: &Connection, table: &Table, text: &str) -> rusqlite::Result<Finding> {
    let (mut troubles, mut left_out) = (Vec::new(), 0);
    visit(connection, table, "''", |row, _, broken| {
        for trouble in broken {
            if troubles.len() < ROWS_MAX {
                troubles.push(format!("{row}: {trouble}"));
            } else {
                left_out += 1;
            }
        }
    })?;
    if left_out > 0 {
        troubles.push(format!("{left_out} more"));
    }
    let found = connection.query_row(text, [], |row| Ok(shown(row.get_ref(0)?)))?;
    Ok(Finding::judged(table.what, found, &troubles))
}

/// Calls `found` for every row, with its name, its text and the rules that it breaks.
fn visit(
    connection: &Connection,
    table: &Table,
    text: &str,
    mut found: impl FnMut(String, String, Vec<&'static str>),
) -> rusqlite::Result<()> {
    let holds: Vec<_> = table.rules.iter().map(|(holds, _)| format!("({holds}) IS TRUE")).collect();
    let (row_name, name, holds) = (table.row, table.name, holds.join(", "));
    let mut select = connection.prepare(&format!("SELECT {row_name}, {text}, {holds} FROM {name}"))?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let mut broken = Vec::new();
        for (column, (_, trouble)) in (2..).zip(table.rules) {
            if !row.get::<_, bool>(column)? {
                broken.push(*trouble);
            }
        }
        found(shown(row.get_ref(0)?), shown(row.get_ref(1)?), broken);
    }
    Ok(())
}

/// Any value as text: in a damaged file it may have any type.
fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "nothing".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    }
}
