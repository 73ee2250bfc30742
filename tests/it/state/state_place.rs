//! The location of the state file: one daemon runs on it, whatever path names it, and nothing is confirmed while the
//! open file is not the file that the next start would find.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Signal, geteuid};

use crate::support::expected::ledger::assert_exactly_once;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, code, command, finished, finished_command, stderr, stdout};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;
use crate::support::state::populated_state::STATE;

/// All commands that open the state file.
const COMMANDS: [&[&str]; 7] = [
    &["run"],
    &["run", "--once"],
    &["status"],
    &["state", "check"],
    &["state", "backup", "copy.db"],
    &["dead-letters", "list"],
    &["offset", "show", "support"],
];

/// A portal with events, a configuration, and a daemon that has delivered them.
async fn at_work() -> (Portal, Setup, Relay) {
    let portal = Portal::start().await;
    let setup = Setup::new().with("[delivery]\nhold = \"0s\"").with_source(&portal).with_file();
    portal.record(1, 5).await;
    let relay = setup.run();
    until("all are delivered and confirmed", async || {
        setup.filed_count() == 5 && portal.stats(1).await["confirmed"] == 5
    })
    .await;
    (portal, setup, relay)
}

/// Asserts that each command, given `path`, ends with `expected` and reports `words`.
async fn assert_all_refuse(setup: &Setup, path: &str, expected: i32, words: &[&str]) {
    for args in COMMANDS {
        let refused = finished(&[args, &["--state", path]].concat(), setup.folder()).await;
        let said = stderr(&refused);
        assert_eq!(code(&refused), expected, "{args:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{args:?}: no `{word}` in: {said}");
        }
        assert!(!setup.path("copy.db").exists(), "{args:?}");
    }
}

#[tokio::test]
async fn a_second_daemon_is_refused_by_whatever_link_it_comes() {
    let (_portal, setup, mut relay) = at_work().await;
    fs::create_dir(setup.path("other")).unwrap();
    symlink(setup.path(STATE), setup.path("other/link.db")).unwrap();
    symlink("link.db", setup.path("other/link-to-link.db")).unwrap();
    symlink(setup.folder(), setup.path("other/folder")).unwrap();
    let paths =
        ["other/link.db", "other/link-to-link.db", "other/folder/b24relay.db", "other/../b24relay.db"];
    for path in paths {
        let second = finished(&["run", "--state", path], setup.folder()).await;
        assert_eq!(code(&second), 75, "{path}: {}", stderr(&second));
        assert!(stderr(&second).contains(&format!("process {}", relay.id())), "{}", stderr(&second));
        let status = finished(&["status", "--state", path], setup.folder()).await;
        assert!(stdout(&status).contains(&format!("running: process {}", relay.id())), "{}", stdout(&status));
        let check = finished(&["state", "check", "--state", path], setup.folder()).await;
        assert_eq!(code(&check), 0, "{path}: {}", stdout(&check));
        let copy = path.replace('/', "-");
        let backup = finished(&["state", "backup", &copy, "--state", path], setup.folder()).await;
        assert_eq!(code(&backup), 0, "{path}: {}", stderr(&backup));
    }
    let beside: Vec<_> = fs::read_dir(setup.path("other")).unwrap().collect();
    assert_eq!(beside.len(), 3, "nothing is left beside a link: {beside:?}");
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
}

/// As in a container image, where the state is a link into a volume.
#[tokio::test]
async fn a_link_to_nothing_yet_is_followed_as_well() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 3).await;
    symlink("volume/real.db", setup.path(STATE)).unwrap();
    setup.drain().await;
    assert!(setup.path(STATE).is_symlink() && setup.path("volume/real.db").is_file());
    setup.drain().await;
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);

    fs::remove_file(setup.path(STATE)).unwrap();
    symlink(STATE, setup.path(STATE)).unwrap();
    let refused = finished(&["run"], setup.folder()).await;
    assert_eq!(code(&refused), 74, "{}", stderr(&refused));
    assert!(stderr(&refused).contains("its symbolic links form a loop"), "{}", stderr(&refused));
}

