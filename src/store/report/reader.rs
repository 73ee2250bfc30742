//! Reads the state file from within the process that runs on it. Only a few reads run at a time, and none once the file
//! is to be closed, because the last connection that closes must be the one that removes the log.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::blocking;
use crate::store::database::Files;
use crate::store::error::StoreError;
use crate::store::file::place::location;
use crate::store::handle::Store;
use crate::store::report::sources;
use crate::store::report::sources::Report;

/// The most reads at once; others wait.
const LOOKS_MAX: u32 = 4;

/// Reads reports from the state file. Clones share everything.
#[derive(Clone)]
pub struct ReportReader {
    path: Arc<Path>,
    files: Option<Arc<Files>>,
    permits: Arc<Semaphore>,
}

impl ReportReader {
    /// A reader of the state file at `path`.
    pub fn new(path: Arc<Path>, files: Option<Arc<Files>>) -> Self {
        Self { path, files, permits: Arc::new(Semaphore::new(LOOKS_MAX as usize)) }
    }

    /// Reads the contents of the state file.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it has been closed, and the errors of [`Store::report`].
    pub async fn report(&self) -> Result<Report, StoreError> {
        let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else {
            let detail = "b24relay is stopping".to_owned();
            return Err(StoreError::Unavailable { path: self.path.to_path_buf(), detail });
        };
        let (path, files) = (Arc::clone(&self.path), self.files.clone());
        blocking::run(move || {
            // What lies there instead is another state.
            let report = files.map_or(Ok(()), |files| files.verify()).and_then(|()| sources::read(&path));
            drop(permit);
            report
        })
        .await
    }

    /// Waits for the reads in progress. There are none afterwards.
    pub async fn close(&self) {
        // Earlier waiters come first.
        if let Ok(all) = self.permits.acquire_many(LOOKS_MAX).await {
            self.permits.close();
            drop(all);
        }
    }
}

impl Store {
    /// A handle to read the file while this process runs on it.
    pub fn reader(&self) -> ReportReader {
        ReportReader::new(Arc::clone(&self.path), self.disk.files())
    }

    /// Reads the contents of the state file at `path`, without the lock and without changing anything.
    pub fn report(path: &Path) -> Result<Report, StoreError> {
        location::visit(path, sources::read)
    }
}
