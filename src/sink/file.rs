//! A file: one appending write and one `fdatasync` a batch, then it counts as delivered.
//!
//! Exactly once: each append returns a mark of where the file ended. After a crash, lines beyond the mark of the last
//! commit are recognised (`known`), so a repeated batch adds only what is missing. A write that failed is cut off
//! again before the next try.
//! Between two batches the file is put aside when it is time (`rotation`).

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use tracing::{debug, error, info, warn};

use super::compression::{self, Format};
use super::files::Files;
use super::known::{self, KnownLines, QueueTag, tag_of};
use super::mark::FileMark;
use super::open_file::{Doubt, OpenFile};
use super::place::{cautions, follow, identity_at, sync_folder};
use super::rotation::{self, Naming, Past, Turn};
use super::tidying::{Rules, Tidier};
use super::{DeliverError, Mark, Sink};
use crate::blocking;
use crate::config::{FileConfig, RotateConfig};
use crate::event::{Event, EventId, Queue};
use crate::failpoint;
use crate::shutdown::Signals;

/// What a line needs besides its payload, generously.
const LINE_OVERHEAD: usize = 160;

/// Marks by queue, from lanes that go on where they were.
type Marks = HashMap<QueueTag, Option<Mark>>;

/// The `file` sink.
pub struct FileSink {
    signals: Signals,
    writer: Arc<Mutex<Writer>>,
    /// For the next append. Apart from the writer, which may be waiting for the disk.
    resumed: Arc<Mutex<Marks>>,
    tidier: Tidier,
}

impl FileSink {
    /// Looks at the folder on another thread, so that a disk that hangs does not delay the start. Errors are left to the
    /// first attempt.
    pub fn new(config: FileConfig, signals: Signals) -> Self {
        let tidier = Tidier::default();
        let resumed = Arc::default();
        let writer = Arc::new(Mutex::new(Writer::new(config, tidier.clone(), Arc::clone(&resumed))));
        let prepared = Arc::clone(&writer);
        tidier.begin_with(move || prepared.lock().unwrap_or_else(PoisonError::into_inner).prepare());
        Self { signals, writer, resumed, tidier }
    }
}

impl Drop for FileSink {
    fn drop(&mut self) {
        self.tidier.wait();
    }
}

#[async_trait]
impl Sink for FileSink {
    /// A whole batch shares one `fdatasync`.
    fn attempt_max(&self) -> usize {
        usize::MAX
    }

    async fn deliver(&self, events: &[&Event]) -> Result<Option<Mark>, DeliverError> {
        let Some(first) = events.first() else { return Ok(None) };
        let tag = tag_of(&first.queue);
        let lines = Lines::of(events);
        let (writer, nudge_count) = (Arc::clone(&self.writer), self.signals.nudge_count());
        blocking::run(move || {
            // A panic half-way leaves what a crash leaves, and the next append copes with that.
            writer.lock().unwrap_or_else(PoisonError::into_inner).append(&tag, &lines, nudge_count)
        })
        .await
    }

    fn resume(&self, queue: &Arc<Queue>, mark: Option<&str>) {
        let mark = mark.map(|mark| Mark::new(mark.to_owned()));
        self.resumed.lock().unwrap_or_else(PoisonError::into_inner).insert(tag_of(queue), mark);
    }
}

/// Events, rendered one behind the other.
struct Lines {
    bytes: Vec<u8>,
    /// Each line's event, and where the line ends.
    ends: Vec<(EventId, usize)>,
}

impl Lines {
    fn of(events: &[&Event]) -> Self {
        let size = events.iter().map(|event| event.data.get().len() + LINE_OVERHEAD).sum();
        let (mut bytes, mut ends) = (Vec::with_capacity(size), Vec::with_capacity(events.len()));
        for event in events {
            event.write_line(&mut bytes);
            ends.push((event.id, bytes.len()));
        }
        Self { bytes, ends }
    }