#[tokio::test]
async fn a_state_file_with_two_names_is_refused_by_either() {
    let (portal, setup, mut relay) = at_work().await;
    fs::create_dir(setup.path("other")).unwrap();
    fs::hard_link(setup.path(STATE), setup.path("other/b24relay.db")).unwrap();
    let words = ["it has 2 names (hard links)", "remove the other names"];
    assert_all_refuse(&setup, "other/b24relay.db", 74, &words).await;
    portal.record(1, 5).await;
    until("the first one goes on", async || setup.filed_count() == 10).await;
    relay.kill();
    for path in [STATE, "other/b24relay.db"] {
        assert_all_refuse(&setup, path, 74, &words).await;
    }

    // Follow the hint of the message.
    fs::remove_file(setup.path("other/b24relay.db")).unwrap();
    setup.drain().await;
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
}

/// Runs `script` in a shell with its own mounts, which end with it; `None` where that is not allowed.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
async fn with_mounts(setup: &Setup, script: &str) -> Option<String> {
    let mounts = Command::new("unshare").args(["-m", "true"]).status();
    if !geteuid().is_root() || !mounts.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this needs root and the right to mount");
        return None;
    }
    let mut shell = Command::new("unshare");
    shell.args(["-m", "sh", "-c", script]).arg(command().get_program()).current_dir(setup.folder());
    let output = finished_command(shell).await;
    Some(stdout(&output) + &stderr(&output))
}

#[tokio::test]
async fn a_state_file_that_is_mounted_alone_is_refused() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    fs::create_dir(setup.path("a folder")).unwrap();
    for name in ["host.db", "a folder/state.db"] {
        fs::write(setup.path(name), "").unwrap();
    }
    symlink("a folder/state.db", setup.path("link.db")).unwrap();
    let script = "mount --bind host.db 'a folder/state.db' || exit
        for path in 'a folder/state.db' link.db; do
            for command in 'run' 'run --once' 'status' 'state check' 'offset show support'; do
                \"$0\" $command --state \"$path\"; echo \"exit $?\"
            done
        done
        ls 'a folder'; wc -c host.db";
    let Some(said) = with_mounts(&setup, script).await else { return };
    assert_eq!(said.matches("exit 78").count(), 10, "{said}");
    assert_eq!(said.matches("mount the folder").count(), 10, "{said}");
    assert!(said.contains("state.db\n0 host.db"), "nothing is made or changed: {said}");

    // Follow the hint of the message: name the folder itself, also by another path.
    let script = "mkdir data; mount --bind 'a folder' data || exit
        \"$0\" run --once --state data/new.db; echo \"exit $?\"";
    let said = with_mounts(&setup, script).await.unwrap();
    assert!(said.contains("exit 0"), "{said}");
    assert!(setup.path("a folder/new.db").is_file());
}

#[tokio::test]
async fn a_folder_that_is_mounted_twice_has_one_lock() {
    let (_portal, setup, relay) = at_work().await;
    let script = "mkdir data; mount --bind . data || exit
        \"$0\" run --state data/b24relay.db; echo \"exit $?\"";
    let Some(said) = with_mounts(&setup, script).await else { return };
    assert!(said.contains("exit 75") && said.contains(&format!("process {}", relay.id())), "{said}");
}

#[tokio::test]
async fn a_second_daemon_is_refused_when_the_lock_file_was_deleted() {
    let (portal, setup, mut relay) = at_work().await;
    for round in 1..=2 {
        fs::remove_file(setup.path("b24relay.db.lock")).unwrap();
        let second = finished(&["run", "--once"], setup.folder()).await;
        assert_eq!(code(&second), 75, "{}", stderr(&second));
        assert!(stderr(&second).contains("is in use by"), "{}", stderr(&second));
        let status = finished(&["status"], setup.folder()).await;
        assert!(stdout(&status).contains("running: "), "{}", stdout(&status));
        portal.record(1, 5).await;
        until("the first one goes on", async || setup.filed_count() == 5 + 5 * round).await;
        let running = format!("running: process {}", relay.id());
        until("the lock file says again who holds it", async || {
            stdout(&finished(&["status"], setup.folder()).await).contains(&running)
        })
        .await;
    }
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    setup.drain().await;
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
}

/// Accidents with a state file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Accident {
    Moved,
    Replaced,
    LogMoved,
    FolderMoved,
}

impl Accident {
    /// The file that is missing afterwards, and its new path.
    fn paths(self, folder: &Path) -> (PathBuf, PathBuf) {
        let file = match self {
            Self::Moved | Self::Replaced => folder.join(STATE),
            Self::LogMoved => folder.join("b24relay.db-wal"),
            Self::FolderMoved => folder.to_owned(),
        };
        let aside = file.with_extension("aside");
        (file, aside)
    }

