//! A portal with a new address is found there by all its sources, and is treated as the same portal.

use std::path::Path;

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::expected::ledger::assert_exactly_once;
use crate::support::portal::logins::is_parked;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, code, finished, stderr, stdout};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;

const FOUND: &str = "the portal has a new address";
const BACK: &str = "the portal is back at the address in the configuration";

/// Two sources of one portal, and the configured address of the portal.
struct Tenants {
    portal: Portal,
    setup: Setup,
    relay: Relay,
}

impl Tenants {
    async fn begin() -> Self {
        let portal = Portal::start().await;
        let setup = setup_of(Setup::new(), &portal);
        let tenants = Self { relay: setup.run(), setup, portal };
        tenants.go_on().await;
        tenants
    }

    /// Moves the portal and returns its new address.
    async fn moves(&self, how: Value) -> String {
        self.portal.post("move", how).await["address"].as_str().unwrap().to_owned()
    }

    /// Waits until everything recorded is filed, including a new event.
    async fn go_on(&self) {
        for (user, source) in [(1, "support"), (2, "sales")] {
            self.portal.record(user, 5).await;
            let recorded = self.portal.ids(user).await;
            let filed = async || self.setup.filed_ids_of(source).len() >= recorded.len();
            until(&format!("everything of {source} is filed: {}", self.relay.log()), filed).await;
        }
    }

    /// How many requests the relay sent to an address that the portal has left.
    async fn redirected(&self) -> u64 {
        self.portal.control(Method::GET, "stats", Value::Null).await["redirected"].as_u64().unwrap()
    }

    fn found_count(&self) -> usize {
        self.relay.log().matches(FOUND).count()
    }

    fn parked_count(&self) -> usize {
        self.relay.log().lines().filter(|line| is_parked(line)).count()
    }

    fn restart(&mut self) {
        self.relay.kill();
        self.relay = self.setup.run();
    }

    fn assert_silent(&self) {
        let log = self.relay.log();
        for user in [1, 2] {
            assert!(!log.contains(&self.portal.code(user)), "{log}");
        }
    }

    async fn end(mut self) {
        assert_eq!(self.relay.stop().await, 0, "{}", self.relay.log());
        self.assert_silent();
        for (user, source) in [(1, "support"), (2, "sales")] {
            assert_exactly_once(&self.setup.filed_ids_of(source), &self.portal.ids(user).await);
            self.portal.assert_nothing_confirmed_unseen(user).await;
        }
    }
}

/// The sources with the current webhooks.
fn setup_of(setup: Setup, portal: &Portal) -> Setup {
    let setup = setup.with_user_anywhere(portal, "support", 1).with_user_anywhere(portal, "sales", 2);
    setup.with_file_of("support").with_file_of("sales")
}

/// The `id` of every line without its eventId: the rest names the queue.
fn queue_names(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let mut names: Vec<String> = text
        .lines()
        .map(|line| {
            let event: Value = serde_json::from_str(line).unwrap();
            event["id"].as_str().unwrap().rsplit_once('_').unwrap().0.to_owned()
        })
        .collect();
    names.dedup();
    names
}

#[tokio::test]
async fn a_renamed_portal_is_found_told_of_once_and_remembered() {
    let mut tenants = Tenants::begin().await;
    let address = tenants.moves(json!({})).await;
    tenants.go_on().await;
    assert_eq!(tenants.found_count(), 1, "{}", tenants.relay.log());
    let log = tenants.relay.log();
    let line = log.lines().find(|line| line.contains(FOUND)).unwrap();
    assert!(line.contains(&format!("moved_to=\"{address}\"")) && line.contains(" WARN "), "{line}");
    // Both sources may have sent a request to the old address; from then on none does.
    let redirected = tenants.redirected().await;
    assert!((1..=2).contains(&redirected), "{redirected}");
    tenants.go_on().await;

    tenants.restart();
    tenants.go_on().await;
    assert_eq!(tenants.redirected().await, redirected, "the old address was asked again");
    // The state contains the new address, but not the webhook's code.
    for file in ["b24relay.db", "b24relay.db-wal"] {
        let kept = std::fs::read(tenants.setup.path(file)).unwrap_or_default();
        let kept = String::from_utf8_lossy(&kept);
        assert!([1, 2].iter().all(|user| !kept.contains(&tenants.portal.code(*user))), "in {file}");
    }
    assert_eq!(tenants.found_count(), 1, "{}", tenants.relay.log());
    assert_eq!(tenants.parked_count(), 0);
    tenants.end().await;
}

