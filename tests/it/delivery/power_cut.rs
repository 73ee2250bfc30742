//! G1, I1 and I3 under a power cut: all data that was not durable is dropped, at every moment at which the portal was
//! asked to confirm events. None of the confirmed events may be missing.
//!
//! The real relay runs several times under the recorder (`recording`). The content of the disk after a power cut at any
//! moment is computed from the record (`disk`). There are two kinds of disk: one loses all data that was not durable,
//! and one keeps a random and torn part of it.

use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use b24relay::checkpoint::Checkpoint;
use b24relay::event::Seq;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::expected::ledger::{assert_exactly_once, ids_in};
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, append, code, command, finished_command, output_of, stderr};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::Receiver;
use crate::support::state::disk::{Disk, Image, Kept};
use crate::support::state::recording::{Deed, Poll, Recorder, Recording};

/// The limit of a poll, small enough for many polls.
const LIMIT: u16 = 10;

/// Fewer events than [`LIMIT`], but more data than a page.
const LAST_BATCH: (usize, usize) = (9, 6000);

/// How many power cuts around one crash are followed by a start of the relay.
const CUTS: usize = 7;

/// How many power cuts in the middle of each write to the file.
const TORN_CUTS: usize = 4;

/// The folder of the state file on the disk.
const STATE_FOLDER: &str = "state/relay";

