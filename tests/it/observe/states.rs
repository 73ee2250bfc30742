//! The state of each source and each lane is the same in all outputs: `status`, its JSON, `/status`, the page, the
//! metrics, `/readyz`, `healthcheck` and the notifications to the service manager.

use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, append, code, command, finished, stdout};
use crate::support::process::setup::Setup;
use crate::support::process::shown::{LISTEN, Shown};
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::Receiver;

/// The expected report about a source and the lanes to `archive` and `crm`: the state, and the beginning of its label.
struct Expected {
    source: (&'static str, &'static str),
    archive: (&'static str, &'static str),
    crm: (&'static str, &'static str),
    grade: &'static str,
}

const HEALTHY: Expected = Expected {
    source: ("polling", "polling"),
    archive: ("flowing", "flowing"),
    crm: ("flowing", "flowing"),
    grade: "healthy",
};

struct World {
    portal: Portal,
    receiver: Receiver,
    setup: Setup,
    shown: Shown,
    /// The last notification to the service manager.
    told: Arc<Mutex<String>>,
}

impl World {
    /// A relay that has delivered an event to both of its sinks, with the configuration `keys`.
    async fn start(keys: &str) -> Self {
        let (portal, receiver) = (Portal::start().await, Receiver::start().await);
        let setup = Setup::new().with(keys).with_source(&portal).with_file().with_receiver(&receiver);
        let setup = setup.with(LISTEN);
        let path = setup.path("notify");
        let (socket, told) = (UnixDatagram::bind(&path).unwrap(), Arc::<Mutex<String>>::default());
        let last = Arc::clone(&told);
        thread::spawn(move || {
            let mut message = [0; 4096];
            while let Ok(length) = socket.recv(&mut message) {
                let text = String::from_utf8_lossy(&message[..length]).into_owned();
                if let Some(status) = text.lines().find_map(|line| line.strip_prefix("STATUS=")) {
                    status.clone_into(&mut last.lock().unwrap());
                }
            }
        });
        let mut run = command();
        run.arg("run").current_dir(setup.folder()).env("NOTIFY_SOCKET", path);
        let relay = Relay::start_command(run, setup.folder(), append(&setup.path("out")).into());
        let shown = Shown::of(relay).await;
        portal.record(1, 1).await;
        until("it is delivered", async || {
            let delivered = async |sink| setup.lane_of(sink).await["delivered"] == 1;
            delivered("archive").await && delivered("crm").await
        })
        .await;
        Self { portal, receiver, setup, shown, told }
    }

    /// Waits until all outputs match `expected`.
    async fn assert_all_say(&self, expected: &Expected) {
        let mut objections = Vec::new();
        let is_so = async || {
            objections = self.objections(expected).await;
            objections.is_empty()
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), until("all agree", is_so))
            .await
            .unwrap_or_else(|_| panic!("{objections:#?}"));
    }

    /// The outputs that differ.
    async fn objections(&self, expected: &Expected) -> Vec<String> {
        let mut objections = Vec::new();
        let mut expect = |is_so: bool, text: String| {
            if !is_so {
                objections.push(text);
            }
        };
        let table = stdout(&finished(&["status"], self.setup.folder()).await);
        let json = stdout(&finished(&["status", "--json"], self.setup.folder()).await);
        let (_, served) = self.shown.text("status").await;
        let (_, page) = self.shown.text("").await;
        let (_, metrics) = self.shown.text("metrics").await;
        let subjects = [("support", expected.source), ("archive", expected.archive), ("crm", expected.crm)];
        for (place, (name, (state, label))) in subjects.into_iter().enumerate() {
            let row = table.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap_or_default();
            expect(row.contains(&format!(" {label}")), format!("{name} in the table: {row}"));
            for (text, whose) in [(&json, "--json"), (&served, "/status")] {
                let report: Value = serde_json::from_str(text).unwrap();
                let of = if place == 0 { &report["sources"][0] } else { &report["lanes"][place - 1] };
                let is_so = of["state"] == state && of["label"].as_str().unwrap().starts_with(label);
                expect(is_so, format!("{name} in {whose}: {of}"));
                expect(report["grade"] == expected.grade, format!("the grade in {whose}: {report}"));
            }
            let tone = |grade: &str| format!("<span class=\"state {grade}\">{label}");
            let is_shown = ["good", "wait", "bad"].into_iter().any(|grade| page.contains(&tone(grade)));
            expect(is_shown, format!("{name} on the page: {page}"));
            let is_green = page.contains(&tone("good"));
            expect(
                is_green == matches!(state, "polling" | "flowing"),
                format!("the colour of {name}: {page}"),
            );
            if place > 0 {
                let line = format!("sink_state{{source=\"support\",sink=\"{name}\",state=\"{state}\"}} 1");
                expect(metrics.contains(&line), format!("{name} in the metrics: {metrics}"));
            }
        }
        let up = i32::from(expected.source.0 == "polling");
        let line = format!("b24relay_source_up{{source=\"support\"}} {up}\n");
        expect(metrics.contains(&line), format!("no {line} in {metrics}"));
        let blocked = i32::from(expected.source.0 == "blocked");
        let line = format!("b24relay_source_blocked{{source=\"support\"}} {blocked}\n");
        expect(metrics.contains(&line), format!("no {line} in {metrics}"));
        let (status, ready) = self.shown.text("readyz").await;
        let is_ready = expected.grade != "action_required";
        expect((status == 200) == is_ready, format!("/readyz: {status} {ready}"));
        let check = finished(&["healthcheck", "--strict"], self.setup.folder()).await;
        let is_healthy = expected.grade == "healthy";
        expect((code(&check) == 0) == is_healthy, format!("healthcheck: {}", stdout(&check)));
        let problems = stdout(&finished(&["status", "--problems"], self.setup.folder()).await);
        expect((problems == "no problems\n") == is_healthy, format!("--problems: {problems}"));
        let told = self.told.lock().unwrap().clone();
        let word = match expected.grade {
            "healthy" => "1 source, ",
            "degraded" => "degraded: ",
            _ => "action required: ",
        };
        expect(told.starts_with(word), format!("the service manager: {told}"));
        objections
    }
}

