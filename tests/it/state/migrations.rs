//! Older layouts are migrated under kill -9 at each step, and nothing is lost.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;

use b24relay::store::Store;
use rusqlite::Connection;
use serde_json::Value;

use crate::state::old_layouts;
use crate::support::expected::ledger::assert_exactly_once;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{code, command, finished, finished_command, stderr};
use crate::support::process::setup::Setup;

/// The number of layouts.
const NEWEST: usize = 4;

/// A second sink, for a state file of layout 3.
const SECOND: &str = "[sinks.second]\ntype = \"file\"\npath = \"second.jsonl\"";

/// The points at which a step can be interrupted.
const MOMENTS: [&str; 3] = ["migrating", "migration written", "migrated"];

/// A portal with events for two users, and a folder for `support` and, if a layout can store a login, `office`.
struct Scene {
    portal: Portal,
    setup: Setup,
    /// The stored login of `office`.
    memory: BTreeMap<String, String>,
    layout: usize,
    /// The `delivery.mode` of a state file of layout 3.
    mode: &'static str,
}

impl Scene {
    async fn of_layout(layout: usize, mode: &'static str) -> Self {
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
        if layout == 3 {
            setup = setup.with("[delivery]\ngap_events = true").with(SECOND);
        }
        portal.record(1, 14).await;
        let scene = Self { portal, setup, memory, layout, mode };
        scene.write().await;
        scene
    }

    /// The state file as the program of that layout wrote it: four events of `support` are settled.
    async fn write(&self) {
        for suffix in ["", "-wal", "-shm", ".lock"] {
            std::fs::remove_file(self.setup.path(&format!("b24relay.db{suffix}"))).ok();
        }
        let file = old_layouts::create(&self.setup.path("b24relay.db"), self.layout);
        let (queue, ids) = (format!("{}/user/1", self.portal.sandbox.address()), self.portal.ids(1).await);
        for (key, value) in &self.memory {
            file.execute("INSERT INTO memory (key, value, kept_ms) VALUES (?1, ?2, 1)", [key, value])
                .unwrap();
        }
        if self.layout == 3 {
            let shown = old_layouts::shown(&self.portal, 1).await;
            old_layouts::write_third_layout(&file, &queue, &shown, self.mode);
            old_layouts::seal_third_layout(&file);
            return;
        }
        file.execute("INSERT INTO source (name, identity, adopted_ms) VALUES ('support', ?1, 1)", [queue])
            .unwrap();
        let insert = "INSERT INTO checkpoint (source, sink, offset, committed_ms, delivered, filtered)
             VALUES ('support', 'archive', ?1, 1, 40, 2)";
        file.execute(insert, [i64::try_from(ids[4]).unwrap()]).unwrap();
    }

    /// Runs until the process is killed at `failpoint`.
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
        // Its settled part of the portal's queue is in the journal only if the old program had stored it there.
        let next = if self.mode == "journal" { 2 } else { 1 };
        assert_eq!((lane.next, lane.delivered, lane.filtered), (next, 40, 2), "{failpoint}");
        if self.layout == 3 {
            assert_eq!(report.dead_letters[0].count, 1, "{failpoint}");
            let support = report.sources.iter().find(|source| source.name == "support").unwrap();
            assert_eq!(support.gaps.len(), 1, "{failpoint}");
        }
        assert_eq!(kept(&self.setup), self.memory, "{failpoint}");
        let checked = finished(&["state", "check"], self.setup.folder()).await;
        assert_eq!(code(&checked), 0, "{failpoint}: {}", String::from_utf8_lossy(&checked.stdout));
    }

    /// Asserts that a run continues at the position of the old program, and that nothing is delivered twice in any
    /// number of starts.
    async fn assert_goes_on(&self, failpoint: &str) {
        for _ in 0..2 {
            let mut command = command();
            command.args(["run", "--once"]).current_dir(self.setup.folder());
            if self.layout > 1 {
                // A drain waits until no late event can appear.
                command.env("B24RELAY_SOURCES__OFFICE__CONFIRM_LAG", "50ms");
            }
            let once = finished_command(command).await;
            assert_eq!(code(&once), 0, "{failpoint}: {}", stderr(&once));
        }
        let ids = self.portal.ids(1).await;
        let mut expected = ids[4..].to_vec();
        if self.layout == 3 {
            expected.retain(|id| ![ids[6], ids[8]].contains(id));
        }
        let second = filed(&self.setup, "second.jsonl");
        let gap = ("B24RELAY_GAP".to_owned(), 1);
        if self.layout == 3 {
            let events: Vec<u64> = second.iter().filter(|event| **event != gap).map(|(_, id)| *id).collect();
            let office = self.portal.ids(2).await;
            let of_support: Vec<u64> = events.iter().copied().filter(|id| !office.contains(id)).collect();
            assert_exactly_once(&of_support, &ids[10..]);
            assert_eq!(
                second.iter().filter(|event| **event == gap).count(),
                1,
                "{failpoint}: it knew of no gap"
            );
        }
        if self.layout > 1 {
            expected.extend(self.portal.ids(2).await);
        }
        let archive = filed(&self.setup, "events.jsonl");
        assert!(!archive.contains(&gap), "{failpoint}: it knew of the gap");
        let mut archived: Vec<u64> = archive.into_iter().map(|(_, id)| id).collect();
        archived.sort_unstable();
        expected.sort_unstable();
        assert_exactly_once(&archived, &expected);
        self.portal.assert_nothing_confirmed_unseen(1).await;
        assert_eq!(layout(&self.setup), NEWEST, "{failpoint}");
        assert_eq!(kept(&self.setup), self.memory, "{failpoint}: the login is as it was");
    }
}

