//! Older layouts are brought forward under kill -9 at each step, and nothing of them is lost on the way.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;

use b24relay::store::Store;
use rusqlite::Connection;

use crate::ledger::assert_exactly_once;
use crate::portal::Portal;
use crate::process::{code, command, finished, finished_command, stderr};
use crate::setup::Setup;

/// What the released steps to layouts 1 and 2 made.
const LAYOUTS: [&str; 2] = [
    "CREATE TABLE source (
        name       TEXT PRIMARY KEY,
        identity   TEXT NOT NULL,
        adopted_ms INTEGER NOT NULL,
        polled_ms  INTEGER,
        trouble    TEXT NOT NULL DEFAULT ''
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE checkpoint (
        source       TEXT NOT NULL REFERENCES source (name),
        sink         TEXT NOT NULL,
        offset       INTEGER NOT NULL CHECK (offset >= 1),
        committed_ms INTEGER NOT NULL,
        delivered    INTEGER NOT NULL DEFAULT 0,
        filtered     INTEGER NOT NULL DEFAULT 0,
        trouble      TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (source, sink)
    ) STRICT, WITHOUT ROWID;",
    "ALTER TABLE source ADD COLUMN confirmed INTEGER NOT NULL DEFAULT 1 CHECK (confirmed >= 1);
    ALTER TABLE source ADD COLUMN losses INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE memory (
        key     TEXT PRIMARY KEY,
        value   TEXT NOT NULL,
        kept_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;",
];

/// How many layouts there are now.
const NEWEST: usize = 3;

/// Where a step can be cut short.
const MOMENTS: [&str; 3] = ["migrating", "migration written", "migrated"];

/// A portal with five events for each of two users, and a folder for `support` and, where a layout has room
/// for a login, `office`.
struct Scene {
    portal: Portal,
    setup: Setup,
    /// What the login of `office` has left in a state file.
    memory: BTreeMap<String, String>,
    layout: usize,
}

impl Scene {
    async fn of_layout(layout: usize) -> Self {
        let portal = Portal::start().await;
        let mut setup = Setup::new().with_source(&portal).with_file();
        let mut memory = BTreeMap::new();
        if layout > 1 {
            setup = setup.with_login(&portal, "office");
            setup.log_in(&portal, "office", 2).await;
            memory = kept(&setup);
            assert!(!memory.is_empty());
            portal.record(2, 5).await;
        }
        portal.record(1, 5).await;
        let scene = Self { portal, setup, memory, layout };
        scene.write().await;
        scene
    }

    /// The state file as that layout's program wrote it: two events of `support` are settled.
    async fn write(&self) {
        for suffix in ["", "-wal", "-shm", ".lock"] {
            std::fs::remove_file(self.setup.path(&format!("b24relay.db{suffix}"))).ok();
        }
        let file = Connection::open(self.setup.path("b24relay.db")).unwrap();
        file.pragma_update(None, "journal_mode", "WAL").unwrap();
        for step in &LAYOUTS[..self.layout] {
            file.execute_batch(step).unwrap();
        }
        file.pragma_update(None, "application_id", 0x6232_3472).unwrap();
        file.pragma_update(None, "user_version", u32::try_from(self.layout).unwrap()).unwrap();
        let queue = format!("{}/user/1", self.portal.sandbox.address());
        file.execute("INSERT INTO source (name, identity, adopted_ms) VALUES ('support', ?1, 1)", [queue])
            .unwrap();
        let offset = i64::try_from(self.portal.ids(1).await[2]).unwrap();
        let insert = "INSERT INTO checkpoint (source, sink, offset, committed_ms, delivered, filtered)
             VALUES ('support', 'archive', ?1, 1, 40, 2)";
        file.execute(insert, [offset]).unwrap();
        for (key, value) in &self.memory {
            file.execute("INSERT INTO memory VALUES (?1, ?2, 1)", [key, value]).unwrap();
        }
    }

    /// Runs until the process comes by `failpoint`, which kills it.
    async fn kill_at(&self, failpoint: &str) {
        let mut command = command();
        command.args(["run", "--once"]).current_dir(self.setup.folder()).env("FAILPOINT", failpoint);
        let killed = finished_command(command).await;
        assert_eq!(killed.status.signal(), Some(9), "{failpoint}: {}", stderr(&killed));
    }

    /// Asserts that the state still has everything, whatever its layout is now.
    async fn assert_kept(&self, failpoint: &str) {
        let state = self.setup.path("b24relay.db");
        let report = Store::report(&state).unwrap();
        let lane = &report.lanes[0];
        // What it has settled of the portal's queue the journal never held.
        assert_eq!((lane.next, lane.delivered, lane.filtered), (1, 40, 2), "{failpoint}");
        assert_eq!(kept(&self.setup), self.memory, "{failpoint}");
        let checked = finished(&["state", "check"], self.setup.folder()).await;
        assert_eq!(code(&checked), 0, "{failpoint}: {}", String::from_utf8_lossy(&checked.stdout));
    }

    /// Asserts that a run goes on where the old program ended.
    async fn assert_goes_on(&self, failpoint: &str) {
        self.setup.drain().await;
        let mut expected = self.portal.ids(1).await[2..].to_vec();
        if self.layout > 1 {
            expected.extend(self.portal.ids(2).await);
        }
        let mut filed = self.setup.filed_ids();
        filed.sort_unstable();
        expected.sort_unstable();
        assert_exactly_once(&filed, &expected);
        assert_eq!(layout(&self.setup), NEWEST, "{failpoint}");
        assert_eq!(kept(&self.setup), self.memory, "{failpoint}: the login is as it was");
    }
}

fn kept(setup: &Setup) -> BTreeMap<String, String> {
    let file = Connection::open(setup.path("b24relay.db")).unwrap();
    let Ok(mut select) = file.prepare("SELECT key, value FROM memory") else { return BTreeMap::new() };
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

fn layout(setup: &Setup) -> usize {
    let file = Connection::open(setup.path("b24relay.db")).unwrap();
    file.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_kill_at_any_step_forward_loses_nothing() {
    for from in 1..NEWEST {
        for moment in MOMENTS {
            for step in 1..=NEWEST - from {
                let scene = Scene::of_layout(from).await;
                let failpoint = format!("{moment}:{step}");
                scene.kill_at(&failpoint).await;
                let steps = if moment == "migrated" { step } else { step - 1 };
                assert_eq!(layout(&scene.setup), from + steps, "{failpoint}");
                scene.assert_kept(&failpoint).await;
                scene.assert_goes_on(&failpoint).await;
            }
        }
    }
}

#[tokio::test]
async fn a_kill_at_any_step_of_its_making_is_made_good_by_the_next_start() {
    let steps = MOMENTS.iter().flat_map(|moment| (1..=NEWEST).map(move |step| format!("{moment}:{step}")));
    for failpoint in steps.chain(["creating".to_owned(), "created".to_owned()]) {
        let portal = Portal::start().await;
        portal.record(1, 3).await;
        let setup = Setup::new().with_source(&portal).with_file();
        let state = setup.path("b24relay.db");
        // An empty file that was made for it is a new one as well.
        if failpoint.ends_with('1') {
            std::fs::write(&state, "").unwrap();
        }
        let scene = Scene { portal, setup, memory: BTreeMap::new(), layout: 0 };
        scene.kill_at(&failpoint).await;
        let is_made = state.metadata().is_ok_and(|metadata| metadata.len() > 0);
        assert_eq!(is_made, failpoint == "created", "{failpoint}");
        if state.exists() && !is_made {
            let said = stderr(&finished(&["run", "--once"], scene.setup.folder()).await);
            assert!(said.contains("it is empty, and was in use before"), "{failpoint}: {said}");
            std::fs::remove_file(&state).unwrap();
        }
        scene.setup.drain().await;
        assert_exactly_once(&scene.setup.filed_ids(), &scene.portal.ids(1).await);
        assert!(!scene.setup.path("b24relay.db.new").exists(), "{failpoint}");
    }
}
