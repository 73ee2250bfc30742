//! A refusal that needs an operator parks one source and reports the error and a hint. Other sources continue.

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::expected::ledger::assert_exactly_once;
use crate::support::portal::logins::is_parked;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, finished, stdout};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;

/// `support` reads user 1 and `sales` reads user 2; each has its own file.
fn two_sources(portal: &Portal) -> Setup {
    Setup::new()
        .with_user(portal, "support", 1, 1000)
        .with_user(portal, "sales", 2, 1000)
        .with_file_of("support")
        .with_file_of("sales")
}

/// Two sources, both already accepted by the portal, for one refusal after another.
struct Pair {
    portal: Portal,
    setup: Setup,
    relay: Relay,
}

impl Pair {
    async fn begin() -> Self {
        let portal = Portal::start().await;
        let setup = two_sources(&portal);
        let pair = Self { relay: setup.run(), setup, portal };
        pair.goes_on(1).await;
        pair.goes_on(2).await;
        pair
    }

    /// Waits until everything of the user is filed, including a new event.
    async fn goes_on(&self, user: u64) {
        self.portal.record(user, 5).await;
        self.until_filed(user).await;
    }

    async fn until_filed(&self, user: u64) {
        let recorded = self.portal.ids(user).await;
        let filed = async || self.setup.filed_ids_of(name_of(user)).len() >= recorded.len();
        until(&format!("everything of user {user} is filed"), filed).await;
    }

    fn parked_count(&self) -> usize {
        self.relay.log().lines().filter(|line| is_parked(line)).count()
    }

    async fn until_parked(&self, count: usize) {
        until(&format!("parked {count} times"), async || self.parked_count() >= count).await;
    }

    /// The next log line about a parked source after the first `count`.
    fn parked_line(&self, count: usize) -> String {
        let log = self.relay.log();
        log.lines().filter(|line| is_parked(line)).nth(count).unwrap().to_owned()
    }

    /// The error of a source, according to `status --json`.
    async fn trouble(&self, source: &str) -> String {
        let report = finished(&["status", "--json"], self.setup.folder()).await;
        let report: Value = serde_json::from_slice(&report.stdout).unwrap();
        let sources = report["sources"].as_array().unwrap();
        let trouble = sources.iter().find(|other| other["name"] == source).unwrap()["trouble"].clone();
        trouble.as_str().unwrap().to_owned()
    }

    /// Waits until both forms of `status` report it: the log may be a moment ahead.
    async fn until_told(&self, source: &str, words: &[&str]) {
        let told = async || {
            let trouble = self.trouble(source).await;
            words.iter().all(|word| trouble.contains(word))
        };
        until(&format!("status tells {words:?} of {source}"), told).await;
        let table = stdout(&finished(&["status"], self.setup.folder()).await);
        assert!(words.iter().all(|word| table.contains(word)), "no {words:?} in: {table}");
    }

    async fn mend(&self) {
        self.portal.control(Method::DELETE, "faults", Value::Null).await;
        self.relay.signal(Signal::HUP);
    }

    async fn end(mut self) {
        assert!(self.relay.is_running());
        assert_eq!(self.relay.stop().await, 0, "{}", self.relay.log());
        for user in [1, 2] {
            assert_exactly_once(&self.setup.filed_ids_of(name_of(user)), &self.portal.ids(user).await);
            self.portal.assert_nothing_confirmed_unseen(user).await;
        }
    }
}

fn name_of(user: u64) -> &'static str {
    if user == 1 { "support" } else { "sales" }
}

/// A fault for user 1 only, until it is removed.
fn lasting(fault: Value) -> Value {
    let mut fault = fault;
    fault["user"] = 1.into();
    fault["times"] = 1_000_000.into();
    fault
}