    fn iter(&self) -> impl Iterator<Item = (EventId, &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |(id, end)| {
            let line = &self.bytes[start..*end];
            start = *end;
            (*id, line)
        })
    }

    /// The lines that are not known. Nearly always that is all of them, and nothing is copied.
    fn missing_in(&self, known: Option<&KnownLines>) -> Cow<'_, [u8]> {
        let Some(known) = known else { return Cow::Borrowed(&self.bytes) };
        let missing = self.iter().filter(|(id, line)| !known.holds(*id, line));
        Cow::Owned(missing.flat_map(|(_, line)| line).copied().collect())
    }
}

struct Writer {
    config: FileConfig,
    opened: Option<OpenFile>,
    /// The nudges that had come when it was opened.
    nudge_count: u64,
    /// Lines whose events may come again.
    known: HashMap<QueueTag, KnownLines>,
    /// Queues whose lines are to be looked for before the next append.
    resumed: Arc<Mutex<Marks>>,
    unsearched: Marks,
    /// What a run before left beside the file was put right.
    is_settled: bool,
    doubt: Option<Doubt>,
    /// The last turn of a rotated file, from before the first one was compressed by this process.
    last_turn: Option<Turn>,
    tidier: Tidier,
    /// Rotating failed, which has been said.
    is_stuck: bool,
}

impl Writer {
    fn new(config: FileConfig, tidier: Tidier, resumed: Arc<Mutex<Marks>>) -> Self {
        Self {
            config,
            opened: None,
            nudge_count: 0,
            known: HashMap::new(),
            resumed,
            unsearched: HashMap::new(),
            is_settled: false,
            doubt: None,
            last_turn: None,
            tidier,
            is_stuck: false,
        }
    }

    /// Warns about other users, and opens what a run before has left, so that nothing is there twice for longer
    /// than need be.
    fn prepare(&mut self) {
        for caution in cautions(&self.config.path) {
            warn!(path = %self.config.path.display(), "{caution}");
        }
        if self.config.rotate.is_none() {
            return;
        }
        let path = follow(&self.config.path);
        let past = path.and_then(|place| Ok((place.exists(), Naming::try_new(&place)?.list()?)));
        if past.is_ok_and(|(is_there, past)| is_there || !past.ours.is_empty()) && self.settle_past().is_err()
        {
            self.opened = None;
        }
    }

    fn append(
        &mut self,
        tag: &QueueTag,
        lines: &Lines,
        nudge_count: u64,
    ) -> Result<Option<Mark>, DeliverError> {
        self.try_append(tag, lines, nudge_count).map_err(|error| {
            // Whatever happened: look at the file afresh before the next try.
            self.opened = None;
            explain(&self.config.path, &error)
        })
    }

    fn try_append(&mut self, tag: &QueueTag, lines: &Lines, nudge_count: u64) -> io::Result<Option<Mark>> {
        if let Some(doubt) = &self.doubt {
            doubt.resolve(&self.config.path)?;
            self.doubt = None;
        }
        self.let_go(nudge_count)?;
        self.settle_past()?;
        self.search_resumed()?;
        let bytes = lines.missing_in(self.known.get(tag));
        self.rotate_if_due(bytes.len() as u64)?;
        self.write(&bytes)?;
        Ok(self.mark_after(tag, lines))
    }

    /// The mark behind `lines`, which are in the file now. As long as known lines of the queue have not come again, the
    /// mark stays before them: they are to be known after another crash as well. The same goes for a file that
    /// cannot be read at this moment: its events are settled all the same.
    fn mark_after(&mut self, tag: &QueueTag, lines: &Lines) -> Option<Mark> {
        if let Some(known) = self.known.get_mut(tag) {
            lines.iter().for_each(|(id, line)| known.forget(id, line));
            if !known.is_empty() {
                return known.mark();
            }
            self.known.remove(tag);
        }
        let mark = FileMark::at_end(&self.opened.as_ref()?.file).ok()?;
        Some(Mark::new(mark.to_string()))
    }