    fn happen(self, folder: &Path) {
        let (file, aside) = self.paths(folder);
        fs::rename(&file, &aside).unwrap();
        if self == Self::Replaced {
            fs::copy(aside, file).unwrap();
        }
    }

    fn undo(self, folder: &Path) {
        let (file, aside) = self.paths(folder);
        fs::rename(aside, file).unwrap();
    }
}

#[tokio::test]
async fn nothing_is_confirmed_while_the_state_file_is_not_where_it_was_opened() {
    for accident in [Accident::Moved, Accident::Replaced, Accident::LogMoved, Accident::FolderMoved] {
        let portal = Portal::start().await;
        let setup = Setup::new().with("[delivery]\nhold = \"0s\"").with_source(&portal).with_file();
        let folder = setup.path("state");
        portal.record(1, 5).await;
        let mut relay = Relay::start(setup.folder(), &["--state", "state/b24relay.db"]);
        let confirmed = async || portal.stats(1).await["confirmed"].as_u64().unwrap();
        until("all are confirmed", async || confirmed().await == 5).await;

        accident.happen(&folder);
        portal.record(1, 5).await;
        relay.until_logged("was moved, deleted or replaced").await;
        assert!(relay.is_running(), "{accident:?}");
        let polls = portal.polls().await;
        relay.signal(Signal::HUP);
        relay.until_logged("attempt=2").await;
        assert!(portal.polls().await <= polls + 1, "{accident:?}: it goes on polling: {}", relay.log());
        assert_eq!(confirmed().await, 5, "{accident:?}");

        accident.undo(&folder);
        relay.signal(Signal::HUP);
        until("it goes on when it is back", async || confirmed().await == 10).await;
        assert_eq!(relay.stop().await, 0, "{}", relay.log());
        let again = finished(&["run", "--once", "--state", "state/b24relay.db"], setup.folder()).await;
        assert_eq!(code(&again), 0, "{accident:?}: {}", stderr(&again));
        assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
    }
}

/// The log is deleted, so its content is only in this process.
#[tokio::test]
async fn what_was_confirmed_is_not_lost_with_a_deleted_log() {
    let portal = Portal::start().await;
    let receiver = crate::support::receivers::receiver::Receiver::start().await;
    receiver.answer_always(Some(503));
    let setup = Setup::new().with("[delivery]\nhold = \"0s\"").with_source(&portal).with_receiver(&receiver);
    portal.record(1, 5).await;
    let mut relay = setup.run();
    until("all are confirmed", async || portal.stats(1).await["confirmed"] == 5).await;
    for name in ["b24relay.db-wal", "b24relay.db-shm"] {
        fs::remove_file(setup.path(name)).unwrap();
    }
    relay.until_logged("was moved, deleted or replaced").await;
    // Follow the hint of the message.
    relay.stop().await;
    receiver.answer_always(None);
    setup.drain().await;
    assert_exactly_once(&receiver.accepted_ids(), &portal.ids(1).await);
}

/// A parked daemon must not delete the log of the daemon that now runs at its path.
#[tokio::test]
async fn a_daemon_whose_folder_was_replaced_leaves_the_new_one_alone() {
    let (portal, setup) = (Portal::start().await, Setup::new());
    let setup = setup.with("[delivery]\nhold = \"0s\"").with_source(&portal).with_file();
    portal.record(1, 5).await;
    let args = ["--state", "state/b24relay.db"];
    let mut first = Relay::start(setup.folder(), &args);
    until("all are confirmed", async || portal.stats(1).await["confirmed"] == 5).await;
    fs::rename(setup.path("state"), setup.path("old")).unwrap();
    first.until_logged("was moved, deleted or replaced").await;
    let mut second = Relay::start(setup.folder(), &args);
    portal.record(1, 5).await;
    until("the second one has them", async || portal.stats(1).await["confirmed"] == 10).await;
    first.stop().await;
    assert!(setup.path("state/b24relay.db-wal").exists(), "the log of the second one is gone");
    assert_eq!(second.stop().await, 0, "{}", second.log());
    for path in ["state/b24relay.db", "old/b24relay.db"] {
        let check = finished(&["state", "check", "--state", path], setup.folder()).await;
        assert_eq!(code(&check), 0, "{path}: {}", stdout(&check));
    }
}
