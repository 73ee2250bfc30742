//! SQLite's check of all pages of a big file, in the background: reading a gigabyte would delay the start.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, InterruptHandle};

use crate::store::error::StoreError;
use crate::store::file::open;
use crate::store::sql::first;

/// One running check. Dropping it ends the check.
pub(crate) struct PageCheck {
    interrupt: InterruptHandle,
    thread: Option<JoinHandle<()>>,
}

impl PageCheck {
    /// Checks the open file at `path`. Damage goes into `damage`, and ends the work on the file.
    pub(crate) fn start(path: &Path, damage: Arc<OnceLock<String>>) -> Result<Self, StoreError> {
        let connection = open::open_reader(path)?;
        let interrupt = connection.get_interrupt_handle();
        let thread = thread::spawn(move || {
            if let Some(detail) = trouble(&connection) {
                damage.get_or_init(|| detail);
            }
        });
        Ok(Self { interrupt, thread: Some(thread) })
    }
}

fn trouble(connection: &Connection) -> Option<String> {
    match first::<String>(connection, "PRAGMA integrity_check(1)") {
        Ok(verdict) => verdict.filter(|verdict| verdict != "ok"),
        Err(error) => match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Some(error.to_string()),
            // Interrupted, or the disk cannot be read now: users of the file see that, too.
            _ => None,
        },
    }
}

impl Drop for PageCheck {
    /// Waits for the check to end: the store's last connection must be the last one, so that it removes the log.
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        while !thread.is_finished() {
            self.interrupt.interrupt();
            thread::sleep(Duration::from_millis(1));
        }
        // The panic hook has logged a panic of the thread.
        thread.join().ok();
    }
}
