//! Changes to the file of a file sink: it is moved, deleted or replaced, and the disk is full or fails.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::process::Signal;

use crate::support::expected::ledger::{assert_exactly_once, ids_in};
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, append, command};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::{PATIENCE, until};

/// The ids in both files, one after the other; asserts that every line is complete.
fn ids_of(setup: &Setup, names: &[&str]) -> Vec<u64> {
    names.iter().flat_map(|name| ids_in(&setup.path(name), false)).collect()
}

async fn until_filed(setup: &Setup, count: usize) {
    until("all are filed", async || setup.filed_count() == count).await;
}

async fn until_confirmed(portal: &Portal) {
    until("all are confirmed", async || portal.stats(1).await["pending"] == 0).await;
}

/// A relay that has filed twenty events.
async fn at_work() -> (Portal, Setup, Relay) {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 20).await;
    let relay = setup.run();
    until_filed(&setup, 20).await;
    (portal, setup, relay)
}

#[tokio::test]
async fn a_file_that_is_moved_away_is_begun_anew_without_a_word_to_the_relay() {
    let (portal, setup, mut relay) = at_work().await;
    fs::rename(setup.path("events.jsonl"), setup.path("events.jsonl.1")).unwrap();
    portal.record(1, 20).await;
    until_filed(&setup, 20).await;
    // With `create`, logrotate puts an empty file in its place.
    fs::rename(setup.path("events.jsonl"), setup.path("events.jsonl.2")).unwrap();
    fs::write(setup.path("events.jsonl"), "").unwrap();
    relay.signal(Signal::HUP);
    portal.record(1, 20).await;
    until_filed(&setup, 20).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    let names = ["events.jsonl.1", "events.jsonl.2", "events.jsonl"];
    assert_exactly_once(&ids_of(&setup, &names), &portal.ids(1).await);
}

#[tokio::test]
async fn a_file_that_is_deleted_with_its_folder_is_begun_anew() {
    let portal = Portal::start().await;
    let setup = Setup::new()
        .with_source(&portal)
        .with("[sinks.archive]\ntype = \"file\"\npath = \"a/b/events.jsonl\"");
    let path = setup.path("a/b/events.jsonl");
    let mut relay = setup.run();
    for round in 1..=3 {
        portal.record(1, 10).await;
        until("all are filed", async || ids_in(&path, true).len() == 10).await;
        // Before this is committed, deleted events would be written again.
        until("that is on record", async || setup.lane_of("archive").await["delivered"] == 10 * round).await;
        fs::remove_dir_all(setup.path("a")).unwrap();
    }
    portal.record(1, 10).await;
    until("all are filed", async || ids_in(&path, true).len() == 10).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_exactly_once(&ids_in(&path, false), &portal.ids(1).await[30..]);
}

#[tokio::test]
async fn what_was_moved_away_between_a_crash_and_the_start_is_not_written_again() {
    for mode in ["direct", "journal"] {
        for moved in ["events.jsonl.1", "events.jsonl-20261121", "events.jsonl.1.gz"] {
            let portal = Portal::start().await;
            let setup = Setup::new()
                .with(&format!("[delivery]\nmode = \"{mode}\""))
                .with_user(&portal, "support", 1, 50)
                .with_file();
            portal.record(1, 100).await;
            let mut crashing = command();
            crashing.args(["run"]).current_dir(setup.folder()).env("FAILPOINT", "answered:2");
            let mut relay = Relay::start_command(crashing, setup.folder(), append(&setup.path("out")).into());
            relay.ended().await;
            let path = setup.path("events.jsonl");
            assert_eq!(ids_in(&path, false).len(), 100, "not committed yet");
            if moved.ends_with("gz") {
                let file = fs::File::create(setup.path(moved)).unwrap();
                let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::default());
                encoder.write_all(&fs::read(&path).unwrap()).unwrap();
                encoder.finish().unwrap();
                fs::remove_file(&path).unwrap();
            } else {
                fs::rename(&path, setup.path(moved)).unwrap();
                // The crash has left an incomplete line, too.
                let mut torn = OpenOptions::new().append(true).open(setup.path(moved)).unwrap();
                torn.write_all(b"{\"id\":\"b24_00").unwrap();
            }
            portal.record(1, 10).await;
            setup.drain().await;
            assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await[100..]);
            if !moved.ends_with("gz") {
                assert_exactly_once(&ids_of(&setup, &[moved, "events.jsonl"]), &portal.ids(1).await);
            }
        }
    }
}

