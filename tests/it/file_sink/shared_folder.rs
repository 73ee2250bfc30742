//! A file sink in a folder that other users can write to: files planted there receive no event, do not stop a sink, and
//! do not make it delete or overwrite another file.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::geteuid;

use crate::support::expected::ledger::{assert_exactly_once, ids_in};
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{code, finished, stderr};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;

/// A user that is neither root nor the user of the daemon.
const STRANGER: u32 = 65_534;

/// The content of files that must not be overwritten.
const PRECIOUS: &str = "precious\n";

/// Whether this test can create files of another user; prints a note if it cannot.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn can_give_files_away() -> bool {
    let is_root = geteuid().is_root();
    if !is_root {
        eprintln!("skipped: only root can create files of another user");
    }
    is_root
}

/// A source with 30 events and a file sink in a folder that all users can write to.
async fn in_a_shared_folder(keys: &str) -> (Portal, Setup) {
    let portal = Portal::start().await;
    let setup = Setup::new().with_user(&portal, "support", 1, 10).with(&format!(
        "[sinks.archive]\ntype = \"file\"\npath = \"log/events.jsonl\"\nretry = {{ min = \"10ms\", max = \"100ms\" }}\n{keys}"
    ));
    fs::create_dir(setup.path("log")).unwrap();
    fs::set_permissions(setup.path("log"), Permissions::from_mode(0o777)).unwrap();
    fs::write(setup.path("victim"), PRECIOUS).unwrap();
    portal.record(1, 30).await;
    (portal, setup)
}

fn plant(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o666)).unwrap();
    chown(path, Some(STRANGER), Some(STRANGER)).unwrap();
}

fn plant_link(path: &Path, target: &Path) {
    symlink(target, path).unwrap();
    lchown(path, Some(STRANGER), Some(STRANGER)).unwrap();
}

fn plant_pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::from(0o666), 0).unwrap();
    chown(path, Some(STRANGER), Some(STRANGER)).unwrap();
}

fn own_rotated(setup: &Setup) -> Vec<PathBuf> {
    let entries = fs::read_dir(setup.path("log")).unwrap().map(|entry| entry.unwrap().path());
    let is_rotated = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("events-");
    let ours = geteuid().as_raw();
    // The relay may delete files during this check.
    let is_ours = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.uid() == ours);
    entries.filter(is_rotated).filter(is_ours).collect()
}

#[tokio::test]
async fn compressing_overwrites_no_link_and_fills_no_file_of_another_user() {
    if !can_give_files_away() {
        return;
    }
    let (portal, setup) = in_a_shared_folder("rotate = { size = \"2KiB\" }\ncompress = \"gzip\"").await;
    let name = "events-20260101T000000Z-000001.jsonl";
    fs::write(setup.path("log").join(name), "{}\n").unwrap();
    plant_link(&setup.path("log").join(format!(".{name}.gz.part")), &setup.path("victim"));
    plant(&setup.path("log/.events-20260101T000000Z-000002.jsonl.gz.part"), PRECIOUS);
    // The name of a future rotated file, and the compressed form of an existing one.
    plant(&setup.path("log/events-20260101T000000Z-000003.jsonl.gz"), PRECIOUS);
    fs::write(setup.path("log/events-20260101T000000Z-000003.jsonl"), "{}\n").unwrap();
    let log = setup.drain().await;

    assert!(setup.path("log").join(format!("{name}.gz")).exists(), "{log}");
    assert_eq!(fs::read_to_string(setup.path("victim")).unwrap(), PRECIOUS);
    for planted in
        [".events-20260101T000000Z-000002.jsonl.gz.part", "events-20260101T000000Z-000003.jsonl.gz"]
    {
        assert_eq!(fs::read_to_string(setup.path("log").join(planted)).unwrap(), PRECIOUS, "{planted}");
    }
    assert!(setup.path("log/events-20260101T000000Z-000003.jsonl").exists(), "its twin is a stranger's");
    assert!(log.contains("are no regular files of this user"), "{log}");
    portal.assert_nothing_confirmed_unseen(1).await;
}

