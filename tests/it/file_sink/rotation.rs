//! The file sink rotates its file: nothing is lost, duplicated, torn or out of order, at any moment of a crash.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::timeout;

use crate::support::expected::ledger::{assert_exactly_once, ids_in};
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, code, command, finished, finished_command, stderr};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;

const NO_HOLD: &str = "[delivery]\nhold = \"0s\"";
const HOLD_FOREVER: &str = "[delivery]\nhold = \"forever\"";

/// Small, so that a run reads several batches.
const LIMIT: u16 = 20;

/// A file sink with further `keys`, in its own folder.
fn with_file(setup: Setup, keys: &str) -> Setup {
    setup.with(&format!(
        "[sinks.archive]\ntype = \"file\"\npath = \"log/events.jsonl\"\nretry = {{ min = \"10ms\", max = \"100ms\" }}\n{keys}"
    ))
}

/// The uncompressed content of a file.
fn text_of(path: &Path) -> String {
    let bytes = fs::read(path).unwrap();
    let mut text = String::new();
    match path.extension().unwrap().to_str().unwrap() {
        "gz" => flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap(),
        "zst" => zstd::Decoder::new(&bytes[..]).unwrap().read_to_string(&mut text).unwrap(),
        _ => bytes.as_slice().read_to_string(&mut text).unwrap(),
    };
    text
}

/// The rotated files in the order of their names.
fn rotated(setup: &Setup) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(setup.path("log")) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with("events-"));
    paths.sort();
    paths
}

/// The ids in all files, in the order of the file names, the current file last; asserts that every line is complete.
fn all_ids(setup: &Setup) -> Vec<u64> {
    let unpacked = setup.path("unpacked.jsonl");
    let current = Some(setup.path("log/events.jsonl")).filter(|path| path.exists());
    let text: String = rotated(setup).into_iter().chain(current).map(|path| text_of(&path)).collect();
    fs::write(&unpacked, text).unwrap();
    ids_in(&unpacked, false)
}

/// One drain, with `FAILPOINT=point` if there is one. Returns whether it was killed there.
async fn dies_at(setup: &Setup, point: Option<&str>) -> bool {
    let mut relay = command();
    relay.args(["run", "--once"]).current_dir(setup.folder());
    if let Some(point) = point {
        relay.env("FAILPOINT", point);
    }
    let output = finished_command(relay).await;
    let is_killed = output.status.code().is_none();
    assert!(is_killed || output.status.success(), "{}", stderr(&output));
    is_killed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stderr, reason = "the seed of a failure")]
