//! The data of `state check`: a check of the whole state file, from outside and inside, that changes nothing.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rusqlite::Connection;
use serde::Serialize;

use crate::store::error::StoreError;
use crate::store::file::lock::Lock;
use crate::store::file::open;
use crate::store::file::place::location;
use crate::store::file::wal;
use crate::store::handle::Store;
use crate::store::schema::checksum;
use crate::store::schema::finding::Finding;
use crate::store::schema::finding::Verdict;
use crate::store::schema::integrity;
use crate::store::schema::migrations;

/// How many problems of one kind are looked for.
const TROUBLES_MAX: usize = 20;

/// The result of a check.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// The verdict on the whole file.
    pub soundness: Soundness,
    /// Who runs on it, if anybody does.
    pub holder: Option<String>,
    /// The individual checks.
    pub findings: Vec<Finding>,
    /// Where each source can continue with a new state file, if that can be read.
    pub offsets: BTreeMap<String, u64>,
}

/// Whether a state file can be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Soundness {
    /// It can be used.
    Sound,
    /// It cannot be trusted. Exit code 74.
    Damaged,
    /// It belongs to another program or to a newer version. Exit code 78.
    Foreign,
}

/// Looks at everything.
pub(crate) fn inspect(path: &Path) -> Result<Inspection, StoreError> {
    let mut findings = vec![permissions(path)];
    let holder = Lock::holder(path).map(|holder| holder.name);
    let (log, connection) = match open(path) {
        Ok(opened) => opened,
        Err(refusal) => return refused("file", refusal, findings, holder),
    };
    findings.push(log);
    // Compare everything at one moment: a daemon may be writing.
    connection.execute_batch("BEGIN").map_err(|error| StoreError::from_sqlite(path, &error))?;
    let layout = match migrations::identify(&connection, path) {
        Ok(layout) => layout,
        Err(refusal) => return refused("whose it is", refusal, findings, holder),
    };
    findings.push(Finding::ok("whose it is", "b24relay's"));
    findings.push(this_layout(layout));
    findings.extend(structure(&connection, layout));
    let mut offsets = BTreeMap::new();
    match migrations::brought_to_newest(&connection, layout) {
        Ok(brought) => {
            let connection = brought.as_ref().unwrap_or(&connection);
            let seals = checksum::broken(connection, migrations::newest())
                .unwrap_or_else(|error| Some(error.to_string()));
            findings.push(Finding::judged("seals", "", &Vec::from_iter(seals)));
            findings.extend(integrity::findings(connection));
            offsets = integrity::offsets(connection).unwrap_or_default();
        }
        Err(error) => {
            findings.push(Finding::judged("bringing it to the newest layout", "", &[error.to_string()]));
        }
    }
    let is_wrong = findings.iter().any(|finding| matches!(finding.verdict, Verdict::Wrong(_)));
    let soundness = if is_wrong { Soundness::Damaged } else { Soundness::Sound };
    Ok(Inspection { soundness, holder, findings, offsets })
}

/// The result for a file that cannot be read.
fn refused(
    what: &str,
    refusal: StoreError,
    mut findings: Vec<Finding>,
    holder: Option<String>,
) -> Result<Inspection, StoreError> {
    let (soundness, trouble) = match refusal {
        StoreError::Damaged { detail, .. } => (Soundness::Damaged, detail),
        StoreError::Foreign { .. } | StoreError::Newer { .. } => (Soundness::Foreign, refusal.to_string()),
        other => return Err(other),
    };
    findings.push(Finding::judged(what, "", &[trouble]));
    Ok(Inspection { soundness, holder, findings, offsets: BTreeMap::new() })
}

/// Opens the file with its log. If the log cannot be trusted, opens the file alone: SQLite would throw away the
/// evidence of the damage.
fn open(path: &Path) -> Result<(Finding, Connection), StoreError> {
    const WHAT: &str = "write-ahead log";
    match wal::inspect_beside(path) {
        Ok(log) => {
            let found = match log.bytes {
                Some(bytes) => format!("{} frames, {bytes} bytes", log.frames),
                None => "none".to_owned(),
            };
            Ok((Finding::ok(WHAT, found), open::open_to_read(path)?))
        }
        Err(StoreError::Damaged { detail, .. }) if path.is_file() => {
            let found = "what follows is the file without it";
            Ok((Finding::judged(WHAT, found, &[detail]), open::open_without_log(path)?))
        }
        Err(error) => Err(error),
    }
}

fn permissions(path: &Path) -> Finding {
    let mode = path.metadata().map_or(0, |metadata| metadata.permissions().mode() & 0o777);
    let finding = Finding::ok("permissions", format!("{mode:04o}"));
    if mode & 0o077 == 0 {
        return finding;
    }
    let note = "others than its owner may use it: `chmod 600`, as the next start does".to_owned();
    Finding { verdict: Verdict::Noted(note), ..finding }
}

fn this_layout(layout: u32) -> Finding {
    let newest = migrations::newest();
    let finding = Finding::ok("layout", layout.to_string());
    if layout == newest {
        return finding;
    }
    Finding { verdict: Verdict::Noted(format!("the next start brings it to {newest}")), ..finding }
}

fn structure(connection: &Connection, layout: u32) -> [Finding; 3] {
    let tables = match migrations::misshapen(connection, layout) {
        Ok(None) => Vec::new(),
        Ok(Some(detail)) => vec![detail],
        Err(error) => vec![error.to_string()],
    };
    let pages = lines(connection, &format!("PRAGMA integrity_check({TROUBLES_MAX})"));
    let pages: Vec<_> = pages.into_iter().filter(|line| line != "ok").collect();
    let references = lines(
        connection,
        "SELECT 'a row of `' || \"table\" || '` is of no `' || parent || '`' FROM pragma_foreign_key_check",
    );
    [
        Finding::judged("tables", "", &tables),
        Finding::judged("pages (`integrity_check`)", "", &pages),
        Finding::judged("references (`foreign_key_check`)", "", &references),
    ]
}

/// The first column of every row; an error becomes a line as well.
fn lines(connection: &Connection, sql: &str) -> Vec<String> {
    let select = || -> rusqlite::Result<Vec<String>> {
        connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
    };
    select().unwrap_or_else(|error| vec![error.to_string()])
}

impl Store {
    /// Looks at all of the state file at `path`, without the lock and without changing anything.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; what is wrong otherwise is a finding.
    pub fn inspect(path: &Path) -> Result<Inspection, StoreError> {
        location::visit(path, inspect)
    }
}