#[tokio::test]
async fn forged_names_make_keep_delete_nothing_and_a_pipe_stops_nothing() {
    if !can_give_files_away() {
        return;
    }
    let keys = "rotate = { size = \"2KiB\", keep = 3 }\ncompress = \"zstd\"";
    let (portal, setup) = in_a_shared_folder(keys).await;
    for number in 1..=5 {
        plant(&setup.path(&format!("log/events-20991231T235959Z-{number:06}.jsonl")), "{}\n");
    }
    plant_pipe(&setup.path("log/events-20200101T000000Z-000001.jsonl"));
    plant_pipe(&setup.path("log/events.jsonl.1"));
    plant_link(&setup.path("log/events-20200101T000000Z-000002.jsonl"), &setup.path("victim"));
    let mut relay = setup.run();
    for _ in 0..4 {
        portal.record(1, 30).await;
    }
    let is_tidy = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "zst");
    until("three rotated files are left, all compressed", async || {
        let rotated = own_rotated(&setup);
        ids_in(&setup.path("log/events.jsonl"), true).last() == portal.ids(1).await.last()
            && rotated.len() == 3
            && rotated.iter().all(is_tidy)
    })
    .await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_eq!(fs::read_to_string(setup.path("victim")).unwrap(), PRECIOUS);
    let forged = setup.path("log/events-20991231T235959Z-000005.jsonl");
    assert_eq!(fs::read_to_string(forged).unwrap(), "{}\n");
}

#[tokio::test]
async fn a_file_that_a_stranger_put_there_receives_no_event() {
    if !can_give_files_away() {
        return;
    }
    let (portal, setup) = in_a_shared_folder("").await;
    let path = setup.path("log/events.jsonl");
    for (planting, word) in [("file", "is a file of user 65534"), ("link", "is a link of user 65534")] {
        match planting {
            "file" => plant(&path, PRECIOUS),
            _ => plant_link(&path, &setup.path("victim")),
        }
        let checked = finished(&["check"], setup.folder()).await;
        let said = String::from_utf8_lossy(&checked.stdout).into_owned();
        assert!(code(&checked) == 69 && said.contains(word), "{said}{}", stderr(&checked));
        let mut relay = setup.run();
        until(&format!("the sink is held: {word}"), async || {
            let lane = setup.lane_of("archive").await;
            lane["state"] == "held" && lane["trouble"].as_str().is_some_and(|trouble| trouble.contains(word))
        })
        .await;
        assert_eq!(fs::read_to_string(&path).unwrap(), PRECIOUS);
        assert_eq!(relay.stop().await, 0, "{}", relay.log());
        fs::remove_file(&path).unwrap();
    }
    setup.drain().await;
    assert_exactly_once(&ids_in(&path, false), &portal.ids(1).await);
}

#[tokio::test]
async fn other_users_at_the_file_are_warned_of_at_the_start_and_by_check() {
    let (_portal, setup) = in_a_shared_folder("").await;
    let checked = finished(&["check"], setup.folder()).await;
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(code(&checked) == 0 && said.contains("other users can write to the folder"), "{said}");
    let mut relay = setup.run();
    relay.until_logged("other users can write to the folder").await;
    relay.stop().await;

    fs::set_permissions(setup.path("log"), Permissions::from_mode(0o755)).unwrap();
    let checked = finished(&["check"], setup.folder()).await;
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(!said.contains("exposure"), "{said}");
}

#[tokio::test]
async fn two_sinks_on_one_file_are_refused_by_name_however_it_is_linked() {
    let portal = Portal::start().await;
    for (linking, expected) in [("hard", 78), ("symbolic", 78), ("dangling", 78)] {
        let setup = Setup::new()
            .with_source(&portal)
            .with("[sinks.one]\ntype = \"file\"\npath = \"events.jsonl\"")
            .with("[sinks.two]\ntype = \"file\"\npath = \"alias.jsonl\"");
        let (path, alias) = (setup.path("events.jsonl"), setup.path("alias.jsonl"));
        match linking {
            "hard" => {
                fs::write(&path, "").unwrap();
                fs::hard_link(&path, &alias).unwrap();
            }
            "symbolic" => {
                fs::write(&path, "").unwrap();
                symlink(&path, &alias).unwrap();
            }
            _ => symlink("events.jsonl", &alias).unwrap(),
        }
        for verb in ["run", "check"] {
            let refused = finished(&[verb], setup.folder()).await;
            assert_eq!(code(&refused), expected, "{linking} {verb}: {}", stderr(&refused));
            assert!(stderr(&refused).contains("belongs to `sinks.one` already"), "{}", stderr(&refused));
        }
    }
}