async fn kills_among_many_rotations_lose_nothing_and_repeat_nothing() {
    for (mode, compress) in [(HOLD_FOREVER, "none"), (HOLD_FOREVER, "zstd"), (NO_HOLD, "gzip")] {
        let portal = Portal::start().await;
        let setup = Setup::new().with(mode).with_user(&portal, "support", 1, LIMIT);
        let setup = with_file(setup, &format!("rotate = {{ size = \"16KiB\" }}\ncompress = \"{compress}\""));
        let seed = rand::random();
        eprintln!("seed {seed}");
        let mut dice = StdRng::seed_from_u64(seed);
        let mut kills = 0;
        // On a busy machine a relay may be killed before it has written anything: later ones get more time.
        while kills < 40 || (rotated(&setup).len() <= 40 && kills < 120) {
            portal.record(1, 60).await;
            let mut relay = setup.run();
            let count = rotated(&setup).len() + dice.random_range(0..8);
            let moment = Duration::from_micros(dice.random_range(0..150_000)) * (1 + kills / 20);
            timeout(moment, until("rotations", async || rotated(&setup).len() > count)).await.ok();
            relay.kill();
            kills += 1;
        }
        setup.drain().await;
        assert_exactly_once(&all_ids(&setup), &portal.ids(1).await);
        assert!(rotated(&setup).len() > 40, "{mode} {compress}: {} rotations", rotated(&setup).len());
        portal.assert_nothing_confirmed_unseen(1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_each_step_leaves_each_event_once() {
    let points = [
        "file_writing",
        "file_written",
        "file_synced",
        "answered",
        "settled",
        "committing",
        "rotating",
        "rotated",
        "rotation_synced",
        "rotation_created",
        "compressing",
        "compressed",
        "compression_renamed",
        "compression_synced",
        "compression_over",
    ];
    // The journal is delivered in one large batch.
    for (mode, compress, visits) in [(HOLD_FOREVER, "gzip", &[1, 2][..]), (NO_HOLD, "zstd", &[1])] {
        let portal = Portal::start().await;
        let setup = Setup::new().with(mode).with_user(&portal, "support", 1, LIMIT);
        let setup = with_file(setup, &format!("rotate = {{ size = \"2KiB\" }}\ncompress = \"{compress}\""));
        portal.record(1, 60).await;
        setup.drain().await;
        for point in points {
            for visit in visits {
                portal.record(1, 60).await;
                let point = format!("{point}:{visit}");
                assert!(dies_at(&setup, Some(&point)).await, "{mode}: never came by {point}");
                setup.drain().await;
                let (filed, recorded) = (all_ids(&setup), portal.ids(1).await);
                assert_eq!(filed.len(), recorded.len(), "{mode} {point}: {:?}", rotated(&setup));
                assert_exactly_once(&filed, &recorded);
                let leftovers = fs::read_dir(setup.path("log")).unwrap();
                let hidden = leftovers
                    .filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with('.'));
                assert_eq!(hidden.count(), 0, "{point} left something half done");
            }
        }
        let plain = rotated(&setup).iter().filter(|path| path.extension().unwrap() == "jsonl").count();
        assert_eq!(plain, 0, "all are compressed");
        assert_exactly_once(&all_ids(&setup), &portal.ids(1).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_are_kept_and_a_kill_in_between_changes_nothing() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_user(&portal, "support", 1, LIMIT);
    let setup = with_file(setup, "rotate = { size = \"2KiB\", keep = 3 }\ncompress = \"gzip\"");
    for point in [None, Some("deleting:2"), Some("deleted:1"), Some("compressed:1"), None] {
        portal.record(1, 200).await;
        assert_eq!(dies_at(&setup, point).await, point.is_some(), "{point:?}");
    }
    portal.record(1, 100).await;
    setup.drain().await;
    let (filed, recorded) = (all_ids(&setup), portal.ids(1).await);
    assert_eq!(rotated(&setup).len(), 3);
    assert!(filed.len() >= 3, "{} events", filed.len());
    assert_exactly_once(&filed, &recorded[recorded.len() - filed.len()..]);
}

#[tokio::test]
async fn without_the_table_nothing_is_rotated() {
    let portal = Portal::start().await;
    let setup = with_file(Setup::new().with_user(&portal, "support", 1, LIMIT), "");
    portal.record(1, 500).await;
    setup.drain().await;
    assert_exactly_once(&ids_in(&setup.path("log/events.jsonl"), false), &portal.ids(1).await);
    assert_eq!(fs::read_dir(setup.path("log")).unwrap().count(), 1);
}

#[tokio::test]
async fn no_file_is_beyond_the_size_but_for_a_single_event() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_user(&portal, "support", 1, LIMIT);
    let setup = with_file(setup, "rotate = { size = \"1KiB\" }");
    portal.record(1, 5 * usize::from(LIMIT)).await;
    setup.drain().await;
    for file in rotated(&setup) {
        let (length, count) = (fs::metadata(&file).unwrap().len(), ids_in(&file, false).len());
        assert!(length <= 1024 || count == 1, "{count} events in {length} bytes");
    }
    assert_exactly_once(&all_ids(&setup), &portal.ids(1).await);

    let setup = Setup::new().with_user(&portal, "support", 2, 1);
    let setup = with_file(setup, "rotate = { size = \"4KiB\" }");
    portal.record(2, 100).await;
    setup.drain().await;
    let files = rotated(&setup);
    assert!(files.len() > 10, "{} files", files.len());
    for file in files {
        let (length, count) = (fs::metadata(&file).unwrap().len(), ids_in(&file, false).len());
        assert!(length <= 4096 || count == 1, "{count} events in {length} bytes");
    }
    assert_exactly_once(&all_ids(&setup), &portal.ids(2).await);
}

#[tokio::test]
async fn a_new_period_begins_a_new_file_with_the_next_event() {
    let portal = Portal::start().await;
    let setup = with_file(Setup::new().with_source(&portal), "rotate = { every = \"30d\" }");
    portal.record(1, 5).await;
    setup.drain().await;
    let current = setup.path("log/events.jsonl");
    let month_ago = SystemTime::now() - Duration::from_secs(31 * 24 * 3600);
    fs::File::open(&current).unwrap().set_modified(month_ago).unwrap();
    setup.drain().await;
    assert_eq!(rotated(&setup).len(), 0, "a quiet file stays");
    portal.record(1, 5).await;
    setup.drain().await;
    portal.record(1, 5).await;
    setup.drain().await;
    assert_eq!(rotated(&setup).len(), 1);
    assert_eq!(ids_in(&current, false).len(), 10);
    assert_exactly_once(&all_ids(&setup), &portal.ids(1).await);
}

#[tokio::test]
async fn no_file_is_ever_overwritten() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_user(&portal, "support", 1, LIMIT);
    let setup = with_file(setup, "rotate = { size = \"1KiB\" }");
    fs::create_dir(setup.path("log")).unwrap();
    // A file from a time at which the clock was ahead.
    let ahead = setup.path("log/events-29990101T000000Z-000007.jsonl.gz");
    fs::write(&ahead, "not ours, by the way").unwrap();
    portal.record(1, 60).await;
    let log = setup.drain().await;
    assert!(log.contains("cannot look for events in a rotated file") || !log.contains("error"), "{log}");
    assert_eq!(fs::read(&ahead).unwrap(), b"not ours, by the way");
    let names = rotated(&setup);
    assert!(names[1].ends_with("events-29990101T000000Z-000008.jsonl"), "{names:?}");
    assert_eq!(names.len(), 60, "each event fills a file");
}

#[tokio::test]
async fn mistakes_in_the_table_are_told_with_the_way_out() {
    let portal = Portal::start().await;
    for (keys, expected) in [
        ("rotate = { keep = 3 }", "set `size`, `every` or both"),
        ("rotate = {}", "set `size`, `every` or both"),
        ("rotate = { size = \"1023B\" }", "must be a size from 1KiB to 1TiB"),
        ("rotate = { size = \"1KiB\", keep = 0 }", "from 1 to 10000"),
        ("rotate = { size = \"1KiB\", keep = 10001 }", "from 1 to 10000"),
        ("rotate = { every = \"59s\" }", "must be 1m to 30d"),
        ("rotate = { every = \"31d\" }", "must be 1m to 30d"),
        ("rotate = { every = \"90s 1ms\" }", "must be whole seconds"),
        ("rotate = \"1d\"", "must be a table"),
        ("rotate = { sise = \"1KiB\", every = \"1d\" }", "did you mean `size`?"),
        ("compress = \"gzip\"", "set `rotate` as well"),
        ("rotate = { every = \"1d\" }\ncompress = \"gz\"", "must be `none`, `gzip` or `zstd`"),
    ] {
        let setup = with_file(Setup::new().with_source(&portal), keys);
        let check = finished(&["check", "--no-network"], setup.folder()).await;
        assert_eq!(code(&check), 78, "{keys}");
        let told = stderr(&check) + &String::from_utf8_lossy(&check.stdout);
        assert!(told.contains(expected), "{keys}: {told}");
    }
}

#[tokio::test]
async fn a_link_stays_and_what_it_leads_to_is_rotated() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_user(&portal, "support", 1, LIMIT);
    let setup = with_file(setup, "rotate = { size = \"1KiB\" }");
    fs::create_dir(setup.path("log")).unwrap();
    fs::create_dir(setup.path("disk")).unwrap();
    // The link has no target yet.
    std::os::unix::fs::symlink("../disk/b24.jsonl", setup.path("log/events.jsonl")).unwrap();
    portal.record(1, 60).await;
    setup.drain().await;
    assert!(fs::symlink_metadata(setup.path("log/events.jsonl")).unwrap().is_symlink());
    let mut paths: Vec<PathBuf> =
        fs::read_dir(setup.path("disk")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() > 2, "{paths:?}");
    assert_eq!(paths.last(), Some(&setup.path("disk/b24.jsonl")));
    let ids: Vec<u64> = paths.iter().flat_map(|path| ids_in(path, false)).collect();
    assert_exactly_once(&ids, &portal.ids(1).await);
}

#[tokio::test]
async fn a_folder_that_lets_nothing_be_renamed_stops_no_event() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_user(&portal, "support", 1, LIMIT);
    let setup = with_file(setup, "rotate = { size = \"1KiB\" }");
    fs::create_dir(setup.path("log")).unwrap();
    // No later name exists.
    let last = setup.path("log/events-99991230T220000Z-999999.jsonl");
    fs::write(&last, "").unwrap();
    portal.record(1, 60).await;
    let mut relay: Relay = setup.run();
    relay.until_logged("cannot rotate the file").await;
    let current = setup.path("log/events.jsonl");
    until("all are filed", async || ids_in(&current, true).len() == 60).await;
    fs::remove_file(last).unwrap();
    portal.record(1, 60).await;
    until("it is rotated", async || !rotated(&setup).is_empty() && ids_in(&current, true).len() <= 20).await;
    until("all are confirmed", async || portal.stats(1).await["pending"] == 0).await;
    assert_eq!(relay.stop().await, 0);
    assert_eq!(relay.log().matches("cannot rotate the file").count(), 1);
    assert_exactly_once(&all_ids(&setup), &portal.ids(1).await);
}