#[tokio::test]
async fn a_portal_may_move_again_and_back() {
    let mut tenants = Tenants::begin().await;
    for (how, found, back) in
        [(json!({}), 1, 0), (json!({}), 2, 0), (json!({"back": true}), 2, 1), (json!({}), 3, 1)]
    {
        tenants.moves(how).await;
        tenants.go_on().await;
        assert_eq!(tenants.found_count(), found, "{}", tenants.relay.log());
        assert_eq!(tenants.relay.log().matches(BACK).count(), back, "{}", tenants.relay.log());
        let redirected = tenants.redirected().await;
        tenants.restart();
        tenants.go_on().await;
        assert_eq!(tenants.redirected().await, redirected, "after {found} moves");
    }
    tenants.end().await;
}

#[tokio::test]
async fn a_redirect_that_is_no_rename_parks_the_source_and_moves_nobody() {
    let tenants = Tenants::begin().await;
    let own = format!("{}im.v2.Event.get", tenants.portal.webhook_url(1));
    let path = own.split_once("/rest/").unwrap().1.to_owned();
    for location in [
        format!("http://portal.example/rest/{path}"),
        format!("https://portal.example/rest/{path}"),
        format!("http://127.0.0.1:9/auth/?backurl=/rest/{path}"),
        format!("/login/{}", tenants.portal.code(1)),
        own,
    ] {
        let parked = tenants.parked_count();
        tenants
            .portal
            .fault(json!({"kind": "redirect", "status": 302, "location": location, "user": 1}))
            .await;
        until("parked", async || tenants.parked_count() > parked).await;
        tenants.relay.signal(Signal::HUP);
        tenants.go_on().await;
    }
    assert_eq!(tenants.found_count(), 0, "{}", tenants.relay.log());
    assert!(tenants.relay.log().contains("a redirect to "), "{}", tenants.relay.log());
    tenants.end().await;
}

#[tokio::test]
async fn a_redirect_loop_ends_after_one_step_and_is_not_remembered() {
    let mut tenants = Tenants::begin().await;
    let old = tenants.portal.sandbox.address().to_string();
    tenants.moves(json!({})).await;
    let back =
        format!("{}im.v2.Event.get", tenants.portal.webhook_url(1)).replace(&address_of(&tenants), &old);
    for status in [302, 307] {
        tenants
            .portal
            .fault(json!({"kind": "redirect", "status": status, "location": back, "user": 1}))
            .await;
    }
    let before = tenants.redirected().await;
    until("parked", async || {
        tenants.relay.signal(Signal::HUP);
        tenants.portal.faults_left().await == 0 && tenants.parked_count() > 0
    })
    .await;
    // One redirect for each attempt, and some for the other source, which finds the portal.
    let steps = tenants.redirected().await - before;
    assert!(steps <= 8, "{steps}");
    tenants.relay.signal(Signal::HUP);
    tenants.go_on().await;
    assert_eq!(tenants.found_count(), 1, "{}", tenants.relay.log());
    tenants.restart();
    tenants.go_on().await;
    tenants.end().await;
}

/// The current address of the portal.
fn address_of(tenants: &Tenants) -> String {
    let url = tenants.portal.webhook_url(1);
    url.split_once("//").unwrap().1.split_once('/').unwrap().0.to_owned()
}

#[tokio::test]
async fn a_new_address_that_does_not_answer_as_a_portal_is_not_adopted() {
    let mut tenants = Tenants::begin().await;
    // The server at the new address is not a portal.
    tenants.relay.signal(Signal::STOP);
    tenants.portal.post("faults", json!({"kind": "html", "status": 404, "times": 1_000_000})).await;
    tenants.moves(json!({})).await;
    tenants.relay.signal(Signal::CONT);
    until("both are parked again and again", async || {
        tenants.relay.signal(Signal::HUP);
        tenants.parked_count() >= 6
    })
    .await;
    assert_eq!(tenants.found_count(), 0, "{}", tenants.relay.log());
    // The move was a mistake: the portal is back at its old address.
    tenants.moves(json!({"back": true})).await;
    tenants.portal.control(Method::DELETE, "faults", Value::Null).await;
    tenants.relay.signal(Signal::HUP);
    tenants.go_on().await;
    tenants.restart();
    tenants.go_on().await;
    assert_eq!(tenants.found_count(), 0, "{}", tenants.relay.log());
    tenants.end().await;
}

#[tokio::test]
async fn where_the_new_address_answers_otherwise_the_configured_one_is_asked_again() {
    let tenants = Tenants::begin().await;
    tenants.moves(json!({})).await;
    tenants.go_on().await;
    for fault in [
        json!({"kind": "html", "status": 404}),
        json!({"kind": "html", "status": 200}),
        json!({"kind": "error", "status": 401, "code": "INVALID_CREDENTIALS"}),
    ] {
        let redirected = tenants.redirected().await;
        for user in [1, 2] {
            let mut fault = fault.clone();
            fault["user"] = user.into();
            tenants.portal.fault(fault).await;
        }
        until("the configured address is asked", async || {
            tenants.relay.signal(Signal::HUP);
            tenants.redirected().await > redirected
        })
        .await;
        tenants.go_on().await;
    }
    assert_eq!(tenants.found_count(), 1, "told again: {}", tenants.relay.log());
    tenants.end().await;
}

