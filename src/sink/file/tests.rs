//! Tests which lines a file sink recognises after a crash, and which it writes again.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::value::to_raw_value;
use tempfile::TempDir;

use crate::config::{CompressConfig, FileConfig, RotateConfig};
use crate::event::{Event, EventId, Queue};
use crate::shutdown::Signals;
use crate::sink::contract::Mark;
use crate::sink::contract::Sink as _;
use crate::sink::file::rotated::compression;
use crate::sink::file::rotated::format::Format;
use crate::sink::file::sink::FileSink;

/// A directory with the file of a sink that is restarted repeatedly.
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

    /// The ids of a queue in all files, in ascending order, and the names of the files.
    fn ids(&self, queue: &Queue) -> (Vec<u64>, Vec<String>) {
        let (mut ids, mut names) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.folder).unwrap() {
            let path = entry.unwrap().path();
            let file = File::open(&path).unwrap();
            let reader = compression::reader_at(&file, 0).unwrap();
            let text =
                std::io::read_to_string(reader).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
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
        let doubled: Vec<_> = found.windows(2).filter(|pair| pair[0] == pair[1]).collect();
        assert!(found == ids.collect::<Vec<_>>(), "{names:?}: {} lines, doubled {doubled:?}", found.len());
    }
}

fn queue(user: u32) -> Arc<Queue> {
    Arc::new(Queue::new("support", &format!("portal.example/user/{user}")))
}

async fn deliver(sink: &FileSink, queue: &Arc<Queue>, ids: impl IntoIterator<Item = u64>) -> Option<Mark> {
    let events: Vec<Event> = ids
        .into_iter()
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
        assert_eq!(deliver(&sink, &queue, 1..=2).await, None, "3 may come again, and has no mark before it");
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
        let packed = names.iter().filter(|name| name.contains(".jsonl.")).count();
        assert_eq!(packed > 1, compress != CompressConfig::None, "{names:?}");
        drop(sink);
        deliver(&place.start(&[(&queue, mark.as_ref())]), &queue, 5..=7).await;
        assert_eq!(place.ids(&queue).0[4..9], [5, 5, 6, 6, 7], "{compress:?}: 5 and 6 lie before the mark");
    }
}

#[tokio::test]
async fn the_mark_is_found_in_a_file_that_somebody_else_put_aside() {
    type Move = fn(&Place);
    let moves: [(&str, Move); 4] = [
        ("renamed", |place| fs::rename(place.path("events.jsonl"), place.path("events.jsonl.1")).unwrap()),
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
        // The new file becomes longer than the old one.
        deliver(&place.start(&[]), &theirs, 1..=20).await;
        deliver(&place.start(&[]), &ours, 7..=9).await;
        deliver(&place.start(&[(&ours, mark.as_ref())]), &ours, 3..=10).await;
        assert_eq!(place.ids(&ours).0, [1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10], "{name}");
    }
}

#[tokio::test]
async fn files_that_others_put_aside_are_searched_by_their_age() {
    for names in [["events.jsonl.2", "events.jsonl.1"], ["events.jsonl.1", "events.jsonl.2"]] {
        let (place, queue) = (Place::new(), queue(1));
        let mark = deliver(&place.start(&[]), &queue, 1..=3).await;
        for (age, name, ids) in [(2, names[0], 4..=6), (1, names[1], 7..=9)] {
            deliver(&place.start(&[]), &queue, ids).await;
            fs::rename(place.path("events.jsonl"), place.path(name)).unwrap();
            let written = SystemTime::now() - Duration::from_secs(age);
            File::open(place.path(name)).unwrap().set_modified(written).unwrap();
        }
        deliver(&place.start(&[(&queue, mark.as_ref())]), &queue, 4..=10).await;
        place.assert_once(&queue, 1..=10);
    }
}

