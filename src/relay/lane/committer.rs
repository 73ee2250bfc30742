//! Tracks the settled events of one lane, and commits them while attempts go on.
//!
//! Keeps G2 on our side. A commit is due 100 ms after the first settled event, or when half of [`UNCOMMITTED_MAX`]
//! events are settled. No attempt begins while [`UNCOMMITTED_MAX`] events are uncommitted, while a new dead letter is
//! uncommitted, or while a commit takes longer than 100 ms.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, pending};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::checkpoint::Checkpoint;
use crate::event::Seq;
use crate::failpoint;
use crate::relay::context::EngineContext;
use crate::relay::outcome::Halt;
use crate::relay::state_retry::Disk;
use crate::sink::Mark;
use crate::store::{LaneRecord, NewDeadLetter, Progress, Store, Tally};

/// How many settled events a sink may receive again after a crash, besides those in flight.
const UNCOMMITTED_MAX: u64 = 64;

/// After this time a commit is due.
const COMMIT_INTERVAL: Duration = Duration::from_millis(100);

/// How an event was settled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// It was delivered.
    Delivered,
    /// The sink is not configured to receive it.
    Filtered,
    /// It is older than the sink's `max_event_age`.
    Expired,
    /// It is a dead letter.
    Buried,
    /// The sink had received it before the journal did.
    Known,
}

pub(crate) struct Committer {
    source: String,
    sink: String,
    store: Store,
    disk: Disk,
    /// The settled events, and the counts and dead letters since the last commit began.
    progress: Progress,
    /// How many events a crash would repeat that are in no commit yet. `committing` counts those in the commit in
    /// progress.
    uncommitted: u64,
    committing: u64,
    /// When the oldest progress was made that is in no commit.
    touched_at: Option<Instant>,
    /// The first unsettled event, as it is on disk.
    committed: watch::Sender<Seq>,
    commit: Option<Commit>,
}

/// A commit in progress.
struct Commit {
    written: BoxFuture<'static, Result<(), Halt>>,
    /// The progress that it writes.
    progress: Arc<Progress>,
    begun_at: Instant,
}

impl Committer {
    /// Creates a committer that continues from `record`.
    pub(crate) fn new(source: &str, sink: &str, record: LaneRecord, context: &EngineContext) -> Self {
        Self {
            source: source.to_owned(),
            sink: sink.to_owned(),
            store: context.store.clone(),
            disk: context.disk(),
            committed: watch::Sender::new(record.checkpoint.next()),
            progress: Progress {
                checkpoint: record.checkpoint,
                tally: Tally::default(),
                new_letters: Vec::new(),
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
    pub(crate) fn checkpoint(&self) -> &Checkpoint {
        &self.progress.checkpoint
    }

    /// A receiver of the checkpoint that is on disk.
    pub(crate) fn committed(&self) -> watch::Receiver<Seq> {
        self.committed.subscribe()
    }

    /// See [`Progress::start_ms`].
    pub(crate) fn start_ms(&self) -> Option<i64> {
        self.progress.start_ms
    }

    /// Starts the lane at `now_ms`: it ignores events from before that time.
    pub(crate) fn begin(&mut self, now_ms: i64) {
        self.progress.start_ms = Some(now_ms);
        self.touch();
    }

    /// Stores the sink's mark in the commit of the events that it has taken. The sink gets it back at the next start.
    pub(crate) fn mark(&mut self, mark: Option<Mark>) {
        if let Some(mark) = mark {
            self.progress.mark = Some(mark.as_str().to_owned());
        }
    }

    /// Settles the event at `seq`.
    pub(crate) fn settle(&mut self, seq: Seq, end: End) {
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

    /// Settles the event of `new_letter`, at `seq`, in the commit that stores the dead letter (I1).
    pub(crate) fn bury(&mut self, seq: Seq, new_letter: NewDeadLetter) {
        self.settle(seq, End::Buried);
        self.progress.new_letters.push(new_letter);
        // After a crash the sink may accept this event. Then it must not have any later event yet (G3).
        self.uncommitted = self.uncommitted.max(UNCOMMITTED_MAX);
    }

    /// Whether more events may be attempted before the disk has the settled ones.
    pub(crate) fn has_room(&self) -> bool {
        let is_late = self.commit.as_ref().is_some_and(|commit| commit.begun_at.elapsed() >= COMMIT_INTERVAL);
        !is_late && self.uncommitted + self.committing < UNCOMMITTED_MAX
    }

    /// Waits until a commit is due and performs it. Waits forever while nothing is settled. Dropping the future loses
    /// nothing.
    pub(crate) async fn turn(&mut self) -> Result<(), Halt> {
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

    /// Writes all progress to disk (I3), and retries while the disk refuses it: without a commit nothing may be
    /// confirmed, and delivered events must not be delivered again.
    pub(crate) async fn commit(&mut self) -> Result<(), Halt> {
        while self.commit.is_some() || self.touched_at.is_some() {
            self.begin_commit();
            self.end_commit().await?;
        }
        Ok(())
    }

    fn begin_commit(&mut self) {
        if self.commit.is_some() || self.touched_at.take().is_none() {
            return;
        }
        self.committing = std::mem::take(&mut self.uncommitted);
        let progress = Arc::new(self.progress.clone());
        self.progress.tally = Tally::default();
        self.progress.new_letters.clear();
        let (source, sink, store) = (self.source.clone(), self.sink.clone(), self.store.clone());
        let (disk, snapshot) = (self.disk.clone(), Arc::clone(&progress));
        let written = async move {
            failpoint::reached("committing");
            let commit = || store.commit(&source, &sink, snapshot.as_ref().clone());
            disk.persist("checkpoint", commit).await
        };
        self.commit = Some(Commit { written: written.boxed(), progress, begun_at: Instant::now() });
    }

    async fn end_commit(&mut self) -> Result<(), Halt> {
        let Some(commit) = &mut self.commit else { return Ok(()) };
        let (written, progress) = (commit.written.as_mut().await, Arc::clone(&commit.progress));
        self.commit = None;
        if matches!(written, Err(Halt::Stopped)) {
            self.take_back(&progress);
        }
        written?;
        failpoint::reached("committed");
        self.committing = 0;
        self.committed.send_replace(progress.checkpoint.next());
        Ok(())
    }

    /// Merges `progress`, which the disk did not accept before a stop, into the next commit.
    fn take_back(&mut self, progress: &Progress) {
        self.touch();
        self.uncommitted += std::mem::take(&mut self.committing);
        let (tally, earlier) = (&mut self.progress.tally, progress.tally);
        tally.delivered += earlier.delivered;
        tally.filtered += earlier.filtered;
        tally.expired += earlier.expired;
        tally.buried += earlier.buried;
        self.progress.new_letters.splice(0..0, progress.new_letters.iter().cloned());
    }

    fn touch(&mut self) {
        self.touched_at.get_or_insert_with(Instant::now);
    }
}
