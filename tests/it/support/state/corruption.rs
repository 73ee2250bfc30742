//! Ways to corrupt a state file: bits, runs of bytes, lengths, pages, headers, logs, foreign files, and SQL.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rand::RngExt as _;
use rand::rngs::StdRng;
use rusqlite::Connection;

use crate::support::state::populated_state::STATE;

/// Changes that an operator with a SQLite shell or a bug could make.
pub(crate) const STATEMENTS: &[&str] = &[
    "UPDATE lane SET next = 1",
    "UPDATE lane SET next = -1",
    "UPDATE lane SET next = 0",
    "UPDATE lane SET next = next + 1",
    "UPDATE lane SET next = 9223372036854775807",
    "UPDATE lane SET next = 'abc'",
    "UPDATE lane SET next = NULL",
    "UPDATE lane SET next = x'00'",
    "UPDATE lane SET next = 1.5",
    "UPDATE lane SET above = ''",
    "UPDATE lane SET above = '[[1,2'",
    "UPDATE lane SET above = 'null'",
    "UPDATE lane SET above = '[0]'",
    "UPDATE lane SET above = '[[-5,9]]'",
    "UPDATE lane SET above = '[[1.5,9]]'",
    "UPDATE lane SET above = NULL",
    "UPDATE lane SET above = CAST(x'5bff5d' AS TEXT)",
    "UPDATE lane SET above = (WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 2 FROM n WHERE i < 200000)
         SELECT json_group_array(json_array(i, i + 1)) FROM n)",
    "UPDATE lane SET start_ms = 9000000000000",
    "UPDATE lane SET mark = 'elsewhere'",
    "UPDATE lane SET inherited = '[9000000,[],0]'",
    "UPDATE lane SET sink = 'nobody' WHERE sink = 'crm' AND source = 'support'",
    "UPDATE source SET next_seq = -1",
    "UPDATE source SET next_seq = next_seq + 100",
    "UPDATE source SET next_seq = 'abc'",
    "UPDATE source SET next_seq = NULL",
    "UPDATE source SET open_seq = next_seq",
    "UPDATE source SET generation = 7",
    "UPDATE source SET floor = 9000000",
    "UPDATE source SET marks = '[]'",
    "UPDATE source SET confirmed = 0",
    "UPDATE source SET confirmed = 9223372036854775807",
    "UPDATE source SET identity = 'another/user/1'",
    "UPDATE source SET identity = NULL",
    "UPDATE source SET covered_ms = 1",
    "UPDATE source SET journal_bytes = -5",
    "UPDATE source SET name = 'other' WHERE name = 'office'",
    "UPDATE batch SET body = x'6e6f206576656e74'",
    "UPDATE batch SET body = x''",
    "UPDATE batch SET body = NULL",
    "UPDATE batch SET ids = '[1]'",
    "UPDATE batch SET count = count + 1",
    "UPDATE batch SET first = -1 WHERE first = (SELECT max(first) FROM batch)",
    "UPDATE batch SET first = first + 1000000",
    "UPDATE batch SET generation = 3",
    "UPDATE memory SET value = 'x'",
    "UPDATE memory SET value = x'ff'",
    "DELETE FROM source",
    "DELETE FROM lane",
    "DELETE FROM memory",
    "DELETE FROM manifest",
    "DROP TABLE manifest",
    "UPDATE manifest SET rows = 0",
    "DROP TABLE source",
    "DROP TABLE lane",
    "DROP TABLE batch",
    "DROP TABLE dead_letter",
    "DROP TABLE gap",
    "DROP TABLE memory",
    "ALTER TABLE lane DROP COLUMN above",
    "ALTER TABLE lane DROP COLUMN seal",
    "ALTER TABLE source DROP COLUMN covered_ms",
    "ALTER TABLE batch DROP COLUMN bytes",
    "ALTER TABLE lane ADD COLUMN more INTEGER",
    "ALTER TABLE source RENAME TO sources",
    "CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER)",
    "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, 'CHECK (next', 'CHECK (nest')",
    "PRAGMA user_version = 0",
    "PRAGMA user_version = 1",
    "PRAGMA user_version = 2",
    "PRAGMA user_version = 3",
    "PRAGMA user_version = 5",
    "PRAGMA user_version = 99",
    "PRAGMA user_version = -1",
    "PRAGMA application_id = 0",
    "PRAGMA application_id = 7",
    "DROP TABLE lane; CREATE TABLE lane (source TEXT, sink TEXT, next INTEGER)",
    "DROP TABLE batch; CREATE TABLE batch AS SELECT 1 AS first",
];

