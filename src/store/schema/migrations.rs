//! The layout of the state file and its migrations.
//!
//! A file is checked before it is changed: whether it is ours, whether its layout is known, and whether it is sound
//! ([`inspect`]). Each step forward is one transaction: a kill leaves the layout before or after it.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::OnceLock;

use rusqlite::Connection;
use rusqlite::backup::Backup;
use rusqlite::config::DbConfig;

use crate::failpoint;
use crate::store::error::StoreError;
use crate::store::paths::sibling_path;
use crate::store::schema::checksum;
use crate::store::sql::first;

/// Marks a SQLite file as ours: "b24r".
pub(crate) const APPLICATION_ID: i64 = 0x6232_3472;

/// Access for the owner alone: the file contains chat events and, later, tokens.
pub(crate) const MODE: u32 = 0o600;

/// One step for each layout; `user_version` counts the steps taken. Never edit a step that was released.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE source (
        name       TEXT PRIMARY KEY,
        identity   TEXT NOT NULL,
        adopted_ms INTEGER NOT NULL,
        polled_ms  INTEGER,
        trouble    TEXT NOT NULL DEFAULT ''
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE checkpoint (
        source       TEXT NOT NULL REFERENCES source (name),
        sink         TEXT NOT NULL,
        offset       INTEGER NOT NULL CHECK (offset >= 1),
        committed_ms INTEGER NOT NULL,
        delivered    INTEGER NOT NULL DEFAULT 0,
        filtered     INTEGER NOT NULL DEFAULT 0,
        trouble      TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (source, sink)
    ) STRICT, WITHOUT ROWID;