#[tokio::test]
async fn a_file_that_begins_like_the_marked_one_is_not_taken_for_it() {
    let (place, queue) = (Place::new(), queue(1));
    let mark = deliver(&place.start(&[]), &queue, 1..=3).await;
    fs::rename(place.path("events.jsonl"), place.path("events.jsonl.1")).unwrap();
    // Reset to the beginning, and killed before a commit.
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
    // The lane now filters out 8 and 9.
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
    for _ in 0..2 {
        sink.resume(&queue, mark.as_ref().map(Mark::as_str));
        deliver(&sink, &queue, 4..=5).await;
    }
    deliver(&sink, &queue, 6..=7).await;
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

/// A lane of a queue, with its record in the state file.
#[derive(Default)]
struct TestLane {
    /// The ids of the events that the portal returns, and of those that it does not return yet.
    visible: BTreeSet<u64>,
    late: BTreeSet<u64>,
    delivered: BTreeSet<u64>,
    committed: BTreeSet<u64>,
    mark: Option<Mark>,
}

impl TestLane {
    fn record(&mut self, count: u64, dice: &mut fastrand::Rng) {
        let next = self.visible.iter().chain(&self.late).max().map_or(1, |last| last + 1);
        for id in next..next + count {
            if dice.u8(..10) == 0 {
                self.late.insert(id)
            } else {
                self.visible.insert(id)
            };
        }
        if dice.bool() {
            self.visible.extend(self.late.pop_first());
        }
    }

    /// Delivers `count` events, the lowest first.
    async fn deliver(&mut self, sink: &FileSink, queue: &Arc<Queue>, count: usize) -> Option<Mark> {
        let ids: Vec<u64> = self.visible.difference(&self.delivered).copied().take(count).collect();
        self.delivered.extend(&ids);
        deliver(sink, queue, ids).await
    }
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "the seed of a failure")]
async fn whatever_happens_between_commits_each_event_is_there_once() {
    for _ in 0..15 {
        let seed = fastrand::u64(..);
        eprintln!("seed {seed}");
        let mut dice = fastrand::Rng::with_seed(seed);
        let compress = *dice.choice(&[CompressConfig::None, CompressConfig::Zstd]).unwrap();
        let place = if dice.bool() { Place::rotating(compress) } else { Place::new() };
        let queues = [queue(1), queue(2)];
        let mut lanes = [TestLane::default(), TestLane::default()];
        let mut sink = None;
        for step in 0..60 {
            let index = dice.usize(..2);
            match dice.u8(..10) {
                // Killed and restarted.
                0..2 => {
                    sink = None;
                    if dice.bool() && place.path("events.jsonl").exists() {
                        put_aside(&place, step, &mut dice);
                    }
                    for lane in &mut lanes {
                        lane.delivered = lane.committed.clone();
                    }
                }
                2 if place.path("events.jsonl").exists() => {
                    fs::rename(place.path("events.jsonl"), place.path(&format!("events.jsonl.{step}")))
                        .unwrap();
                }
                _ => {
                    let sink = sink.get_or_insert_with(|| {
                        let marks = [0, 1].map(|index| (&queues[index], lanes[index].mark.as_ref()));
                        place.start(&marks)
                    });
                    let lane = &mut lanes[index];
                    lane.record(dice.u64(..5), &mut dice);
                    let mark = lane.deliver(sink, &queues[index], dice.usize(1..5)).await;
                    if dice.bool() {
                        lane.committed = lane.delivered.clone();
                        lane.mark = mark.or(lane.mark.take());
                    }
                }
            }
        }
        drop(sink);
        let marks = [0, 1].map(|index| (&queues[index], lanes[index].mark.as_ref()));
        let sink = place.start(&marks);
        for (queue, lane) in queues.iter().zip(&mut lanes) {
            lane.delivered = lane.committed.clone();
            lane.visible.append(&mut lane.late);
            lane.deliver(&sink, queue, usize::MAX).await;
        }
        // Waits for the compression.
        drop(sink);
        for (queue, lane) in queues.iter().zip(&lanes) {
            place.assert_once(queue, 1..=lane.visible.len() as u64);
        }
    }
}

/// Rotates the file in one of the ways of logrotate.
fn put_aside(place: &Place, number: u64, dice: &mut fastrand::Rng) {
    let (current, aside) = (place.path("events.jsonl"), place.path(&format!("events.jsonl.{number}")));
    if dice.bool() {
        fs::rename(&current, &aside).unwrap();
    } else {
        fs::copy(&current, &aside).unwrap();
        File::options().write(true).open(&current).unwrap().set_len(0).unwrap();
    }
    if dice.bool() {
        compression::compress(&aside, Format::Gzip).unwrap();
    }
}