#[tokio::test]
async fn all_say_the_same_of_a_relay_that_delivers_and_of_a_sink_that_does_not() {
    let world = World::start("").await;
    world.assert_all_say(&HEALTHY).await;
    for (status, state, grade) in
        [(503, "retrying", "degraded"), (401, "held", "action_required"), (410, "paused", "action_required")]
    {
        world.receiver.answer_always(Some(status));
        world.portal.record(1, 1).await;
        world.shown.relay.signal(Signal::HUP);
        world.assert_all_say(&Expected { crm: (state, state), grade, ..HEALTHY }).await;
    }
}

#[tokio::test]
async fn all_say_the_same_of_a_source_that_is_refused() {
    let world = World::start("").await;
    let fault = json!({"kind": "error", "status": 401, "code": "INVALID_CREDENTIALS", "times": 100_000});
    world.portal.fault(fault).await;
    let refused = Expected {
        source: ("refused", "refused"),
        archive: ("idle", "idle: source refused"),
        crm: ("idle", "idle: source refused"),
        grade: "action_required",
    };
    world.assert_all_say(&refused).await;
}

#[tokio::test]
async fn all_say_the_same_of_a_portal_that_fails() {
    let world = World::start("").await;
    world.portal.fault(json!({"kind": "close_before", "times": 1_000_000})).await;
    let failing = Expected {
        source: ("retrying", "retrying"),
        archive: ("idle", "idle: source retrying"),
        crm: ("idle", "idle: source retrying"),
        grade: "degraded",
    };
    world.assert_all_say(&failing).await;
}

const BLOCKED: Expected = Expected {
    source: ("blocked", "blocked by crm"),
    archive: ("waiting", "waiting for crm"),
    crm: ("retrying", "retrying"),
    grade: "degraded",
};

#[tokio::test]
async fn all_say_the_same_of_a_source_that_a_sink_blocks_for_ever() {
    let world = World::start("[delivery]\nhold = \"forever\"").await;
    world.receiver.answer_always(Some(503));
    world.portal.record(1, 1).await;
    world.assert_all_say(&BLOCKED).await;
    let held = Expected { crm: ("held", "held"), grade: "action_required", ..BLOCKED };
    world.receiver.answer_always(Some(401));
    world.shown.relay.signal(Signal::HUP);
    world.assert_all_say(&held).await;
    world.receiver.answer_always(None);
    world.shown.relay.signal(Signal::HUP);
    world.assert_all_say(&HEALTHY).await;
}

#[tokio::test]
async fn all_say_the_same_of_a_source_whose_share_of_the_journal_is_full() {
    let world = World::start("[journal]\nmax_size = \"1MiB\"").await;
    world.receiver.answer_always(Some(503));
    for _ in 0..30 {
        world.portal.record_as(json!({"user": 1, "count": 20, "bytes": 4096})).await;
    }
    world.assert_all_say(&BLOCKED).await;
}

#[tokio::test]
async fn a_daemon_that_hangs_or_is_gone_is_not_shown_as_one_that_delivers() {
    let mut world = World::start("").await;
    let labels = async || {
        let table = stdout(&finished(&["status"], world.setup.folder()).await);
        let row = |name| table.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        ["support ", "archive ", "crm "].map(row)
    };
    world.shown.relay.signal(Signal::STOP);
    until("it is overdue", async || labels().await[0].contains(" overdue ")).await;
    assert!(
        labels().await[1..].iter().all(|row| row.contains(" idle: source overdue")),
        "{:?}",
        labels().await
    );
    world.shown.relay.signal(Signal::CONT);
    until("it polls again", async || labels().await[0].contains(" polling ")).await;
    world.shown.relay.kill();
    assert!(labels().await.iter().all(|row| row.contains(" stopped ")), "{:?}", labels().await);
    let report: Value =
        serde_json::from_str(&stdout(&finished(&["status", "--json"], world.setup.folder()).await)).unwrap();
    assert_eq!(
        (&report["sources"][0]["state"], &report["grade"]),
        (&json!("stopped"), &json!("action_required"))
    );
    assert_eq!(code(&finished(&["healthcheck"], world.setup.folder()).await), 69);
}