#[tokio::test]
async fn one_source_is_parked_with_reason_and_cure_while_the_other_goes_on() {
    let pair = Pair::begin().await;
    let error = |status: u16, code: &str| json!({"kind": "error", "status": status, "code": code});
    for (fault, reason, hint) in [
        (error(401, "INVALID_CREDENTIALS"), "INVALID_CREDENTIALS (HTTP 401)", "create the incoming webhook"),
        (error(401, "insufficient_scope"), "insufficient_scope (HTTP 401)", "tick the scopes"),
        (error(401, "OVERLOAD_LIMIT"), "OVERLOAD_LIMIT (HTTP 401)", "ask its support"),
        (error(401, "expired_token"), "expired_token (HTTP 401)", "create the incoming webhook"),
        (error(401, "INVALID_REQUEST"), "INVALID_REQUEST (HTTP 401)", "https"),
        (
            error(404, "ERROR_METHOD_NOT_FOUND"),
            "ERROR_METHOD_NOT_FOUND (HTTP 404)",
            "tick the scopes it lacks",
        ),
        (
            json!({"kind": "html", "status": 403}),
            "a web page instead of the portal's answer (HTTP 403, text/html)",
            "firewall",
        ),
        (
            json!({"kind": "redirect", "status": 302, "location": "https://portal.example/login/"}),
            "a redirect to https://portal.example (not followed)",
            "check the address",
        ),
    ] {
        let before = pair.parked_count();
        pair.portal.fault(lasting(fault)).await;
        pair.until_parked(before + 1).await;
        pair.portal.record(1, 5).await;
        pair.goes_on(2).await;

        let line = pair.parked_line(before);
        assert!(line.contains("source=\"support\"") && line.contains(" ERROR "), "{line}");
        assert!(line.contains(reason) && line.contains(hint), "{line}");
        pair.until_told("support", &[reason, hint]).await;
        assert_eq!(pair.trouble("sales").await, "");

        pair.mend().await;
        pair.goes_on(1).await;
        assert_eq!(pair.trouble("support").await, "");
    }
    assert!(!pair.relay.log().contains(&pair.portal.code(1)));
    pair.end().await;
}

#[tokio::test]
async fn a_closed_portal_is_probed_until_it_is_back() {
    let pair = Pair::begin().await;
    pair.portal.post("portal", json!({"closed": true})).await;
    // The first refusal of both sources, then several probes.
    for probe in 1..=5 {
        pair.until_parked(2 * probe).await;
        pair.relay.signal(Signal::HUP);
    }
    for (user, source) in [(1, "support"), (2, "sales")] {
        pair.portal.record(user, 20).await;
        pair.until_told(source, &["PORTAL_DELETED", "by itself"]).await;
    }
    pair.until_parked(12).await;
    pair.portal.post("portal", json!({"closed": false})).await;
    pair.relay.signal(Signal::HUP);
    for (user, source) in [(1, "support"), (2, "sales")] {
        pair.until_filed(user).await;
        assert_eq!(pair.trouble(source).await, "");
    }
    pair.end().await;
}

#[tokio::test]
async fn a_doubtful_refusal_is_tried_five_times_before_a_person_is_called() {
    for (times, is_parked) in [(5, false), (6, true)] {
        let pair = Pair::begin().await;
        pair.portal
            .fault(json!({"kind": "error", "status": 400, "code": "NEVER_SEEN", "user": 1, "times": times}))
            .await;
        // Each wait is ended early. The last fault leaves a healthy source or a parked one.
        until("all faults are thrown", async || {
            pair.relay.signal(Signal::HUP);
            pair.portal.faults_left().await == 0
        })
        .await;
        if is_parked {
            pair.until_parked(1).await;
            let line = pair.parked_line(0);
            assert!(line.contains("attempt=6") && line.contains("NEVER_SEEN"), "{line}");
        }
        pair.relay.signal(Signal::HUP);
        pair.goes_on(1).await;
        pair.relay.until_logged("the portal answers again").await;
        assert_eq!(pair.parked_count(), usize::from(is_parked), "{}", pair.relay.log());
        pair.goes_on(2).await;
        pair.end().await;
    }
}