    /// Closes the file when its path leads elsewhere by now, or when a nudge has come since it was opened.
    fn let_go(&mut self, nudge_count: u64) -> io::Result<()> {
        let is_nudged = std::mem::replace(&mut self.nudge_count, nudge_count) != nudge_count;
        let Some(opened) = &self.opened else { return Ok(()) };
        let path = self.config.path.display();
        if identity_at(&self.config.path)? != Some(opened.identity) {
            warn!(%path, "the file was moved or deleted: going on with a new one");
            self.opened = None;
        } else if is_nudged {
            info!(%path, "reopening the file");
            self.opened = None;
        }
        Ok(())
    }

    fn opened(&mut self) -> io::Result<&OpenFile> {
        match &mut self.opened {
            Some(opened) => Ok(opened),
            none => Ok(none.insert(OpenFile::open(&follow(&self.config.path)?, self.config.mode)?)),
        }
    }

    /// Repairs the file and what lies beside it after a crash, once in the life of this process, and has what was put
    /// aside tidied up.
    fn settle_past(&mut self) -> io::Result<()> {
        if self.is_settled {
            return Ok(());
        }
        self.opened()?;
        // A name that makes no others is refused when there is something to rotate.
        if let Ok(naming) = Naming::try_new(&follow(&self.config.path)?) {
            let mut past = naming.list()?;
            warn_of_foreign(&past);
            self.last_turn = past.ours.last().map(|rotated| rotated.turn);
            compression::settle(&mut past);
            self.tidy(naming);
        }
        self.is_settled = true;
        Ok(())
    }

    /// Looks for the lines of queues that were resumed since the last append.
    fn search_resumed(&mut self) -> io::Result<()> {
        let resumed = std::mem::take(&mut *self.resumed.lock().unwrap_or_else(PoisonError::into_inner));
        self.unsearched.extend(resumed);
        if self.unsearched.is_empty() {
            return Ok(());
        }
        let past = match Naming::try_new(&follow(&self.config.path)?) {
            Ok(naming) => naming.list()?,
            Err(_) => Past::default(),
        };
        let current = self.opened()?.file.try_clone()?;
        self.known.extend(known::search(&Files::new(&current, past), &self.unsearched)?);
        self.unsearched.clear();
        Ok(())
    }

    fn tidy(&self, naming: Naming) {
        if let Some(RotateConfig { keep, .. }) = self.config.rotate {
            self.tidier.start(naming, Rules { keep, format: Format::of(self.config.compress) });
        }
    }