",
    "
    ALTER TABLE source ADD COLUMN confirmed INTEGER NOT NULL DEFAULT 1 CHECK (confirmed >= 1);
    ALTER TABLE source ADD COLUMN losses INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE memory (
        key     TEXT PRIMARY KEY,
        value   TEXT NOT NULL,
        kept_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
",
    "
    ALTER TABLE source ADD COLUMN received INTEGER NOT NULL DEFAULT 1 CHECK (received >= 1);
    ALTER TABLE source ADD COLUMN covered_ms INTEGER;
    ALTER TABLE source ADD COLUMN skew_ms INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE source ADD COLUMN has_odd_dates INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE source ADD COLUMN stolen INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE source ADD COLUMN stolen_ms INTEGER;
    ALTER TABLE source ADD COLUMN journal_bytes INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE source ADD COLUMN seal INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE checkpoint ADD COLUMN above TEXT NOT NULL DEFAULT '[]';
    ALTER TABLE checkpoint ADD COLUMN state TEXT NOT NULL DEFAULT 'flowing';
    ALTER TABLE checkpoint ADD COLUMN since_ms INTEGER;
    ALTER TABLE checkpoint ADD COLUMN next_ms INTEGER;
    ALTER TABLE checkpoint ADD COLUMN expired INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE checkpoint ADD COLUMN buried INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE checkpoint ADD COLUMN start_ms INTEGER;
    ALTER TABLE checkpoint ADD COLUMN gaps INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE checkpoint ADD COLUMN seal INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE memory ADD COLUMN seal INTEGER NOT NULL DEFAULT 0;
    UPDATE source
        SET seal = seal(name, identity, confirmed, received, covered_ms, has_odd_dates, journal_bytes);
    UPDATE checkpoint SET seal = seal(source, sink, offset, above, start_ms, gaps);
    UPDATE memory SET seal = seal(key, value);
    CREATE TABLE manifest (
        name  TEXT PRIMARY KEY,
        rows  INTEGER NOT NULL,
        seals INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO manifest VALUES ('gap', 0, 0);
    INSERT INTO manifest SELECT 'source', count(*), ifnull(sum(seal), 0) FROM source;
    INSERT INTO manifest SELECT 'checkpoint', count(*), ifnull(sum(seal), 0) FROM checkpoint;
    INSERT INTO manifest SELECT 'memory', count(*), ifnull(sum(seal), 0) FROM memory;
    CREATE TABLE journal (
        source      TEXT NOT NULL REFERENCES source (name),
        id          INTEGER NOT NULL CHECK (id >= 1),
        received_ms INTEGER NOT NULL,
        bytes       INTEGER NOT NULL,
        kind        TEXT NOT NULL,
        date        TEXT NOT NULL,
        data        TEXT NOT NULL,
        seal        INTEGER NOT NULL,
        UNIQUE (source, id)
    ) STRICT;
    CREATE TABLE dead_letter (
        number    INTEGER PRIMARY KEY AUTOINCREMENT,
        sink      TEXT NOT NULL,
        source    TEXT NOT NULL,
        queue     TEXT NOT NULL,
        id        INTEGER NOT NULL CHECK (id >= 1),
        buried_ms INTEGER NOT NULL,
        first_ms  INTEGER NOT NULL,
        attempts  INTEGER NOT NULL,
        bytes     INTEGER NOT NULL,
        reason    TEXT NOT NULL,
        status    INTEGER,
        answer    TEXT NOT NULL,
        kind      TEXT NOT NULL,
        date      TEXT NOT NULL,
        data      TEXT NOT NULL,
        seal      INTEGER NOT NULL,
        UNIQUE (sink, queue, id)
    ) STRICT;
    CREATE TABLE gap (
        source   TEXT NOT NULL REFERENCES source (name),
        number   INTEGER NOT NULL CHECK (number >= 1),
        from_ms  INTEGER NOT NULL,
        to_ms    INTEGER NOT NULL,
        noted_ms INTEGER NOT NULL,
        seal     INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (source, number)
    ) STRICT, WITHOUT ROWID;
",
    // The journal by sequence number. The events of the old journal are numbered in the order of the portal's ids, one
    // event per row. A lane inherits the ids that it had settled of the portal's queue.
    "
    ALTER TABLE source ADD COLUMN generation INTEGER NOT NULL DEFAULT 1 CHECK (generation >= 1);
    ALTER TABLE source ADD COLUMN next_seq INTEGER NOT NULL DEFAULT 1 CHECK (next_seq >= 1);
    ALTER TABLE source ADD COLUMN open_seq INTEGER NOT NULL DEFAULT 1 CHECK (open_seq >= 1);
    ALTER TABLE source ADD COLUMN grown INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE source ADD COLUMN floor INTEGER NOT NULL DEFAULT 1 CHECK (floor >= 1);
    ALTER TABLE source ADD COLUMN marks TEXT NOT NULL DEFAULT '[]';
    CREATE TABLE batch (
        source      TEXT NOT NULL REFERENCES source (name),
        first       INTEGER NOT NULL CHECK (first >= 1),
        count       INTEGER NOT NULL CHECK (count >= 1),
        generation  INTEGER NOT NULL,
        received_ms INTEGER NOT NULL,
        bytes       INTEGER NOT NULL,
        seal        INTEGER NOT NULL,
        ids         TEXT NOT NULL,
        body        BLOB NOT NULL,
        UNIQUE (source, first)
    ) STRICT;
    INSERT INTO batch (source, first, count, generation, received_ms, bytes, seal, ids, body)
        SELECT source, seq, 1, 1, received_ms, octet_length(body) + 40, seal(source, seq, 1, 1, ids, body), ids, body
        FROM (
            SELECT source, row_number() OVER (PARTITION BY source ORDER BY id) AS seq, received_ms,
                '[' || id || ']' AS ids,
                CAST(printf('%d %d %d', octet_length(kind), octet_length(date), octet_length(data)) || char(10)
                    || kind || date || data AS BLOB) AS body
            FROM journal
        );
    UPDATE source SET
        next_seq = 1 + (SELECT count(*) FROM batch WHERE batch.source = name),
        journal_bytes = (SELECT ifnull(sum(bytes), 0) FROM batch WHERE batch.source = name),
        floor = max(received, ifnull((SELECT min(offset) FROM checkpoint WHERE checkpoint.source = name), 1));
    CREATE TABLE lane (
        source       TEXT NOT NULL REFERENCES source (name),
        sink         TEXT NOT NULL,
        next         INTEGER NOT NULL CHECK (next >= 1),
        above        TEXT NOT NULL DEFAULT '[]',
        committed_ms INTEGER NOT NULL,
        delivered    INTEGER NOT NULL DEFAULT 0,
        filtered     INTEGER NOT NULL DEFAULT 0,
        expired      INTEGER NOT NULL DEFAULT 0,
        buried       INTEGER NOT NULL DEFAULT 0,
        state        TEXT NOT NULL DEFAULT 'flowing',
        since_ms     INTEGER,
        next_ms      INTEGER,
        trouble      TEXT NOT NULL DEFAULT '',
        start_ms     INTEGER,
        mark         TEXT NOT NULL DEFAULT '',
        inherited    TEXT NOT NULL DEFAULT '',
        seal         INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (source, sink)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO lane (source, sink, next, above, committed_ms, delivered, filtered, expired, buried, state, since_ms,
            next_ms, trouble, start_ms, inherited)
        SELECT source, sink,
            1 + (SELECT count(*) FROM journal WHERE journal.source = checkpoint.source AND id < offset),
            (SELECT json_group_array(json_array(first, first + 1) ORDER BY first) FROM batch
                 JOIN json_each(checkpoint.above) ON batch.ids = '[' || value || ']'
                 WHERE batch.source = checkpoint.source),
            committed_ms, delivered, filtered, expired, buried, state, since_ms, next_ms, trouble, start_ms,
            json_array(offset, json(above), gaps)
        FROM checkpoint;
    ALTER TABLE gap ADD COLUMN is_told INTEGER NOT NULL DEFAULT 0;
    UPDATE gap SET is_told = 1
        WHERE number <= ifnull((SELECT min(gaps) FROM checkpoint WHERE checkpoint.source = gap.source), number);
    DROP TABLE journal;
    DROP TABLE checkpoint;
    ALTER TABLE source DROP COLUMN received;
    UPDATE source SET seal = seal(name, identity, generation, next_seq, open_seq, confirmed, grown, floor, marks,
        covered_ms, has_odd_dates, journal_bytes);
    UPDATE lane SET seal = seal(source, sink, next, above, start_ms, mark, inherited);
    DELETE FROM manifest WHERE name IN ('source', 'checkpoint');
    INSERT INTO manifest SELECT 'source', count(*), ifnull(sum(seal), 0) FROM source;
    INSERT INTO manifest SELECT 'lane', count(*), ifnull(sum(seal), 0) FROM lane;
    CREATE INDEX dead_letter_size ON dead_letter (sink, source, bytes, buried_ms);
",
];

/// Removes the permissions of group and others, as after a careless copy, also from files beside it that a kill has
/// left.
fn restrict(state: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm"] {
        match restrict_file(&sibling_path(state, suffix)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(StoreError::from_io(state, "look at its permissions", &error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn restrict_file(path: &Path) -> io::Result<()> {
    if path.metadata()?.permissions().mode() & 0o077 != 0 {
        std::fs::set_permissions(path, Permissions::from_mode(MODE))?;
    }
    Ok(())
}

/// Whether every page is checked before the file is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pages {
    Checked,
    /// Only the pages of the tables that control deliveries and confirmations.
    Unchecked,
}

/// Checks that the file is ours and sound, and migrates it to the newest layout.
pub(crate) fn prepare(connection: &mut Connection, path: &Path, pages: Pages) -> Result<(), StoreError> {
    let fail = |error| StoreError::from_sqlite(path, &error);
    checksum::register_function(connection).map_err(fail)?;
    let found = match pages {
        Pages::Checked => inspect(connection, path)?,
        Pages::Unchecked => inspect_lightly(connection, path)?,
    };
    // Not earlier: we must not change the permissions of another program's database.
    restrict(path)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(fail)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(fail)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(fail)?;
    migrate(connection, found).map_err(fail)?;
    checksum::keep(connection).map_err(fail)
}

/// The layout of the file, after all of it was found to be ours and sound.
///
/// # Errors
/// [`StoreError::Foreign`], [`StoreError::Newer`], [`StoreError::Damaged`].
pub(crate) fn inspect(connection: &Connection, path: &Path) -> Result<u32, StoreError> {
    inspect_with(connection, path, &["integrity_check(1)"], "")
}

/// Like [`inspect`], but checks only the rows that decide: `status` need not read a journal of a gigabyte.
pub(crate) fn inspect_lightly(connection: &Connection, path: &Path) -> Result<u32, StoreError> {
    let lanes = if identify(connection, path)? == newest() { "lane" } else { "checkpoint" };
    let checks = ["quick_check('source')", &format!("quick_check('{lanes}')")];
    inspect_with(connection, path, &checks, &format!("('{lanes}')"))
}

/// A copy in memory with the newest layout, if the file has an older one.
pub(crate) fn brought_to_newest(
    connection: &Connection,
    layout: u32,
) -> rusqlite::Result<Option<Connection>> {
    if layout == newest() {
        return Ok(None);
    }
    let mut copy = Connection::open_in_memory()?;
    checksum::register_function(&copy)?;
    Backup::new(connection, &mut copy)?.step(-1)?;
    migrate(&mut copy, layout)?;
    Ok(Some(copy))
}

/// Performs these `checks`, and looks for rows without a parent `within` a table, or in all of them.
fn inspect_with(
    connection: &Connection,
    path: &Path,
    checks: &[&str],
    within: &str,
) -> Result<u32, StoreError> {
    let fail = |error| StoreError::from_sqlite(path, &error);
    let damaged = |detail| Err(StoreError::Damaged { path: path.to_owned(), detail });
    let layout = identify(connection, path)?;
    if let Some(detail) = misshapen(connection, layout).map_err(fail)? {
        return damaged(detail);
    }
    for check in checks {
        let verdict: Option<String> = first(connection, &format!("PRAGMA {check}")).map_err(fail)?;
        if let Some(detail) = verdict.filter(|verdict| verdict != "ok") {
            return damaged(detail);
        }
    }
    let orphan =
        format!("SELECT \"table\" || '` is of no `' || parent FROM pragma_foreign_key_check{within} LIMIT 1");
    if let Some(row) = first::<String>(connection, &orphan).map_err(fail)? {
        return damaged(format!("a row of `{row}`"));
    }
    if let Some(detail) = checksum::broken(connection, layout).map_err(fail)? {
        return damaged(detail);
    }
    Ok(layout)
}

/// The layout that the file says it has.
pub(crate) fn identify(connection: &Connection, path: &Path) -> Result<u32, StoreError> {
    let fail = |error| StoreError::from_sqlite(path, &error);
    let application_id: i64 = first(connection, "PRAGMA application_id").map_err(fail)?.unwrap_or(0);
    let layout: i64 = first(connection, "PRAGMA user_version").map_err(fail)?.unwrap_or(0);
    let known = newest();
    let damaged = |detail| Err(StoreError::Damaged { path: path.to_owned(), detail });
    match u32::try_from(layout) {
        // A file without any tables belongs to another program as well: ours are complete when they get their name.
        _ if application_id != APPLICATION_ID => match misshapen(connection, known).map_err(fail)? {
            Some(_) => Err(StoreError::Foreign { path: path.to_owned() }),
            None => damaged("its tables are ours, its application id is not".to_owned()),
        },
        Ok(found) if found > known => Err(StoreError::Newer { path: path.to_owned(), found, known }),
        Ok(found @ 1..) => Ok(found),
        _ => damaged(format!("it says layout {layout}")),
    }
}

/// The newest layout.
pub(crate) fn newest() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// The first difference between our tables and those of `layout`, if there is one. Other tables are ignored.
pub(crate) fn misshapen(connection: &Connection, layout: u32) -> rusqlite::Result<Option<String>> {
    let (expected, newest) = (shape_of(layout)?, shape_of(newest())?);
    let found = shape(connection)?;
    let tables: BTreeSet<_> = expected.iter().chain(newest).map(|part| &part.table).collect();
    if let Some(part) = expected.difference(&found).next() {
        return Ok(Some(format!("layout {layout} has {part}, and this file has not")));
    }
    let extra = found.difference(expected).find(|part| tables.contains(&part.table));
    if let Some(part) = extra {
        return Ok(Some(format!("it says layout {layout}, which has no {part}")));
    }
    let encoding: Option<String> = first(connection, "PRAGMA encoding")?;
    if let Some(other) = encoding.filter(|encoding| encoding != "UTF-8") {
        return Ok(Some(format!("it says that its texts are {other}")));
    }
    unusable(connection, &tables)
}

/// The first definition among those of `tables` that cannot be used: SQLite does not report it to a connection that
/// only reads.
fn unusable(connection: &Connection, tables: &BTreeSet<&String>) -> rusqlite::Result<Option<String>> {
    let trial = Connection::open_in_memory()?;
    let mut select = connection.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'table'")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (name, text): (String, String) = (row.get(0)?, row.get(1)?);
        let is_ours = tables.contains(&name) && !name.starts_with("sqlite_");
        if is_ours && let Err(error) = trial.execute_batch(&text) {
            return Ok(Some(format!("`{name}`: {error}")));
        }
    }
    Ok(None)
}

/// A column or an index.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    table: String,
    name: String,
    /// Its type and constraints, or its columns.
    nature: String,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}.{}` ({})", self.table, self.name, self.nature)
    }
}

/// Makes `connection` plan each statement once. Otherwise SQLite plans it again for every value, because an index might
/// cover only some of the rows.
pub(crate) fn plan_once(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(|_| ())
}

/// A new state in memory only. Each is a copy of the first one of this thread.
#[cfg(feature = "simulation")]
pub(crate) fn new_in_memory() -> rusqlite::Result<Connection> {
    thread_local! {
        static FIRST: std::cell::OnceCell<Connection> = const { std::cell::OnceCell::new() };
    }
    FIRST.with(|first| {
        if first.get().is_none() {
            let mut connection = Connection::open_in_memory()?;
            checksum::register_function(&connection)?;
            migrate(&mut connection, 0)?;
            first.set(connection).ok();
        }
        let mut copy = Connection::open_in_memory()?;
        if let Some(first) = first.get() {
            Backup::new(first, &mut copy)?.step(-1)?;
        }
        plan_once(&copy)?;
        checksum::register_function(&copy)?;
        checksum::keep(&copy)?;
        copy.pragma_update(None, "foreign_keys", true)?;
        Ok(copy)
    })
}

/// The parts of a layout.
fn shape_of(layout: u32) -> rusqlite::Result<&'static BTreeSet<Part>> {
    static SHAPES: OnceLock<Vec<BTreeSet<Part>>> = OnceLock::new();
    if SHAPES.get().is_none() {
        // Another thread may have been faster, with the same result.
        SHAPES.set(shapes()?).ok();
    }
    let shapes = SHAPES.get().map_or(&[][..], Vec::as_slice);
    shapes.get(layout as usize).ok_or(rusqlite::Error::InvalidQuery)
}

/// The shape of every layout, starting with that of an empty file.
fn shapes() -> rusqlite::Result<Vec<BTreeSet<Part>>> {
    let connection = Connection::open_in_memory()?;
    checksum::register_function(&connection)?;
    let mut shapes = vec![BTreeSet::new()];
    for step in MIGRATIONS {
        connection.execute_batch(step)?;
        shapes.push(shape(&connection)?);
    }
    Ok(shapes)
}

fn shape(connection: &Connection) -> rusqlite::Result<BTreeSet<Part>> {
    let mut select = connection.prepare(
        "SELECT t.name, c.name, c.type || iif(c.\"notnull\", ' NOT NULL', '') || iif(c.pk, ' key ' || c.pk, '')
             || ifnull(' DEFAULT ' || c.dflt_value, '')
         FROM sqlite_schema t JOIN pragma_table_xinfo(t.name) c WHERE t.type = 'table'
         UNION ALL
         SELECT t.name, i.name, iif(i.\"unique\", 'unique', 'index') || ' over '
             || (SELECT group_concat(c.name, ', ' ORDER BY c.seqno) FROM pragma_index_info(i.name) c)
         FROM sqlite_schema t JOIN pragma_index_list(t.name) i WHERE t.type = 'table'",
    )?;
    let parts = select
        .query_map([], |row| Ok(Part { table: row.get(0)?, name: row.get(1)?, nature: row.get(2)? }))?;
    parts.collect()
}

/// Migrates the file from the layout `found` to the newest.
pub(crate) fn migrate(connection: &mut Connection, found: u32) -> rusqlite::Result<()> {
    for (layout, step) in (1u32..).zip(MIGRATIONS).skip(found as usize) {
        failpoint::reached("migrating");
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", layout)?;
        failpoint::reached("migration written");
        transaction.commit()?;
        failpoint::reached("migrated");
    }
    Ok(())
}
