//! The state file: only one daemon uses it, only its owner may read it, and a foreign or damaged file is never
//! overwritten.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rusqlite::Connection;
use serde_json::Value;

use crate::support::expected::ledger::assert_exactly_once;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, code, command, finished, stderr};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A folder whose relay has delivered five events and stopped.
async fn used(portal: &Portal) -> Setup {
    let setup = Setup::new().with_source(portal).with_file();
    portal.record(1, 5).await;
    let once = finished(&["run", "--once"], setup.folder()).await;
    assert_eq!(code(&once), 0, "{}", stderr(&once));
    setup
}

/// Asserts that `run` refuses the state file with `expected`, reports each of `words`, sends no request to the portal
/// and changes no byte.
async fn assert_refused(portal: &Portal, setup: &Setup, expected: i32, words: &[&str]) {
    let state = setup.path("b24relay.db");
    let (before, polls) = (fs::read(&state).unwrap(), portal.polls().await);
    for args in [["run"].as_slice(), &["run", "--once"], &["unsubscribe", "support"]] {
        let refused = finished(args, setup.folder()).await;
        let said = stderr(&refused);
        assert_eq!(code(&refused), expected, "{args:?}: {said}");
        for word in words.iter().chain(&["b24relay.db"]) {
            assert!(said.contains(word), "{args:?}: no `{word}` in: {said}");
        }
        assert!(fs::read(&state).unwrap() == before, "{args:?} changed the file");
    }
    assert_eq!(portal.polls().await, polls);
}

#[tokio::test]
async fn a_second_daemon_is_refused_and_told_who_holds_the_state() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    let mut first = setup.run();
    first.until_logged("source started").await;

    let second = finished(&["run"], setup.folder()).await;
    assert_eq!(code(&second), 75, "{}", stderr(&second));
    assert!(stderr(&second).contains(&format!("process {}", first.id())), "{}", stderr(&second));

    portal.record(1, 5).await;
    until("the first one goes on", async || setup.filed_count() == 5).await;
    assert_eq!(first.stop().await, 0, "{}", first.log());
    let third = finished(&["run", "--once"], setup.folder()).await;
    assert_eq!(code(&third), 0, "the lock ends with its holder: {}", stderr(&third));
}

#[tokio::test]
async fn the_lock_does_not_outlive_a_killed_holder() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    let mut first = setup.run();
    first.until_logged("source started").await;
    first.kill();
    let second = finished(&["run", "--once"], setup.folder()).await;
    assert_eq!(code(&second), 0, "{}", stderr(&second));
}

#[tokio::test]
async fn only_the_owner_may_read_the_state() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    let files = ["b24relay.db", "b24relay.db-wal", "b24relay.db-shm"].map(|name| setup.path(name));
    // Remains of a kill, with wrong permissions after a careless copy.
    let mut killed = setup.run();
    until("the state is in use", async || files.iter().all(|file| file.exists())).await;
    assert_eq!(files.each_ref().map(|file| mode(file)), [0o600; 3]);
    killed.kill();
    for file in &files {
        fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
    }

    let relay = setup.run();
    until("all are private again", async || files.iter().all(|file| mode(file) == 0o600)).await;
    portal.record(1, 2).await;
    until("both are filed", async || setup.filed_count() == 2).await;
    assert_eq!(files.each_ref().map(|file| mode(file)), [0o600; 3], "{}", relay.log());
}

#[tokio::test]
async fn the_file_sink_creates_its_folders_and_its_mode_whatever_the_umask() {
    let portal = Portal::start().await;
    portal.record(1, 1).await;
    for (umask, configured, expected) in
        [("0000", "", 0o640), ("0077", "", 0o640), ("0077", "mode = \"0664\"", 0o664)]
    {
        let setup = Setup::new()
            .with_source(&portal)
            .with(&format!("[sinks.archive]\ntype = \"file\"\npath = \"a/b/events.jsonl\"\n{configured}"));
        let program = command().get_program().to_owned();
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("umask {umask}; exec \"$0\" run --once")]).arg(program);
        shell.env_clear().current_dir(setup.folder());
        let once = crate::support::process::relay::finished_command(shell).await;
        assert_eq!(code(&once), 0, "{}", stderr(&once));
        assert_eq!(mode(&setup.path("a/b/events.jsonl")), expected, "umask {umask}");
    }
}

#[tokio::test]
async fn missing_folders_above_the_state_are_created() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    let once = finished(&["run", "--once", "--state", "a/b/c.db"], setup.folder()).await;
    assert_eq!(code(&once), 0, "{}", stderr(&once));
    assert_eq!(mode(&setup.path("a/b/c.db")), 0o600);
}

#[tokio::test]
async fn a_newer_layout_is_left_alone() {
    let portal = Portal::start().await;
    let setup = used(&portal).await;
    Connection::open(setup.path("b24relay.db")).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert_refused(&portal, &setup, 78, &["layout 99", "newer version"]).await;
}