#[tokio::test]
async fn the_new_address_in_the_configuration_is_the_same_queue() {
    let mut tenants = Tenants::begin().await;
    // The operator is late: the portal moves twice before the configuration has the new address, and once more after
    // that.
    for moves in [2, 1, 2] {
        for _ in 0..moves {
            tenants.moves(json!({})).await;
            tenants.go_on().await;
        }
        assert_eq!(tenants.relay.stop().await, 0);
        let redirected = tenants.redirected().await;
        tenants.setup = setup_of(tenants.setup.anew(), &tenants.portal);
        let checkpoint = tenants.setup.committed_offset("support", "support");
        let put = ["offset", "set", "support", &checkpoint.to_string()];
        let put = finished(&put, tenants.setup.folder()).await;
        assert_eq!(code(&put), 0, "{}", stderr(&put));
        let once = finished(&["run", "--once"], tenants.setup.folder()).await;
        assert_eq!(code(&once), 0, "{}", stderr(&once));
        assert!(stderr(&once).contains(&format!("offset={checkpoint}")), "{}", stderr(&once));
        tenants.relay = tenants.setup.run();
        tenants.go_on().await;
        assert_eq!(tenants.redirected().await, redirected);
    }
    for source in ["support", "sales"] {
        let names = queue_names(&tenants.setup.path(&format!("{source}.jsonl")));
        assert_eq!(names.len(), 1, "{source}: {names:?}");
    }
    tenants.end().await;
}

#[tokio::test]
async fn another_portal_under_the_same_name_is_still_refused() {
    let (mut tenants, other) = (Tenants::begin().await, Portal::start().await);
    tenants.moves(json!({})).await;
    tenants.go_on().await;
    assert_eq!(tenants.relay.stop().await, 0);
    let setup = setup_of(tenants.setup.anew(), &other);
    setup.assert_mistaken(&["has read the queue"]).await;
    assert_eq!(other.polls().await, 0);
}

#[tokio::test]
async fn a_new_address_is_told_at_every_start_and_can_be_forgotten() {
    let mut tenants = Tenants::begin().await;
    let old = tenants.portal.sandbox.address().to_string();
    let address = tenants.moves(json!({})).await;
    tenants.go_on().await;
    tenants.restart();
    tenants.relay.until_logged("the portal is called at the address it has moved to").await;
    let moved = format!("{old} has moved to {address}");
    let folder = tenants.setup.folder();
    let shown = stdout(&finished(&["status"], folder).await);
    assert!(shown.contains(&moved), "{shown}");
    let checked = stdout(&finished(&["check"], folder).await);
    assert!(checked.contains(&format!("{old} has moved and is called at {address}")), "{checked}");

    let forget = ["portal", "forget", &old];
    assert_eq!(code(&finished(&forget, folder).await), 75, "the daemon runs");
    assert_eq!(tenants.relay.stop().await, 0);
    let unknown = finished(&["portal", "forget", "nowhere.example"], folder).await;
    assert_eq!(code(&unknown), 64, "{}", stderr(&unknown));
    assert!(stderr(&unknown).contains(&old), "{}", stderr(&unknown));
    let forgotten = finished(&forget, folder).await;
    assert_eq!(code(&forgotten), 0, "{}", stderr(&forgotten));
    assert!(!stdout(&finished(&["status"], folder).await).contains("has moved"));
    let redirected = tenants.redirected().await;
    tenants.relay = tenants.setup.run();
    tenants.go_on().await;
    assert!(tenants.redirected().await > redirected, "the configured address was not asked");
    tenants.end().await;
}

#[tokio::test]
async fn a_redirect_off_this_machine_is_refused_with_the_host_and_the_way_out() {
    let mut tenants = Tenants::begin().await;
    let own = format!("{}im.v2.Event.get", tenants.portal.webhook_url(1));
    let path = own.split_once("/rest/").unwrap().1;
    for host in ["10.0.0.7", "bitrix24.evil.com", "new.bitrix24.com"] {
        let location = format!("http://{host}/rest/{path}");
        tenants
            .portal
            .fault(json!({"kind": "redirect", "status": 302, "location": location, "user": 1}))
            .await;
        tenants.relay.until_logged(&format!("followed on this machine only (to {host})")).await;
        tenants.relay.signal(Signal::HUP);
        tenants.go_on().await;
    }
    assert_eq!(tenants.found_count(), 0, "{}", tenants.relay.log());
    assert!(tenants.parked_count() >= 3);
    tenants.restart();
    tenants.go_on().await;
    tenants.end().await;
}
