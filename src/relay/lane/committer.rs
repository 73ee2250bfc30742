//! What one lane has settled, and putting that on disk while attempts go on.
//!
//! Keeps G2 on our side: a commit is due 100 ms after the first settled event or with half of
//! [`UNCOMMITTED_MAX`], and with all of it, or behind a burial, or while the disk takes its time, nothing new is
//! attempted before the disk has it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, pending};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::checkpoint::Checkpoint;
use crate::event::Seq;
use crate::failpoint;
use crate::relay::context::Common;
use crate::relay::outcome::RelayError;
use crate::relay::outcome::Settled;
use crate::relay::state_retry::Disk;
use crate::sink::Mark;
use crate::store::{Burial, LaneRecord, Progress, Store, Tally};

/// How many settled events a crash may make a sink see again, besides those under way.
const UNCOMMITTED_MAX: u64 = 64;

/// After so long a commit is due.
const COMMIT_INTERVAL: Duration = Duration::from_millis(100);

/// What became of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The sink has it.
    Delivered,
    /// The sink is not to have it.
    Filtered,
    /// It is older than the sink wants events to be.
    Expired,
    /// It is a dead letter.
    Buried,
    /// The sink had it before the journal did.
    Known,
}

/// See the top of this file.
pub struct Ledger {
    source: String,
    sink: String,
    store: Store,
    disk: Disk,
    /// What is settled, and what became of it since the commit that was begun last.
    progress: Progress,
    /// How many events a crash would repeat, of those in no commit yet and of those in one under way.
    uncommitted: u64,
    committing: u64,
    /// When the oldest progress was made that is in no commit.
    touched_at: Option<Instant>,
    /// The first event that is not settled, as the disk knows it.
    committed: watch::Sender<Seq>,
    commit: Option<Commit>,
}

/// A commit under way.
struct Commit {
    written: BoxFuture<'static, Result<Option<()>, RelayError>>,
    /// What it puts on disk.
    progress: Arc<Progress>,
    begun_at: Instant,
}

impl Ledger {
    /// A ledger that goes on where `record` ends.
    pub fn new(source: &str, sink: &str, record: LaneRecord, common: &Common) -> Self {
        Self {
            source: source.to_owned(),
            sink: sink.to_owned(),
            store: common.store.clone(),
            disk: common.disk(),
            committed: watch::Sender::new(record.checkpoint.next()),
            progress: Progress {
                checkpoint: record.checkpoint,
                tally: Tally::default(),
                burials: Vec::new(),
                mark: None,
                start_ms: record.start_ms,
            },
            uncommitted: 0,
            committing: 0,
            touched_at: None,
            commit: None,
        }
    }