/// The sources, their users, and their sinks.
const SOURCES: [(&str, u64, &[&str]); 2] = [("support", 1, &["archive", "crm"]), ("sales", 2, &["crm"])];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_confirmed_survives_a_power_cut() {
    prove("forever").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_confirmed_survives_a_power_cut_without_hold() {
    prove("0s").await;
}

#[expect(clippy::print_stderr, reason = "the seed of a failure, and why nothing was proved")]
async fn prove(hold: &'static str) {
    let recorder = match Recorder::build() {
        Ok(recorder) => recorder,
        Err(reason) => return eprintln!("SKIPPED, nothing is proved about power cuts: {reason}"),
    };
    let seed = rand::random();
    eprintln!("seed {seed}");
    let mut office = Office::open(hold, recorder, seed).await;
    // The first run, with an empty disk.
    office.crash().await;
    office.start_after_cuts().await;
    let mut relay = office.start("20ms");
    office.work(12).await;
    office.rotate(&relay);
    office.portal.record_as(json!({"user": 1, "count": 40, "bytes": 40_000})).await;
    office.work(12).await;
    office.until_all("confirmed").await;
    // A regular stop removes the write-ahead log, and the next run starts a new one.
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    let mut relay = office.start("20ms");
    office.work(6).await;
    office.kill(&mut relay).await;
    let mut relay = office.start("20ms");
    office.work(3).await;
    office.until_all("confirmed").await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    office.crash().await;

    let recording = office.recorder.read();
    let evidence = Evidence::collect(&office).await;
    assert_complete(&recording, &office.disk());
    // If the portal keeps all events, the log does not grow so long.
    assert!(hold == "forever" || has_log_begun_anew(&recording), "the write-ahead log never grew full");
    assert_eq!(evidence.first_loss(&recording, None), None, "on a disk that loses all");
    let dice = &mut office.dice;
    assert_eq!(evidence.first_loss(&recording, Some(dice)), None, "on a disk that loses some");
    for (what, unsynced) in unsynced(&office.disk(), recording) {
        assert_ne!(evidence.first_loss(&unsynced, None), None, "{what} never synced: this proves nothing");
    }
    office.start_after_cuts().await;
}

/// Asserts that the recording is complete and long enough.
fn assert_complete(recording: &Recording, root: &Path) {
    let mut disk = Disk::new(root);
    recording.records.iter().for_each(|record| disk.replay(record));
    assert!(disk.cut(Kept::Everything) == Image::of(root), "the replay is not what lies on the disk");
    let confirming = recording.polls.iter().filter(|poll| poll.offset > 1).count();
    assert!(confirming >= 40, "only {confirming} polls");
}

/// Whether a process has restarted a full write-ahead log from its beginning, over its old content.
fn has_log_begun_anew(recording: &Recording) -> bool {
    let (mut logs, mut beginnings) = (HashMap::new(), 0);
    for record in &recording.records {
        match &record.deed {
            Deed::Created { inode, path } if path.to_string_lossy().ends_with("-wal") => {
                logs.insert(*inode, 0);
            }
            Deed::Wrote { inode, at: 0, .. } => {
                let Some(count) = logs.get_mut(inode) else { continue };
                *count += 1;
                beginnings = beginnings.max(*count);
            }
            _ => {}
        }
    }
    beginnings > 1
}

/// The recording as if one file had never been synced.
fn unsynced(root: &Path, recording: Recording) -> Vec<(String, Recording)> {
    let root = root.canonicalize().unwrap();
    let paths =
        ["archive/events.jsonl", "state/relay/b24relay.db-wal", "state/relay", "state", "archive", ""];
    let Recording { records, polls } = recording;
    let without = |path: &str| {
        let path = if path.is_empty() { root.clone() } else { root.join(path) };
        // Replaced by a record without effect, because polls refer to records by their index.
        let records = records.iter().cloned().map(|mut record| {
            if matches!(&record.deed, Deed::SyncEnded { path: synced } if *synced == path) {
                record.deed = Deed::Started;
            }
            record
        });
        Recording { records: records.collect(), polls: polls.clone() }
    };
    paths.into_iter().map(|path| (format!("`{path}`"), without(path))).collect()
}

/// A relay of two sources, with a file and a receiver, on a recorded disk.
struct Office {
    hold: &'static str,
    portal: Portal,
    receiver: Receiver,
    setup: Setup,
    recorder: Recorder,
    dice: StdRng,
}

impl Office {
    async fn open(hold: &'static str, recorder: Recorder, seed: u64) -> Self {
        let (portal, receiver) = (Portal::start().await, Receiver::start().await);
        let setup = configured(hold, &portal, &receiver);
        std::fs::create_dir(setup.path("disk")).unwrap();
        Self { hold, portal, receiver, setup, recorder, dice: StdRng::seed_from_u64(seed) }
    }

    fn disk(&self) -> PathBuf {
        self.setup.path("disk")
    }

    /// Starts the relay with the poll interval `idle`.
    fn start(&self, idle: &str) -> Relay {
        let mut command = run();
        command.args(["--log-level", "debug"]).current_dir(self.setup.folder());
        for (source, ..) in SOURCES {
            command.env(format!("B24RELAY_SOURCES__{}__POLL__IDLE", source.to_uppercase()), idle);
        }
        self.recorder.load_into(&mut command, &self.disk());
        Relay::start_command(command, self.setup.folder(), append(&self.setup.path("out")).into())
    }

    /// Records many and few events in turn, and waits each time until they were read.
    async fn work(&mut self, rounds: usize) {
        for _ in 0..rounds {
            let (count, bytes) = (self.dice.random_range(1..15), self.dice.random_range(500..6000));
            self.portal.record_as(json!({"user": 1, "count": count, "bytes": bytes})).await;
            self.portal.record(2, self.dice.random_range(1..4)).await;
            self.until_all("served").await;
        }
    }

    async fn until_all(&self, what: &str) {
        until(&format!("all is {what}"), async || {
            let stats = [self.portal.stats(1).await, self.portal.stats(2).await];
            stats.iter().all(|stats| stats[what] == stats["recorded"])
        })
        .await;
    }

    /// Moves the file away and puts an empty one in its place, like logrotate's `create`.
    fn rotate(&self, relay: &Relay) {
        let mut shell = Command::new("sh");
        // The relay may notice the change on its own. Then the new file must already be recorded as created.
        let rotate = ": > new && mv events.jsonl events.jsonl.1 && mv new events.jsonl";
        shell.args(["-c", rotate]).env_clear().current_dir(self.disk().join("archive"));
        self.recorder.load_into(&mut shell, &self.disk());
        let rotated = output_of(shell);
        assert_eq!(code(&rotated), 0, "{}", stderr(&rotated));
        relay.signal(Signal::HUP);
    }

    /// One more run. The portal still has its last batch when the relay is killed.
    async fn crash(&mut self) {
        // It polls once at its start, and then only after SIGHUP.
        let mut relay = self.start("5m");
        let (seen, polled) =
            (relay.log(), |line: &str| line.contains(" polled ") && line.contains("support"));
        let count = |log: &str| log.lines().filter(|line| polled(line)).count();
        until("the first poll", async || count(&relay.log()) > count(&seen)).await;
        let (batch, bytes) = LAST_BATCH;
        self.portal.record_as(json!({"user": 1, "count": batch, "bytes": bytes})).await;
        // The next poll gets the batch. The one after that would confirm it. It is refused with an error after which
        // the relay pauses, so that no request is in flight at the end.
        let refusal =
            json!({"kind": "error", "status": 401, "code": "INVALID_CREDENTIALS", "user": 1, "skip": 1});
        self.portal.fault(refusal).await;
        relay.signal(Signal::HUP);
        let recorded = self.portal.ids(1).await;
        until("the batch is delivered, and its confirmation refused", async || {
            let filed = ids_in(&self.disk().join("archive/events.jsonl"), true);
            let has_arrived =
                [self.receiver.accepted_ids(), filed].iter().all(|ids| ids.last() == recorded.last());
            has_arrived && relay.log()[seen.len()..].contains("the portal refuses this source")
        })
        .await;
        self.kill(&mut relay).await;
    }

    /// kill -9 at a random moment.
    async fn kill(&self, relay: &mut Relay) {
        self.recorder.order_kill();
        // If the relay is idle, it polls now.
        relay.signal(Signal::HUP);
        assert_eq!(relay.ended().await.signal(), Some(9), "{}", relay.log());
        self.recorder.withdraw_kill();
    }

    /// Cuts the power at moments between the last confirmation and now, and starts a relay on each image.
    async fn start_after_cuts(&mut self) {
        let recorded = self.portal.ids(1).await;
        let recording = self.recorder.read();
        let mut first = 0;
        for (_, user, _) in SOURCES {
            let Some(last) = self.confirmed_count(user).await.checked_sub(1) else { continue };
            let confirmed = self.portal.ids(user).await[last];
            let confirms = |poll: &&Poll| poll.user == user && poll.offset > confirmed;
            first = recording.polls.iter().find(confirms).unwrap().at.max(first);
        }
        let end = recording.records.len();
        let mut cuts: Vec<_> =
            (0..CUTS).map(|_| (self.dice.random_range(first..=end), self.dice.random())).collect();
        // The most data can be lost when a whole batch is written and not synced.
        cuts.extend(
            (first..end)
                .filter(|at| recording.ends_sync_in("archive", *at))
                .flat_map(|at| [(at, false); TORN_CUTS]),
        );
        cuts.sort_unstable();
        let (mut disk, mut replayed, mut images) = (Disk::new(&self.disk()), 0, Vec::new());
        for (at, is_total) in cuts {
            recording.records[replayed..at].iter().for_each(|record| disk.replay(record));
            replayed = at;
            let image = disk.cut(if is_total { Kept::Nothing } else { Kept::Some(&mut self.dice) });
            let (state, (source, _, sinks)) = (State::read(&image).unwrap(), SOURCES[0]);
            let next = recorded.iter().position(|id| state.lacks(source, sinks, *id).is_some());
            images.push((next.unwrap_or(recorded.len()), at, image));
        }
        // A relay confirms no more than its disk has, so the images with more events come later.
        images.sort_by_key(|(next, ..)| *next);
        let before = self.confirmed_count(1).await;
        for (next, at, image) in images {
            // Events that a drain of another image has confirmed are on that image's disk, and need not arrive here.
            let elsewhere = &recorded[before..self.confirmed_count(1).await];
            let what = format!("cut at {at}, the first {next} are safe, {elsewhere:?} elsewhere");
            self.start_after_cut(&image, &recorded, elsewhere, &what).await;
        }
    }

    /// How many of a user's events the portal has deleted.
    async fn confirmed_count(&self, user: u64) -> usize {
        usize::try_from(self.portal.stats(user).await["confirmed"].as_u64().unwrap()).unwrap()
    }

    async fn start_after_cut(&self, image: &Image, recorded: &[u64], elsewhere: &[u64], what: &str) {
        let setup = configured(self.hold, &self.portal, &self.receiver);
        std::fs::create_dir(setup.path("disk")).unwrap();
        image.write_to(&setup.path("disk"));
        let mut once = run();
        once.arg("--once").current_dir(setup.folder());
        let drained = finished_command(once).await;
        assert_eq!(code(&drained), 0, "{what}: {}", stderr(&drained));
        let archive = setup.path("disk/archive");
        let ids: Vec<u64> = ["events.jsonl.1", "events.jsonl"]
            .iter()
            .flat_map(|name| ids_in(&archive.join(name), false))
            .collect();
        let [ids, recorded] = [&ids, recorded]
            .map(|ids| -> Vec<u64> { ids.iter().copied().filter(|id| !elsewhere.contains(id)).collect() });
        let same = ids.iter().zip(&recorded).take_while(|(filed, recorded)| filed == recorded).count();
        let (filed, recorded) = (&ids[same..], &recorded[same..]);
        assert!(filed == recorded, "{what}: {filed:?} instead of {recorded:?}: {}", stderr(&drained));
    }
}

fn configured(hold: &str, portal: &Portal, receiver: &Receiver) -> Setup {
    let mut setup = Setup::new().with(&format!("[delivery]\nhold = \"{hold}\""));
    for (source, user, _) in SOURCES {
        setup = setup.with_user(portal, source, user, LIMIT);
    }
    let file =
        "[sinks.archive]\ntype = \"file\"\npath = \"disk/archive/events.jsonl\"\nsources = [\"support\"]";
    setup.with(file).with_receiver(receiver)
}

fn run() -> Command {
    let mut run = command();
    run.args(["run", "--state", "disk/state/relay/b24relay.db"]);
    run
}

/// The content of the state file on an image.
#[derive(Default)]
struct State {
    /// By source and sink: the settled events.
    lanes: HashMap<(String, String), Checkpoint>,
    /// By source and event: the position in the journal.
    journal: HashMap<(String, u64), Seq>,
    /// By source: all events below this offset are confirmed.
    confirmed: HashMap<String, u64>,
}

impl State {
    /// Opens the state file; returns the damage if it is damaged.
    fn read(image: &Image) -> Result<Self, String> {
        let folder = TempDir::new().unwrap();
        let state_files = image.files.iter().filter(|(path, _)| path.starts_with(STATE_FOLDER));
        for (path, content) in state_files {
            std::fs::write(folder.path().join(path.file_name().unwrap()), content).unwrap();
        }
        let path = folder.path().join("b24relay.db");
        if !path.exists() {
            return Ok(Self::default());
        }
        Self::select(&Connection::open(path).unwrap()).map_err(|error| error.to_string())
    }

    fn select(connection: &Connection) -> rusqlite::Result<Self> {
        // This copy need not be durable.
        connection.pragma_update(None, "synchronous", "OFF")?;
        let verdict: String = connection.query_row("PRAGMA quick_check", [], |row| row.get(0))?;
        assert_eq!(verdict, "ok");
        let mut state = Self::default();
        let layout: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if layout < 4 {
            // The power cut came while the file was being created.
            return Ok(state);
        }
        let mut lanes = connection.prepare("SELECT source, sink, next, above FROM lane")?;
        for row in lanes.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?, row.get(3)?)))? {
            let (lane, next, above): (_, _, String) = row?;
            let checkpoint = Checkpoint::parse(Seq::try_new(next).unwrap(), &above).unwrap();
            state.lanes.insert(lane, checkpoint);
        }
        let mut journal =
            connection.prepare("SELECT source, first + key, value FROM batch, json_each(ids)")?;
        for row in journal.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))? {
            let (source, seq, id) = row?;
            state.journal.insert((source, id), Seq::try_new(seq).unwrap());
        }
        let mut confirmed = connection.prepare("SELECT name, confirmed FROM source")?;
        state.confirmed =
            confirmed.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        Ok(state)
    }

    /// Events that the journal has deleted were confirmed, and every sink had them.
    fn covers(&self, source: &str, sink: &str, id: u64) -> bool {
        match self.journal.get(&(source.to_owned(), id)) {
            Some(seq) => {
                let lane = self.lanes.get(&(source.to_owned(), sink.to_owned()));
                lane.is_some_and(|checkpoint| checkpoint.covers(*seq))
            }
            None => self.confirmed.get(source).is_some_and(|confirmed| id < *confirmed),
        }
    }

    /// The first of `sinks` that has not settled the event, unless the event is in the journal.
    fn lacks<'a>(&self, source: &str, sinks: &[&'a str], id: u64) -> Option<&'a str> {
        let is_journalled = self.journal.contains_key(&(source.to_owned(), id));
        sinks.iter().find(|sink| !is_journalled && !self.covers(source, sink, id)).copied()
    }
}