    /// Puts the file aside when `count` more bytes are for a new one.
    fn rotate_if_due(&mut self, count: u64) -> io::Result<()> {
        let Some(config) = self.config.rotate.filter(|_| count > 0) else { return Ok(()) };
        let metadata = self.opened()?.file.metadata()?;
        if !rotation::is_due(config, metadata.len(), metadata.modified()?, SystemTime::now(), count) {
            return Ok(());
        }
        let place = follow(&self.config.path)?;
        let path = place.display();
        let rotated = Naming::try_new(&place).and_then(|naming| Ok((naming.rotate(self.last_turn)?, naming)));
        match rotated {
            Ok((rotated, naming)) => {
                debug!(%path, rotated = %rotated.path.display(), "file rotated");
                self.last_turn = Some(rotated.turn);
                self.is_stuck = false;
                // From here on nothing goes into the old one, whatever fails: it may be being compressed.
                self.opened = None;
                sync_folder(&place)?;
                failpoint::reached("rotation_synced");
                self.opened()?;
                failpoint::reached("rotation_created");
                self.tidy(naming);
            }
            // Events are worth more than the order among files.
            Err(error) if !self.is_stuck => {
                self.is_stuck = true;
                error!(%path, %error, "cannot rotate the file: events go on into it; make its folder writable");
            }
            Err(error) => debug!(%path, %error, "cannot rotate the file"),
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let opened = self.opened()?;
        let length = opened.file.metadata()?.len();
        let written = opened.append(bytes, length);
        written.map_err(|(error, doubt)| {
            self.doubt = doubt;
            error
        })
    }
}

fn warn_of_foreign(past: &Past) {
    if let Some(path) = past.foreign.first() {
        warn!(
            path = %path.display(),
            count = past.foreign.len(),
            "ignoring what has the name of a rotated file and is not a regular file of this user"
        );
    }
}

fn explain(path: &Path, error: &io::Error) -> DeliverError {
    let reason = format!("cannot write `{}`: {error}", path.display());
    match error.kind() {
        ErrorKind::PermissionDenied
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::IsADirectory
        | ErrorKind::NotADirectory
        | ErrorKind::NotFound
        | ErrorKind::InvalidInput
        | ErrorKind::ResourceBusy => DeliverError::Held { reason, wait: None },
        _ => DeliverError::Transient { reason, wait: None },
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::ops::RangeInclusive;
    use std::path::PathBuf;

    use serde_json::value::to_raw_value;
    use tempfile::TempDir;

    use super::*;
    use crate::config::CompressConfig;

    /// A folder with the file of a sink that is started again and again.
    struct Place {
        folder: TempDir,
        rotate: Option<RotateConfig>,
        compress: CompressConfig,
    }

    impl Place {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap(), rotate: None, compress: CompressConfig::None }
        }

        fn rotating(compress: CompressConfig) -> Self {
            let rotate = RotateConfig { size: Some(1024), every: None, keep: None };
            Self { rotate: Some(rotate), compress, ..Self::new() }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        /// The sink of a new process, resumed with these marks.
        fn start(&self, marks: &[(&Arc<Queue>, Option<&Mark>)]) -> FileSink {
            let path = self.path("events.jsonl");
            let config = FileConfig { path, mode: 0o640, rotate: self.rotate, compress: self.compress };
            let sink = FileSink::new(config, Signals::silent());
            for (queue, mark) in marks {
                sink.resume(queue, mark.map(Mark::as_str));
            }
            sink
        }

        /// The ids of a queue in all files, ascending, and the names of the files.
        fn ids(&self, queue: &Queue) -> (Vec<u64>, Vec<String>) {
            let (mut ids, mut names) = (Vec::new(), Vec::new());
            for entry in fs::read_dir(&self.folder).unwrap() {
                let path = entry.unwrap().path();
                let file = File::open(&path).unwrap();
                let reader = compression::reader_at(&file, 0).unwrap();
                let text = std::io::read_to_string(reader).unwrap();
                let begin = format!("{{\"id\":\"{}", queue.stable_prefix());
                let ours = text.lines().filter_map(|line| line.strip_prefix(begin.as_str()));
                ids.extend(ours.map(|line| line.split('"').next().unwrap().parse::<u64>().unwrap()));
                names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
            }
            ids.sort_unstable();
            names.sort();
            (ids, names)
        }

        fn assert_once(&self, queue: &Queue, ids: RangeInclusive<u64>) {
            let (found, names) = self.ids(queue);
            assert!(found == ids.collect::<Vec<_>>(), "{names:?}: {found:?}");
        }
    }

    fn queue(user: u32) -> Arc<Queue> {
        Arc::new(Queue::new("support", &format!("portal.example/user/{user}")))
    }

    async fn deliver(sink: &FileSink, queue: &Arc<Queue>, ids: RangeInclusive<u64>) -> Option<Mark> {
        let events: Vec<Event> = ids
            .map(|id| Event {
                queue: Arc::clone(queue),
                id: EventId::try_new(id).unwrap(),
                kind: "ONIMV2MESSAGEADD".to_owned(),
                date: to_raw_value("2026-11-21T09:30:00+00:00").unwrap(),
                data: to_raw_value(&format!("text {id}")).unwrap(),
            })
            .collect();
        sink.deliver(&events.iter().collect::<Vec<_>>()).await.unwrap()
    }

    #[tokio::test]
    async fn lines_beyond_the_mark_are_not_written_again_however_many() {
        let (place, queue) = (Place::new(), queue(1));
        let sink = place.start(&[]);
        let mark = deliver(&sink, &queue, 1..=10).await;
        deliver(&sink, &queue, 11..=10_010).await;
        drop(sink);
        let sink = place.start(&[(&queue, mark.as_ref())]);
        deliver(&sink, &queue, 11..=4000).await;
        deliver(&sink, &queue, 4001..=10_020).await;
        place.assert_once(&queue, 1..=10_020);
    }

    #[tokio::test]
    async fn a_line_before_the_mark_is_written_again() {
        let (place, queue) = (Place::new(), queue(1));
        let mark = deliver(&place.start(&[]), &queue, 1..=10).await;
        deliver(&place.start(&[(&queue, mark.as_ref())]), &queue, 8..=11).await;
        assert_eq!(place.ids(&queue).0, [1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 9, 10, 10, 11]);
    }

    #[tokio::test]
    async fn without_being_resumed_every_line_is_written() {
        let (place, queue) = (Place::new(), queue(1));
        deliver(&place.start(&[]), &queue, 1..=3).await;
        deliver(&place.start(&[]), &queue, 1..=3).await;
        assert_eq!(place.ids(&queue).0, [1, 1, 2, 2, 3, 3]);
    }

    #[tokio::test]
    async fn a_lane_without_a_mark_finds_its_last_lines() {
        for moved in ["events.jsonl", "events.jsonl.1"] {
            let (place, queue) = (Place::new(), queue(1));
            deliver(&place.start(&[]), &queue, 1..=3).await;
            fs::rename(place.path("events.jsonl"), place.path(moved)).unwrap();
            let sink = place.start(&[(&queue, None)]);
            assert_eq!(
                deliver(&sink, &queue, 1..=2).await,
                None,
                "3 may come again, and has no mark before it"
            );
            assert!(deliver(&sink, &queue, 3..=4).await.is_some());
            place.assert_once(&queue, 1..=4);
        }
    }

    #[tokio::test]
    async fn the_mark_is_found_behind_rotations_compressed_or_not() {
        for compress in [CompressConfig::None, CompressConfig::Gzip, CompressConfig::Zstd] {
            let (place, queue) = (Place::rotating(compress), queue(1));
            let sink = place.start(&[]);
            deliver(&sink, &queue, 1..=3).await;
            let mark = deliver(&sink, &queue, 4..=6).await;
            for from in [7, 10, 13, 16, 19, 22] {
                deliver(&sink, &queue, from..=from + 2).await;
            }
            // Waits for the compression.
            drop(sink);
            let sink = place.start(&[(&queue, mark.as_ref())]);
            deliver(&sink, &queue, 7..=25).await;
            place.assert_once(&queue, 1..=25);
            let (_, names) = place.ids(&queue);
            let packed = names.iter().filter(|name| !name.ends_with(".jsonl")).count();
            assert_eq!(packed > 1, compress != CompressConfig::None, "{names:?}");
            drop(sink);
            deliver(&place.start(&[(&queue, mark.as_ref())]), &queue, 5..=7).await;
            assert_eq!(
                place.ids(&queue).0[4..9],
                [5, 5, 6, 6, 7],
                "{compress:?}: 5 and 6 lie before the mark"
            );
        }
    }

    #[tokio::test]
    async fn the_mark_is_found_in_a_file_that_somebody_else_put_aside() {
        type Move = fn(&Place);
        let moves: [(&str, Move); 4] = [
            ("renamed", |place| {
                fs::rename(place.path("events.jsonl"), place.path("events.jsonl.1")).unwrap()
            }),
            ("created", |place| {
                fs::rename(place.path("events.jsonl"), place.path("events.jsonl-20261121")).unwrap();
                fs::write(place.path("events.jsonl"), "").unwrap();
            }),
            ("copied and cut", |place| {
                fs::copy(place.path("events.jsonl"), place.path("events.jsonl.1")).unwrap();
                File::options().write(true).open(place.path("events.jsonl")).unwrap().set_len(0).unwrap();
            }),
            ("compressed", |place| {
                fs::rename(place.path("events.jsonl"), place.path("events.jsonl.1")).unwrap();
                compression::compress(&place.path("events.jsonl.1"), Format::Gzip).unwrap();
            }),
        ];
        for (name, put_aside) in moves {
            let (place, ours, theirs) = (Place::new(), queue(1), queue(2));
            let sink = place.start(&[]);
            let mark = deliver(&sink, &ours, 1..=3).await;
            deliver(&sink, &ours, 4..=6).await;
            drop(sink);
            put_aside(&place);
            // The new file grows beyond the length of the old one.
            deliver(&place.start(&[]), &theirs, 1..=20).await;
            deliver(&place.start(&[]), &ours, 7..=9).await;
            deliver(&place.start(&[(&ours, mark.as_ref())]), &ours, 3..=10).await;
            assert_eq!(place.ids(&ours).0, [1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10], "{name}");
        }
    }

    #[tokio::test]
    async fn a_file_that_begins_like_the_marked_one_is_not_taken_for_it() {
        let (place, queue) = (Place::new(), queue(1));
        let mark = deliver(&place.start(&[]), &queue, 1..=3).await;
        fs::rename(place.path("events.jsonl"), place.path("events.jsonl.1")).unwrap();
        // Set back to its beginning, and killed before a commit.
        deliver(&place.start(&[(&queue, mark.as_ref())]), &queue, 1..=9).await;
        deliver(&place.start(&[(&queue, mark.as_ref())]), &queue, 1..=9).await;
        fs::remove_file(place.path("events.jsonl.1")).unwrap();
        place.assert_once(&queue, 1..=9);
    }

    #[tokio::test]
    async fn each_queue_of_a_file_has_its_own_mark() {
        let (place, ours, theirs) = (Place::new(), queue(1), queue(2));
        let sink = place.start(&[]);
        let our_mark = deliver(&sink, &ours, 1..=3).await;
        deliver(&sink, &theirs, 1..=3).await;
        deliver(&sink, &ours, 4..=6).await;
        let their_mark = deliver(&sink, &theirs, 4..=6).await;
        drop(sink);
        let sink = place.start(&[(&ours, our_mark.as_ref()), (&theirs, their_mark.as_ref())]);
        deliver(&sink, &theirs, 3..=7).await;
        deliver(&sink, &ours, 3..=7).await;
        assert_eq!(place.ids(&ours).0, [1, 2, 3, 3, 4, 5, 6, 7]);
        assert_eq!(place.ids(&theirs).0, [1, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7]);
    }

    #[tokio::test]
    async fn the_mark_stays_until_what_lies_beyond_it_has_come_again() {
        let (place, queue) = (Place::new(), queue(1));
        let sink = place.start(&[]);
        let mark = deliver(&sink, &queue, 1..=3).await;
        deliver(&sink, &queue, 4..=9).await;
        drop(sink);
        let sink = place.start(&[(&queue, mark.as_ref())]);
        assert_eq!(deliver(&sink, &queue, 4..=5).await, mark);
        drop(sink);
        let sink = place.start(&[(&queue, mark.as_ref())]);
        // The lane leaves out 8 and 9 since then.
        assert_eq!(deliver(&sink, &queue, 6..=7).await, mark);
        let beyond = deliver(&sink, &queue, 10..=10).await;
        assert!(beyond.is_some() && beyond != mark);
        place.assert_once(&queue, 1..=10);
    }

    #[tokio::test]
    async fn a_lane_that_begins_anew_in_the_same_process_is_resumed_anew() {
        let (place, queue) = (Place::new(), queue(1));
        let sink = place.start(&[]);
        let mark = deliver(&sink, &queue, 1..=3).await;
        deliver(&sink, &queue, 4..=6).await;
        sink.resume(&queue, mark.as_ref().map(Mark::as_str));
        deliver(&sink, &queue, 4..=7).await;
        place.assert_once(&queue, 1..=7);
    }

    #[tokio::test]
    async fn a_text_that_is_no_mark_counts_as_none() {
        let (place, queue) = (Place::new(), queue(1));
        deliver(&place.start(&[]), &queue, 1..=3).await;
        let mark = Mark::new("of another version".to_owned());
        deliver(&place.start(&[(&queue, Some(&mark))]), &queue, 2..=4).await;
        place.assert_once(&queue, 1..=4);
    }
}