/// One way to corrupt the files in a folder.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Corruption {
    FlipBit,
    Run(Filling),
    Truncate,
    CutToPages,
    Cut(u64),
    SwapPages,
    CopyPage,
    Header,
    /// One byte of the header.
    HeaderByte(u64, u8),
    Remove(&'static str),
    Replace(&'static str, &'static str),
    ForeignLog,
    ForeignDatabase,
    EmptyDatabase,
    Folder,
    Sql(&'static str),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Filling {
    Zeros,
    Ones,
    Random,
}

const PAGE: usize = 16 * 1024;

/// Each SQL statement and each special case once, then `count` others at random.
pub(crate) fn corruptions(count: usize, dice: &mut StdRng) -> Vec<Corruption> {
    use Corruption::{
        CopyPage, Cut, CutToPages, EmptyDatabase, FlipBit, Folder, ForeignDatabase, ForeignLog, Header,
        HeaderByte, Remove, Replace, Run, Sql, SwapPages, Truncate,
    };
    let mut all: Vec<_> = STATEMENTS.iter().map(|sql| Sql(sql)).collect();
    all.extend([
        Cut(0),
        Cut(1),
        Cut(16),
        Cut(100),
        Cut(511),
        Cut(4096),
        ForeignLog,
        ForeignDatabase,
        EmptyDatabase,
    ]);
    all.extend([
        HeaderByte(18, 9),
        HeaderByte(19, 9),
        HeaderByte(18, 1),
        HeaderByte(19, 1),
        HeaderByte(56, 1),
        HeaderByte(59, 2),
    ]);
    all.extend([Folder, Remove("-wal"), Remove("-shm"), Remove("")]);
    all.extend([
        Replace("", "[state]\nno = 1\n"),
        Replace("", "\0"),
        Replace("-wal", "x"),
        Replace("-shm", "x"),
    ]);
    all.extend((0..count).map(|_| match dice.random_range(0..20) {
        0..9 => FlipBit,
        9..11 => Run(Filling::Zeros),
        11 => Run(Filling::Ones),
        12..14 => Run(Filling::Random),
        14 => Truncate,
        15 => CutToPages,
        16 => SwapPages,
        17 => CopyPage,
        _ => Header,
    }));
    all
}

impl Corruption {
    /// Corrupts the state in `folder`; `foreign` is the folder of another relay's state.
    pub(crate) fn apply(self, folder: &Path, foreign: &Path, dice: &mut StdRng) {
        let state = folder.join(STATE);
        match self {
            Self::Cut(length) => {
                fs::File::options().write(true).open(state).unwrap().set_len(length).unwrap();
            }
            Self::HeaderByte(at, byte) => {
                fs::File::options().write(true).open(state).unwrap().write_all_at(&[byte], at).unwrap();
            }
            Self::Remove(suffix) => fs::remove_file(beside(&state, suffix)).unwrap(),
            Self::Replace(suffix, text) => fs::write(beside(&state, suffix), text.repeat(500)).unwrap(),
            Self::ForeignLog => {
                let log = fs::read(foreign.join(format!("{STATE}-wal"))).unwrap();
                fs::write(beside(&state, "-wal"), log).unwrap();
            }
            Self::ForeignDatabase | Self::EmptyDatabase | Self::Folder => {
                for suffix in ["", "-wal", "-shm"] {
                    fs::remove_file(beside(&state, suffix)).unwrap();
                }
                match self {
                    Self::Folder => fs::create_dir(&state).unwrap(),
                    Self::ForeignDatabase => run(&state, "CREATE TABLE notes (text TEXT)"),
                    _ => run(&state, "VACUUM"),
                }
            }
            Self::Sql(sql) => spoil(&state, sql),
            _ => self.scratch(&chosen(&state, self, dice), dice),
        }
    }

    /// Damages the bytes of one file.
    fn scratch(self, path: &Path, dice: &mut StdRng) {
        let mut bytes = fs::read(path).unwrap();
        let (length, pages) = (bytes.len(), bytes.len() / PAGE);
        match self {
            Self::FlipBit => bytes[dice.random_range(0..length)] ^= 1 << dice.random_range(0..8),
            Self::Run(filling) => {
                let start = dice.random_range(0..length);
                let end = length.min(start + dice.random_range(1..=PAGE));
                for byte in &mut bytes[start..end] {
                    *byte = match filling {
                        Filling::Zeros => 0,
                        Filling::Ones => 0xFF,
                        Filling::Random => dice.random(),
                    };
                }
            }
            Self::Truncate => bytes.truncate(dice.random_range(0..length)),
            Self::CutToPages => bytes.truncate(dice.random_range(0..pages) * PAGE),
            Self::SwapPages | Self::CopyPage => {
                let [from, to] = [(); 2].map(|()| dice.random_range(0..pages) * PAGE);
                let (one, other) = (bytes[from..from + PAGE].to_vec(), bytes[to..to + PAGE].to_vec());
                bytes[to..to + PAGE].copy_from_slice(&one);
                if matches!(self, Self::SwapPages) {
                    bytes[from..from + PAGE].copy_from_slice(&other);
                }
            }
            Self::Header => bytes[dice.random_range(0..100.min(length))] = dice.random(),
            _ => unreachable!("not a matter of bytes"),
        }
        fs::write(path, bytes).unwrap();
    }
}

/// Selects the damaged file of the three, mostly the state file itself.
fn chosen(state: &Path, corruption: Corruption, dice: &mut StdRng) -> PathBuf {
    let suffix = match (dice.random_range(0..20), corruption) {
        (0..6, _) => "-wal",
        (6, Corruption::FlipBit | Corruption::Run(_) | Corruption::Truncate) => "-shm",
        _ => "",
    };
    beside(state, suffix)
}

pub(crate) fn beside(state: &Path, suffix: &str) -> PathBuf {
    let mut path = state.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

fn run(state: &Path, sql: &str) {
    Connection::open(state).unwrap().execute_batch(sql).unwrap();
}

/// Runs `sql` with all protections of SQLite switched off, and then restores the schema.
fn spoil(state: &Path, sql: &str) {
    // Each connection has its own setting for foreign keys.
    let bare =
        "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; PRAGMA legacy_alter_table = ON;";
    if !sql.starts_with("UPDATE") {
        return run(state, &format!("{bare} {sql}"));
    }
    let schema = "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL";
    let connection = Connection::open(state).unwrap();
    let mut select = connection.prepare(schema).unwrap();
    let tables = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let tables: Vec<(String, String)> = tables.map(Result::unwrap).collect();
    drop(select);
    drop(connection);
    // With types and `NOT NULL` enforced, these values could not be written.
    run(
        state,
        "PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = replace(replace(replace(sql, 'NOT NULL', ''), 'STRICT, WITHOUT', 'WITHOUT'), 'STRICT', '')",
    );
    let connection = Connection::open(state).unwrap();
    connection.execute_batch(&format!("{bare} {sql}; PRAGMA writable_schema = ON")).unwrap();
    for (name, sql) in tables {
        connection.execute("UPDATE sqlite_schema SET sql = ?2 WHERE name = ?1", [name, sql]).unwrap();
    }
}