    /// The checkpoint.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.progress.checkpoint
    }

    /// Where the checkpoint on disk can be seen.
    pub fn committed(&self) -> watch::Receiver<Seq> {
        self.committed.subscribe()
    }

    /// See [`Progress::start_ms`].
    pub fn start_ms(&self) -> Option<i64> {
        self.progress.start_ms
    }

    /// Events of before `now_ms` are none of the lane's business.
    pub fn begin(&mut self, now_ms: i64) {
        self.progress.start_ms = Some(now_ms);
        self.touch();
    }

    /// What the sink wants to be told at the next start, in the commit of what it has taken with it.
    pub fn mark(&mut self, mark: Option<Mark>) {
        if let Some(mark) = mark {
            self.progress.mark = Some(mark.as_str().to_owned());
        }
    }

    /// The event at `seq` is settled.
    pub fn settle(&mut self, seq: Seq, end: End) {
        self.touch();
        self.progress.checkpoint.settle(seq);
        let tally = &mut self.progress.tally;
        let count = match end {
            End::Delivered => &mut tally.delivered,
            End::Filtered => &mut tally.filtered,
            End::Expired => &mut tally.expired,
            End::Buried => &mut tally.buried,
            End::Known => return,
        };
        *count += 1;
        self.uncommitted += u64::from(matches!(end, End::Delivered | End::Buried));
    }

    /// The event of `burial`, at `seq`, is settled in the commit that stores it (I1).
    pub fn bury(&mut self, seq: Seq, burial: Burial) {
        self.settle(seq, End::Buried);
        self.progress.burials.push(burial);
        // After a crash the sink may take it: then what comes after it must not be there yet (G3).
        self.uncommitted = self.uncommitted.max(UNCOMMITTED_MAX);
    }

    /// Whether more may be attempted before the disk has what is settled.
    pub fn has_room(&self) -> bool {
        let is_late = self.commit.as_ref().is_some_and(|commit| commit.begun_at.elapsed() >= COMMIT_INTERVAL);
        !is_late && self.uncommitted + self.committing < UNCOMMITTED_MAX
    }

    /// Waits until a commit is due and does it; as long as nothing is settled, for ever. Whoever stops
    /// waiting has lost nothing.
    ///
    /// # Errors
    /// As [`Ledger::commit`].
    pub async fn turn(&mut self) -> Result<Settled, RelayError> {
        if self.commit.is_none() {
            match self.touched_at {
                Some(_) if self.uncommitted >= UNCOMMITTED_MAX / 2 => {}
                Some(at) => sleep_until(at + COMMIT_INTERVAL).await,
                None => pending().await,
            }
            self.begin_commit();
        }
        self.end_commit().await
    }

    /// Puts all there is on disk (I3). A disk that does not take it is waited for: without a commit nothing
    /// may be confirmed, and what was delivered must not be delivered again.
    ///
    /// # Errors
    /// What ends the process.
    pub async fn commit(&mut self) -> Result<Settled, RelayError> {
        while self.commit.is_some() || self.touched_at.is_some() {
            self.begin_commit();
            if self.end_commit().await? == Settled::CutShort {
                return Ok(Settled::CutShort);
            }
        }
        Ok(Settled::All)
    }

    fn begin_commit(&mut self) {
        if self.commit.is_some() || self.touched_at.take().is_none() {
            return;
        }
        self.committing = std::mem::take(&mut self.uncommitted);
        let progress = Arc::new(self.progress.clone());
        self.progress.tally = Tally::default();
        self.progress.burials.clear();
        let (source, sink, store) = (self.source.clone(), self.sink.clone(), self.store.clone());
        let (disk, snapshot) = (self.disk.clone(), Arc::clone(&progress));
        let written = async move {
            failpoint::reached("committing");
            let commit = || store.commit(&source, &sink, snapshot.as_ref().clone());
            disk.persist("checkpoint", commit).await
        };
        self.commit = Some(Commit { written: written.boxed(), progress, begun_at: Instant::now() });
    }

    async fn end_commit(&mut self) -> Result<Settled, RelayError> {
        let Some(commit) = &mut self.commit else { return Ok(Settled::All) };
        let (written, progress) = (commit.written.as_mut().await, Arc::clone(&commit.progress));
        self.commit = None;
        if written?.is_none() {
            self.take_back(&progress);
            return Ok(Settled::CutShort);
        }
        failpoint::reached("committed");
        self.committing = 0;
        self.committed.send_replace(progress.checkpoint.next());
        Ok(Settled::All)
    }

    /// The disk did not take `progress` before a stop: the next commit has it, too.
    fn take_back(&mut self, progress: &Progress) {
        self.touch();
        self.uncommitted += std::mem::take(&mut self.committing);
        let (tally, earlier) = (&mut self.progress.tally, progress.tally);
        tally.delivered += earlier.delivered;
        tally.filtered += earlier.filtered;
        tally.expired += earlier.expired;
        tally.buried += earlier.buried;
        self.progress.burials.splice(0..0, progress.burials.iter().cloned());
    }

    fn touch(&mut self) {
        self.touched_at.get_or_insert_with(Instant::now);
    }
}
