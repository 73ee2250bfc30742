//! State files of older layouts as released programs wrote them, with data in every table.

use std::path::Path;

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::support::portal::sandbox::Portal;

/// The SQL of the released steps to layouts 1 to 3.
const LAYOUTS: [&str; 3] = [
    "CREATE TABLE source (
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
    ) STRICT, WITHOUT ROWID;",
    "ALTER TABLE source ADD COLUMN confirmed INTEGER NOT NULL DEFAULT 1 CHECK (confirmed >= 1);
    ALTER TABLE source ADD COLUMN losses INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE memory (
        key     TEXT PRIMARY KEY,
        value   TEXT NOT NULL,
        kept_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;",
    "ALTER TABLE source ADD COLUMN received INTEGER NOT NULL DEFAULT 1 CHECK (received >= 1);
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
    ) STRICT, WITHOUT ROWID;",
];

/// The application id.
const OURS: u32 = 0x6232_3472;

/// An event as the portal returns it.
#[derive(Deserialize)]
pub(crate) struct Shown {
    #[serde(rename = "eventId")]
    id: u64,
    #[serde(rename = "type")]
    kind: String,
    date: Box<RawValue>,
    data: Box<RawValue>,
}

/// The events of a user's queue.
pub(crate) async fn shown(portal: &Portal, user: u64) -> Vec<Shown> {
    #[derive(Deserialize)]
    struct Answer {
        result: Page,
    }
    #[derive(Deserialize)]
    struct Page {
        events: Vec<Shown>,
    }
    let answer = portal.raw(user, "im.v2.Event.get?offset=1").await;
    serde_json::from_str::<Answer>(&answer).unwrap().result.events
}

/// A new state file of `layout`, without rows.
pub(crate) fn create(path: &Path, layout: usize) -> Connection {
    let file = Connection::open(path).unwrap();
    file.create_scalar_function("seal", -1, FunctionFlags::SQLITE_UTF8, |context| Ok(seal(context))).unwrap();
    file.pragma_update(None, "journal_mode", "WAL").unwrap();
    for step in &LAYOUTS[..layout] {
        file.execute_batch(step).unwrap();
    }
    file.pragma_update(None, "application_id", OURS).unwrap();
    file.pragma_update(None, "user_version", u32::try_from(layout).unwrap()).unwrap();
    file
}

/// `support` in layout 3 with the old `delivery.mode`, after reading ten events of `ids`. `archive` has settled the
/// first four, the seventh and the ninth, and `second` all ten. `archive` has rejected the second event, and has
/// reported the only gap.
pub(crate) fn write_third_layout(file: &Connection, queue: &str, shown: &[Shown], mode: &str) {
    let ids: Vec<u64> = shown.iter().map(|event| event.id).collect();
    let (received, confirmed) = if mode == "journal" { (ids[10], ids[3]) } else { (1, ids[4]) };
    file.execute(
        "INSERT INTO source (name, identity, adopted_ms, confirmed, received) VALUES ('support', ?1, 1, ?2, ?3)",
        params![queue, confirmed, received],
    )
    .unwrap();
    let insert =
        "INSERT INTO checkpoint (source, sink, offset, committed_ms, delivered, filtered, above, gaps)
         VALUES ('support', ?1, ?2, 1, 40, 2, ?3, ?4)";
    let above = format!("[{},{}]", ids[6], ids[8]);
    file.execute(insert, params!["archive", ids[4], above, 1]).unwrap();
    file.execute(insert, params!["second", ids[10], "[]", 0]).unwrap();
    // Events that all sinks had were deleted.
    for event in shown[3..10].iter().filter(|_| mode == "journal") {
        file.execute(
            "INSERT INTO journal (source, id, received_ms, bytes, kind, date, data, seal)
             VALUES ('support', ?1, unixepoch() * 1000, 200, ?2, ?3, ?4, 0)",
            params![event.id, event.kind, event.date.get(), event.data.get()],
        )
        .unwrap();
    }
    file.execute(
        "INSERT INTO dead_letter (sink, source, queue, id, buried_ms, first_ms, attempts, bytes, reason, answer, kind, date,
             data, seal)
         VALUES ('archive', 'support', ?1, ?2, 1, 1, 3, 100, 'too long', '', 'ONIMV2MESSAGEADD', '\"\"', '{}', 0)",
        params![queue, ids[1]],
    )
    .unwrap();
    file.execute_batch(
        "INSERT INTO gap (source, number, from_ms, to_ms, noted_ms) VALUES ('support', 1, 1000, 2000, 3000)",
    )
    .unwrap();
}

/// Computes the checksums of all rows of a file of layout 3, like its program.
pub(crate) fn seal_third_layout(file: &Connection) {
    file.execute_batch(
        "UPDATE source
             SET journal_bytes = (SELECT ifnull(sum(bytes), 0) FROM journal WHERE source = name);
         UPDATE source SET seal = seal(name, identity, confirmed, received, covered_ms, has_odd_dates, journal_bytes);
         UPDATE checkpoint SET seal = seal(source, sink, offset, above, start_ms, gaps);
         UPDATE gap SET seal = seal(source, number, from_ms, to_ms);
         UPDATE memory SET seal = seal(key, value);
         UPDATE journal SET seal = seal(source, id, kind, date, data);
         UPDATE dead_letter SET seal = seal(sink, source, queue, id, kind, date, data);
         DELETE FROM manifest;
         INSERT INTO manifest SELECT 'source', count(*), ifnull(sum(seal), 0) FROM source;
         INSERT INTO manifest SELECT 'checkpoint', count(*), ifnull(sum(seal), 0) FROM checkpoint;
         INSERT INTO manifest SELECT 'gap', count(*), ifnull(sum(seal), 0) FROM gap;
         INSERT INTO manifest SELECT 'memory', count(*), ifnull(sum(seal), 0) FROM memory;",
    )
    .unwrap();
}

/// The checksum function of that program.
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