/// The expected data.
struct Evidence {
    root: PathBuf,
    /// By user: every event that was recorded.
    ids: HashMap<u64, Vec<u64>>,
    /// The file sink's files at the end.
    files: Vec<Vec<u8>>,
    /// By event: the file with its line, and the end of the line in that file.
    lines: HashMap<u64, (usize, usize)>,
}

impl Evidence {
    async fn collect(office: &Office) -> Self {
        let mut ids = HashMap::new();
        for (_, user, _) in SOURCES {
            ids.insert(user, office.portal.ids(user).await);
            office.portal.assert_nothing_confirmed_unseen(user).await;
        }
        let files: Vec<Vec<u8>> = archived(&Image::of(&office.disk())).cloned().collect();
        let mut lines = HashMap::new();
        for (file, content) in files.iter().enumerate() {
            let mut end = 0;
            for line in content.split_inclusive(|byte| *byte == b'\n') {
                let event: Value = serde_json::from_slice(line).unwrap();
                end += line.len();
                lines.insert(event["eventId"].as_u64().unwrap(), (file, end));
            }
        }
        let mut filed: Vec<u64> = lines.keys().copied().collect();
        filed.sort_unstable();
        assert_exactly_once(&filed, &ids[&1]);
        Self { root: office.disk(), ids, files, lines }
    }