/// The types and ids of the events in a file.
fn filed(setup: &Setup, name: &str) -> Vec<(String, u64)> {
    let text = std::fs::read_to_string(setup.path(name)).unwrap_or_default();
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events
        .map(|event| (event["type"].as_str().unwrap().to_owned(), event["eventId"].as_u64().unwrap()))
        .collect()
}

fn kept(setup: &Setup) -> BTreeMap<String, String> {
    let file = Connection::open(setup.path("b24relay.db")).unwrap();
    let Ok(mut select) = file.prepare("SELECT key, value FROM memory WHERE key NOT LIKE 'user/%'") else {
        return BTreeMap::new();
    };
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

fn layout(setup: &Setup) -> usize {
    let file = Connection::open(setup.path("b24relay.db")).unwrap();
    file.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_kill_at_any_step_forward_loses_nothing() {
    for (from, mode) in [(1, "direct"), (2, "direct"), (3, "direct"), (3, "journal")] {
        for moment in MOMENTS {
            for step in 1..=NEWEST - from {
                let scene = Scene::of_layout(from, mode).await;
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
        // An empty file that was created for the migration counts as a new one, too.
        if failpoint.ends_with('1') {
            std::fs::write(&state, "").unwrap();
        }
        let scene = Scene { portal, setup, memory: BTreeMap::new(), layout: 0, mode: "" };
        scene.kill_at(&failpoint).await;
        let is_made = state.metadata().is_ok_and(|metadata| metadata.len() > 0);
        assert_eq!(is_made, failpoint == "created", "{failpoint}");
        // A start that has not created a state does not count: the next one needs no flag.
        scene.setup.drain().await;
        assert_exactly_once(&scene.setup.filed_ids(), &scene.portal.ids(1).await);
        assert!(!scene.setup.path("b24relay.db.new").exists(), "{failpoint}");
    }
}

#[tokio::test]
async fn a_damaged_file_of_the_third_layout_is_not_brought_forward() {
    for (sql, word) in [
        ("UPDATE checkpoint SET offset = offset + 5", "of `checkpoint` is not as it was written"),
        ("UPDATE source SET received = received + 5", "of `source` is not as it was written"),
        ("UPDATE journal SET data = '{}'", "of `journal` is not as it was written"),
        ("DELETE FROM checkpoint WHERE sink = 'archive'", "rows of `checkpoint` are missing"),
    ] {
        let scene = Scene::of_layout(3, "journal").await;
        let state = scene.setup.path("b24relay.db");
        Connection::open(&state).unwrap().execute_batch(sql).unwrap();
        let before = std::fs::read(&state).unwrap();
        let refused = finished(&["run", "--once"], scene.setup.folder()).await;
        assert_eq!(code(&refused), 74, "{sql}: {}", stderr(&refused));
        assert!(stderr(&refused).contains(word), "{sql}: {}", stderr(&refused));
        assert!(std::fs::read(&state).unwrap() == before, "{sql}: it was changed");
    }
}