#[tokio::test]
async fn a_lost_subscription_is_healed_once_and_then_a_matter_for_a_person() {
    let pair = Pair::begin().await;
    let fault = json!({"kind": "error", "status": 400, "code": "USER_NOT_SUBSCRIBED"});
    pair.portal.fault(lasting(fault)).await;
    let subscribes = pair.portal.stats(1).await["subscribes"].as_u64().unwrap();
    until("a person is called", async || {
        pair.relay.signal(Signal::HUP);
        pair.parked_count() > 0
    })
    .await;
    assert!(pair.portal.stats(1).await["subscribes"].as_u64().unwrap() > subscribes);
    pair.until_told("support", &["USER_NOT_SUBSCRIBED", "b24relay subscribe support"]).await;
    pair.goes_on(2).await;
    pair.mend().await;
    pair.goes_on(1).await;
    pair.end().await;
}

/// Starts a portal and breaks it. A drain ends and reports `words`. A daemon reports them, keeps running, and continues
/// after `mend`.
async fn assert_parked(
    spoil: impl AsyncFn(&Portal, Setup) -> Setup,
    words: &[&str],
    mend: impl AsyncFn(&Portal),
) {
    let portal = Portal::start().await;
    portal.record(1, 3).await;
    let setup = spoil(&portal, Setup::new()).await.with_file();
    let said = setup.assert_refused(77, words).await;
    assert!(!said.contains(&portal.code(1)) && !said.contains("wr0ngc0de"), "{said}");
    assert_eq!(portal.stats(1).await["confirmed"], 0);

    let mut relay = setup.run();
    relay.until_logged("b24relay started").await;
    let parked =
        async || setup.status_of("support").await["trouble"].as_str().unwrap_or_default().contains(words[0]);
    until("it is parked again", parked).await;
    mend(&portal).await;
    until("it goes on by itself", async || {
        relay.signal(Signal::HUP);
        setup.filed_count() == 3
    })
    .await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
}

#[tokio::test]
async fn a_daemon_whose_every_source_is_refused_at_its_start_stays_and_goes_on_by_itself() {
    assert_parked(
        async |portal, setup| {
            portal.post("portal", json!({"closed": true})).await;
            setup.with_source(portal).with_user(portal, "sales", 2, 1000)
        },
        &["PORTAL_DELETED", "closed or gone", "source=\"support\"", "source=\"sales\""],
        async |portal| {
            portal.post("portal", json!({"closed": false})).await;
        },
    )
    .await;
    assert_parked(
        async |portal, setup| {
            let url = portal.webhook_url(1).replace(&portal.code(1), "wr0ngc0de");
            setup
                .with_unlimited(portal)
                .with(&format!("[sources.support]\nwebhook_url = \"{url}\"\nconfirm_lag = \"2s\""))
        },
        &["INVALID_CREDENTIALS", "create the incoming webhook again"],
        async |portal| {
            portal.post("users/1", json!({"code": "wr0ngc0de"})).await;
        },
    )
    .await;
    assert_parked(
        async |portal, setup| {
            portal.post("users/1", json!({"scopes": ["crm"]})).await;
            setup.with_source(portal)
        },
        &["insufficient_scope", "tick the scopes"],
        async |portal| {
            portal.post("users/1", json!({"scopes": ["im"]})).await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_daemon_of_which_one_source_is_refused_at_its_start_stays() {
    let portal = Portal::start().await;
    portal.post("users/1", json!({"active": false})).await;
    let setup = two_sources(&portal);
    let pair = Pair { relay: setup.run(), setup, portal };
    pair.until_parked(1).await;
    pair.goes_on(2).await;
    pair.until_told("support", &["dismissed or inactive"]).await;
    pair.portal.post("users/1", json!({"active": true})).await;
    pair.relay.signal(Signal::HUP);
    pair.goes_on(1).await;
    pair.end().await;
}