#[tokio::test]
async fn a_folder_in_the_files_place_is_waited_for() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    fs::create_dir(setup.path("events.jsonl")).unwrap();
    portal.record(1, 20).await;
    let mut relay = setup.run();
    relay.until_logged("sink is held").await;
    fs::remove_dir(setup.path("events.jsonl")).unwrap();
    until("all are filed", async || {
        relay.signal(Signal::HUP);
        setup.filed_count() == 20
    })
    .await;
    // The same while the relay is working.
    fs::rename(setup.path("events.jsonl"), setup.path("kept.jsonl")).unwrap();
    fs::create_dir(setup.path("events.jsonl")).unwrap();
    portal.record(1, 20).await;
    until("it is held again", async || relay.log().matches("sink is held").count() > 1).await;
    fs::remove_dir(setup.path("events.jsonl")).unwrap();
    until_filed(&setup, 20).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_exactly_once(&ids_of(&setup, &["kept.jsonl", "events.jsonl"]), &portal.ids(1).await);
}

#[tokio::test]
async fn links_that_go_round_in_a_circle_are_told() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    std::os::unix::fs::symlink("other", setup.path("events.jsonl")).unwrap();
    std::os::unix::fs::symlink("events.jsonl", setup.path("other")).unwrap();
    portal.record(1, 5).await;
    let mut relay = setup.run();
    relay.until_logged("form a loop").await;
    fs::remove_file(setup.path("other")).unwrap();
    until_filed(&setup, 5).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_exactly_once(&ids_in(&setup.path("other"), false), &portal.ids(1).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sources_share_a_file_across_kills() {
    for mode in ["direct", "journal"] {
        let portal = Portal::start().await;
        let setup = Setup::new()
            .with(&format!("[delivery]\nmode = \"{mode}\""))
            .with_user(&portal, "support", 1, 20)
            .with_user(&portal, "sales", 2, 20)
            .with(
                "[sinks.archive]\ntype = \"file\"\npath = \"events.jsonl\"\nrotate = { size = \"100MiB\" }",
            );
        for life in 0..15 {
            portal.record(1, 60).await;
            portal.record(2, 60).await;
            let before = setup.filed_count();
            let mut relay = setup.run();
            until("some are filed", async || setup.filed_count() > before + life * 7).await;
            relay.kill();
        }
        setup.drain().await;
        let (ours, theirs) = (portal.ids(1).await, portal.ids(2).await);
        let filed = setup.filed_ids();
        assert_eq!(filed.len(), ours.len() + theirs.len(), "{mode}");
        let of = |ids: &[u64]| -> Vec<u64> { filed.iter().copied().filter(|id| ids.contains(id)).collect() };
        assert_exactly_once(&of(&ours), &ours);
        assert_exactly_once(&of(&theirs), &theirs);
    }
}

/// A relay with a private disk of 256 KiB at `disk`; `None` where the system does not allow this. The shell around it
/// runs the commands that are written to it.
struct Disk {
    relay: Relay,
    shell: std::process::ChildStdin,
    setup: Setup,
}

impl Disk {
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    fn try_start(portal: &Portal, keys: &str) -> Option<Self> {
        let mounts = Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
        if !mounts.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: this needs root and the right to mount");
            return None;
        }
        let setup = Setup::new().with_user(portal, "support", 1, 10);
        let setup = setup.with(&format!(
            "[sinks.archive]\ntype = \"file\"\npath = \"disk/events.jsonl\"\nretry = {{ min = \"10ms\", max = \"50ms\" }}\n{keys}"
        ));
        fs::create_dir(setup.path("disk")).unwrap();
        // `save` copies the disk's files out of it, because no other process can see the disk.
        let script = "mount -t tmpfs -o size=256k tmpfs disk; \"$0\" run & relay=$!; \
            while read -r line; do eval \"$line\"; touch done; done; kill -9 $relay; wait";
        let mut unshare = Command::new("unshare");
        unshare.args(["-m", "--propagation", "private", "sh", "-c", script]).arg(command().get_program());
        unshare.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        unshare.current_dir(setup.folder()).stdin(Stdio::piped());
        let (relay, shell) = Relay::start_piped(unshare, setup.folder(), append(&setup.path("out")).into());
        Some(Self { relay, shell, setup })
    }

    async fn shell(&mut self, line: &str) {
        let over = self.setup.path("done");
        writeln!(self.shell, "{line}").unwrap();
        until(line, async || over.exists()).await;
        fs::remove_file(over).unwrap();
    }

    /// The current files on the disk.
    async fn saved(&mut self) -> &Path {
        self.shell("rm -rf saved; cp -a disk saved").await;
        self.setup.folder()
    }

    async fn until_saved(&mut self, count: usize) {
        for _ in 0..1000 {
            self.saved().await;
            if self.saved_ids().len() == count {
                return;
            }
        }
        panic!("never {count} in the file: {}", self.relay.log());
    }

    fn saved_ids(&self) -> Vec<u64> {
        ids_in(&self.setup.path("saved/events.jsonl"), true)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A killed shell would leave the relay running.
        writeln!(self.shell, "kill -9 $relay; exit").ok();
        let deadline = Instant::now() + PATIENCE;
        while self.relay.is_running() && Instant::now() < deadline {
            std::thread::yield_now();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_waited_for_without_loss_or_tearing() {
    let portal = Portal::start().await;
    let Some(mut disk) = Disk::try_start(&portal, "") else { return };
    portal.record(1, 20).await;
    until_confirmed(&portal).await;
    disk.shell("dd if=/dev/zero of=disk/ballast bs=1k count=1000 2>/dev/null").await;
    portal.record(1, 60).await;
    disk.relay.until_logged("No space left on device").await;
    disk.saved().await;
    let whole = fs::read(disk.setup.path("saved/events.jsonl")).unwrap();
    assert!(whole.ends_with(b"\n"), "a torn line stays nowhere");
    disk.shell("rm disk/ballast").await;
    until_confirmed(&portal).await;
    disk.until_saved(80).await;
    assert_exactly_once(&disk.saved_ids(), &portal.ids(1).await);
    assert!(disk.relay.is_running());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_becomes_read_only_is_waited_for() {
    let portal = Portal::start().await;
    let Some(mut disk) = Disk::try_start(&portal, "") else { return };
    // No file is open for writing yet, because otherwise the remount fails.
    disk.shell("mount -o remount,ro disk").await;
    portal.record(1, 20).await;
    disk.relay.until_logged("Read-only file system").await;
    disk.shell("mount -o remount,rw disk").await;
    until_confirmed(&portal).await;
    disk.until_saved(20).await;
    assert_exactly_once(&disk.saved_ids(), &portal.ids(1).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_too_full_to_compress_holds_up_no_event() {
    let portal = Portal::start().await;
    let keys = "rotate = { size = \"8KiB\", keep = 2 }\ncompress = \"gzip\"";
    let Some(mut disk) = Disk::try_start(&portal, keys) else { return };
    disk.shell("dd if=/dev/zero of=disk/ballast bs=1k count=220 2>/dev/null").await;
    portal.record(1, 300).await;
    until_confirmed(&portal).await;
    // An event is confirmed when it is in the state file. The sink may still be writing, and a new file is empty for
    // a moment.
    let mut is_whole = false;
    for _ in 0..200 {
        disk.saved().await;
        let files = fs::read_dir(disk.setup.path("saved")).unwrap().map(|entry| entry.unwrap().path());
        let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        is_whole = files.collect::<Vec<_>>().iter().all(|path| !ids_in(path, true).is_empty());
        if is_whole {
            break;
        }
    }
    assert!(is_whole, "{}", disk.relay.log());
    assert!(disk.relay.is_running());
}
