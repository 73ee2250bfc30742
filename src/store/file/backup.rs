//! Copies the state file, even while a daemon writes to it.
//!
//! SQLite's backup API copies page by page from one read transaction. So the copy is the state of one moment however
//! long it takes, it delays no other user of the file, and its progress can be reported. (`VACUUM INTO` does the first
//! two, but writes every row again and syncs nothing.) The copy gets its name once it was checked and is on disk. A
//! damaged state is copied as well, since a damaged copy is better than none, and the damage is reported.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::store::error::StoreError;
use crate::store::file::open;
use crate::store::file::place::durable_dir;
use crate::store::file::place::location;
use crate::store::handle::Store;
use crate::store::paths::sibling_path;
use crate::store::schema::checksum;
use crate::store::schema::finding::Finding;
use crate::store::schema::integrity;
use crate::store::schema::migrations;
use crate::store::sql::first;
use crate::symlinks;

/// How many pages one step copies. Progress is reported between two steps.
const STEP_PAGES: i32 = 1024;

/// A finished copy.
#[derive(Debug)]
pub struct Copied {
    /// Its size.
    pub bytes: u64,
    /// The damage in the state, and so in its copy; empty when it is sound.
    pub suspicions: Vec<String>,
}

/// Copies the state as [`Store::backup`] says.
///
/// The source is read with the rights of its owner. The copy belongs to the user who makes it.
pub(crate) fn copy(
    path: &Path,
    target: &Path,
    mut progress: impl FnMut(u32, u32),
) -> Result<Copied, StoreError> {
    let (source, suspicion) = location::visit(path, open)?;
    let target = &symlinks::resolve_folder(target).map_err(|error| refused(target, &error.to_string()))?;
    // Reserves the name. Until the copy is complete, nothing can mistake the file for a state.
    open::create_private(target).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => refused(target, "there is something of that name already"),
        _ => refused(target, &error.to_string()),
    })?;
    let draft = sibling_path(target, ".part");
    let copied = fill(&source, path, &draft, &mut progress).and_then(|found| {
        let suspicions = suspicion.into_iter().chain(found).collect();
        Ok(Copied { bytes: name(&draft, target)?, suspicions })
    });
    if copied.is_err() {
        // Nothing else can be done about what cannot be removed; the error that counts is the first.
        open::remove(&draft).ok();
        std::fs::remove_file(target).ok();
    }
    copied
}

/// Opens the state, and returns the damage that is visible at once. A damaged state is copied nevertheless, without our
/// checks.
fn open(state: &Path) -> Result<(Connection, Option<String>), StoreError> {
    let source = open::open_to_read(state);
    match source.and_then(|source| migrations::identify(&source, state).map(|_| source)) {
        Ok(source) => Ok((source, None)),
        Err(StoreError::Damaged { detail, .. }) => Ok((open::open_damaged(state)?, Some(detail))),
        Err(error) => Err(error),
    }
}

/// Fills the draft, and returns the damage found in it.
fn fill(
    source: &Connection,
    path: &Path,
    draft: &Path,
    progress: &mut impl FnMut(u32, u32),
) -> Result<Vec<String>, StoreError> {
    let fail = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::from_sqlite(path, &error),
        _ => refused(draft, &error.to_string()),
    };
    open::remove(draft)
        .and_then(|()| open::create_private(draft))
        .map_err(|error| refused(draft, &error.to_string()))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let mut copy = Connection::open_with_flags(draft, flags).map_err(fail)?;
    // The read transaction begins with the first read, and fixes the moment for all steps.
    source.execute_batch("BEGIN").map_err(fail)?;
    let _: Option<i64> = first(source, "PRAGMA schema_version").map_err(fail)?;
    steps(&Backup::new(source, &mut copy).map_err(fail)?, progress).map_err(fail)?;
    // The copy is one file, with nothing beside it.
    let alone = copy.pragma_update(None, "journal_mode", "DELETE").map_err(fail);
    checksum::register_function(&copy).map_err(fail)?;
    match alone.and_then(|()| migrations::inspect(&copy, path)) {
        Ok(layout) if layout == migrations::newest() => {
            Ok(integrity::findings(&copy).into_iter().filter_map(Finding::trouble).collect())
        }
        Ok(_) => Ok(Vec::new()),
        Err(StoreError::Damaged { detail, .. }) => Ok(vec![detail]),
        Err(error) => Err(error),
    }
}

fn steps(backup: &Backup<'_, '_>, progress: &mut impl FnMut(u32, u32)) -> rusqlite::Result<()> {
    // No other connection writes to either side, so each step makes progress: `Busy` would be an error.
    while backup.step(STEP_PAGES)? == StepResult::More {
        let so_far = backup.progress();
        let count = |pages| u32::try_from(pages).unwrap_or(0);
        progress(count(so_far.remaining), count(so_far.pagecount));
    }
    Ok(())
}

fn name(draft: &Path, target: &Path) -> Result<u64, StoreError> {
    let named = || {
        let copy = File::open(draft)?;
        copy.sync_all()?;
        std::fs::rename(draft, target)?;
        durable_dir::sync_name(target)?;
        Ok(copy.metadata()?.len())
    };
    named().map_err(|error: std::io::Error| refused(target, &error.to_string()))
}

fn refused(target: &Path, detail: &str) -> StoreError {
    StoreError::Copy { path: target.to_owned(), detail: detail.to_owned() }
}

impl Store {
    /// Copies the state file at `path` to `target` as it is at one moment, with or without a running daemon. Calls
    /// `progress` with the number of pages that are left, and of all pages. The copy is checked and on disk when this
    /// returns. If it fails, nothing is left of it. A damaged file is copied as well.
    ///
    /// # Errors
    /// [`StoreError::Copy`] when `target` exists or cannot be written, and the errors of [`Store::open`].
    pub fn backup(path: &Path, target: &Path, progress: impl FnMut(u32, u32)) -> Result<Copied, StoreError> {
        copy(path, target, progress)
    }
}