#[tokio::test]
async fn a_database_of_another_program_is_left_alone() {
    let portal = Portal::start().await;
    for marked in [true, false] {
        let setup = Setup::new().with_source(&portal).with_file();
        let state = setup.path("b24relay.db");
        let foreign = Connection::open(&state).unwrap();
        foreign.execute_batch("CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('mine')").unwrap();
        if marked {
            foreign.pragma_update(None, "application_id", 7).unwrap();
        }
        drop(foreign);
        fs::set_permissions(&state, Permissions::from_mode(0o664)).unwrap();
        assert_refused(&portal, &setup, 78, &["another program", "`state`"]).await;
        assert_eq!(mode(&state), 0o664, "its permissions are left alone as well");
    }
}

#[tokio::test]
async fn a_damaged_state_is_left_alone_and_the_way_out_is_told() {
    const WAY_OUT: [&str; 3] = ["damaged", "backup", "move it away"];
    let portal = Portal::start().await;
    let setup = used(&portal).await;
    let state = setup.path("b24relay.db");
    let whole = fs::read(&state).unwrap();

    fs::write(&state, b"this is no database at all, however long one looks at it".repeat(100)).unwrap();
    assert_refused(&portal, &setup, 74, &WAY_OUT).await;

    // More than a page.
    fs::write(&state, &whole[..whole.len() - 20_000]).unwrap();
    assert_refused(&portal, &setup, 74, &WAY_OUT).await;

    let mut scratched = whole.clone();
    scratched[4096..].fill(0xAA);
    fs::write(&state, &scratched).unwrap();
    assert_refused(&portal, &setup, 74, &WAY_OUT).await;

    // Follow the hint of the message.
    fs::remove_file(&state).unwrap();
    let anew = finished(&["run", "--once", "--new-state"], setup.folder()).await;
    assert_eq!(code(&anew), 0, "{}", stderr(&anew));
}

#[tokio::test]
async fn a_state_that_is_gone_is_begun_anew_only_when_a_person_says_so() {
    let portal = Portal::start().await;
    // The flag has no effect at a first start.
    let setup = Setup::new().with_lag("0s").with_source(&portal).with_file();
    portal.record(1, 5).await;
    let first = finished(&["run", "--once", "--new-state"], setup.folder()).await;
    assert_eq!(code(&first), 0, "{}", stderr(&first));
    let backup = fs::read(setup.path("b24relay.db")).unwrap();

    fs::remove_file(setup.path("b24relay.db")).unwrap();
    let polls = portal.polls().await;
    for args in [["run"].as_slice(), &["run", "--once"]] {
        let refused = finished(args, setup.folder()).await;
        let said = stderr(&refused);
        assert_eq!(code(&refused), 74, "{args:?}: {said}");
        for word in ["that was used here is gone", "backup", "`b24relay run --new-state`"] {
            assert!(said.contains(word), "{args:?}: no `{word}` in: {said}");
        }
        assert!(!setup.path("b24relay.db").exists());
    }
    assert_eq!(portal.polls().await, polls);

    // Follow both hints of the message.
    fs::write(setup.path("b24relay.db"), backup).unwrap();
    setup.drain().await;
    fs::remove_file(setup.path("b24relay.db")).unwrap();
    portal.record(1, 2).await;
    let anew = finished(&["run", "--once", "--new-state"], setup.folder()).await;
    assert_eq!(code(&anew), 0, "{}", stderr(&anew));
    setup.drain().await;
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
}

#[tokio::test]
async fn a_state_that_cannot_be_written_ends_the_start_with_a_clear_word() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    fs::create_dir(setup.path("folder")).unwrap();
    fs::write(setup.path("file"), "a regular file").unwrap();
    for state in ["folder", "file/b24relay.db", "/proc/b24relay.db"] {
        let refused = finished(&["run", "--state", state], setup.folder()).await;
        let said = stderr(&refused);
        assert_eq!(code(&refused), 74, "{state}: {said}");
        assert!(said.contains("cannot use the state file") && said.contains(state), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    assert_eq!(portal.polls().await, 0);
    assert!(fs::read_dir(setup.path("folder")).unwrap().next().is_none(), "nothing was put into the folder");
}

#[tokio::test]
async fn a_restored_older_state_repeats_rather_than_loses() {
    let portal = Portal::start().await;
    let setup = used(&portal).await;
    let backup = fs::read(setup.path("b24relay.db")).unwrap();
    portal.record(1, 5).await;
    assert_eq!(code(&finished(&["run", "--once"], setup.folder()).await), 0);
    fs::write(setup.path("b24relay.db"), backup).unwrap();
    let again = finished(&["run", "--once"], setup.folder()).await;
    assert_eq!(code(&again), 0, "{}", stderr(&again));
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
}

#[tokio::test]
async fn the_state_of_a_running_daemon_can_be_read_by_others() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 5).await;
    let relay: Relay = setup.run();
    until("all are filed", async || setup.filed_count() == 5).await;
    let committed = async || {
        let status = finished(&["status", "--json"], setup.folder()).await;
        assert_eq!(code(&status), 0, "{}", stderr(&status));
        let report: Value = serde_json::from_slice(&status.stdout).unwrap();
        report["lanes"][0]["delivered"] == 5
    };
    until("the commit is there", committed).await;
    assert!(!relay.log().contains("WARN"), "{}", relay.log());
}