    /// The data missing after a power cut at the first moment at which there is a loss. With `dice` the disk keeps a
    /// part of the unsynced data.
    fn first_loss(&self, recording: &Recording, mut dice: Option<&mut StdRng>) -> Option<String> {
        let (mut disk, mut replayed) = (Disk::new(&self.root), 0);
        for poll in &recording.polls {
            // A poll that confirms nothing proves nothing. Others may have begun before their record was complete.
            if poll.offset <= 1 || poll.at < replayed {
                continue;
            }
            recording.records[replayed..poll.at].iter().for_each(|record| disk.replay(record));
            replayed = poll.at;
            let kept = dice.as_deref_mut().map_or(Kept::Nothing, Kept::Some);
            if let Some(loss) = self.loss(&disk.cut(kept), poll) {
                return Some(format!("{poll:?}: {loss}"));
            }
        }
        None
    }

    /// The part of the data confirmed by `poll`, or listed in the image's own state, that `image` lacks.
    fn loss(&self, image: &Image, poll: &Poll) -> Option<String> {
        let state = match State::read(image) {
            Ok(state) => state,
            Err(damage) => return Some(damage),
        };
        let (source, _, sinks) = SOURCES.iter().find(|(_, user, _)| *user == poll.user).unwrap();
        for id in self.ids[&poll.user].iter().filter(|id| **id < poll.offset) {
            if let Some(sink) = state.lacks(source, sinks, *id) {
                return Some(format!("{id} is neither settled by `{sink}` nor in the journal"));
            }
        }
        // The files only grow, so their remaining content is their beginning. One of them had another name for a while.
        let lengths: Vec<usize> = self.files.iter().map(|file| longest_beginning(file, image)).collect();
        let mut settled = self.ids[&1].iter().filter(|id| state.covers("support", "archive", **id));
        let unfiled = settled.find(|id| {
            let (file, end) = self.lines[id];
            lengths[file] < end
        });
        unfiled.map(|id| format!("{id} is settled, and not in the file"))
    }
}

/// How much of the beginning of `file` is in one of the files of `image`.
fn longest_beginning(file: &[u8], image: &Image) -> usize {
    let chunks =
        |found: &Vec<u8>| file.chunks(512).zip(found.chunks(512)).take_while(|(a, b)| a == b).count();
    let beginning = |found: &Vec<u8>| {
        let same = chunks(found) * 512;
        let rest = file.iter().skip(same).zip(found.iter().skip(same));
        same.min(file.len()) + rest.take_while(|(a, b)| a == b).count()
    };
    archived(image).map(beginning).max().unwrap_or(0)
}

/// The file sink's files, including the rotated one.
fn archived(image: &Image) -> impl Iterator<Item = &Vec<u8>> {
    image.files.iter().filter(|(path, _)| path.starts_with("archive")).map(|(_, content)| content)
}
