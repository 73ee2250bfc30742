//! A folder with a configuration, removed at the end of the test.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::expected::ledger;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, code, finished, stderr};
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::Receiver;
use crate::support::state::state_rows;

/// Short delays, so that tests wait only briefly.
const RETRY: &str = r#"retry = { min = "10ms", max = "100ms" }"#;

pub(crate) struct Setup {
    folder: TempDir,
    text: String,
    unlimited: BTreeSet<SocketAddr>,
    lag: &'static str,
}

impl Setup {
    /// A state in its own folder, no sources, no sinks.
    pub(crate) fn new() -> Self {
        let text = "state = \"b24relay.db\"\n".into();
        Self { folder: TempDir::new().unwrap(), text, unlimited: BTreeSet::new(), lag: "50ms" }
    }

    /// A new, empty configuration in the same folder.
    pub(crate) fn anew(self) -> Self {
        Self { text: Self::new().text, unlimited: BTreeSet::new(), ..self }
    }

    /// Sets the `confirm_lag` of the sources that are added from now on.
    pub(crate) fn with_lag(self, lag: &'static str) -> Self {
        Self { lag, ..self }
    }

    /// Adds lines at the end.
    pub(crate) fn with(mut self, lines: &str) -> Self {
        writeln!(self.text, "{lines}").unwrap();
        std::fs::write(self.path("b24relay.toml"), &self.text).unwrap();
        self
    }

    /// Configures the portal without a rate limit. The rate limit is tested in `budget`.
    pub(crate) fn with_unlimited(self, portal: &Portal) -> Self {
        self.with_unlimited_at(portal.sandbox.address())
    }

    /// The same for the portal at `address`.
    pub(crate) fn with_unlimited_at(mut self, address: SocketAddr) -> Self {
        if !self.unlimited.insert(address) {
            return self;
        }
        self.with(&format!("[portals.\"{address}\"]\nplan = \"self-hosted\""))
    }

    /// A source `support` that polls the portal's user 1 almost without pauses.
    pub(crate) fn with_source(self, portal: &Portal) -> Self {
        self.with_user(portal, "support", 1, 1000)
    }

    /// Like [`Setup::with_user`], with the current address of the portal.
    pub(crate) fn with_user_anywhere(self, portal: &Portal, name: &str, user: u64) -> Self {
        let url = portal.webhook_url(user);
        let address = url.split('/').nth(2).unwrap().parse().unwrap();
        self.with_unlimited_at(address).with_source_at(name, &url, 1000)
    }

    pub(crate) fn with_user(self, portal: &Portal, name: &str, user: u64, limit: u16) -> Self {
        self.with_unlimited(portal).with_source_at(name, &portal.webhook_url(user), limit)
    }

    fn with_source_at(self, name: &str, url: &str, limit: u16) -> Self {
        let lag = self.lag;
        self.with(&format!(
            "[sources.{name}]\nwebhook_url = \"{url}\"\nconfirm_lag = \"{lag}\"\n\
             poll = {{ idle = \"20ms\", busy = \"0s\", limit = {limit}, timeout = \"5s\" }}"
        ))
    }

    pub(crate) fn with_file(self) -> Self {
        self.with(&format!("[sinks.archive]\ntype = \"file\"\npath = \"events.jsonl\"\n{RETRY}"))
    }

    /// A file sink for one source.
    pub(crate) fn with_file_of(self, source: &str) -> Self {
        self.with(&format!(
            "[sinks.{source}]\ntype = \"file\"\npath = \"{source}.jsonl\"\nsources = [\"{source}\"]\n{RETRY}"
        ))
    }

    pub(crate) fn with_stdout(self) -> Self {
        self.with("[sinks.console]\ntype = \"stdout\"")
    }

    /// A webhook sink that sends one event after the other.
    pub(crate) fn with_receiver(self, receiver: &Receiver) -> Self {
        self.with_receiver_in(receiver, "ordering = \"strict\"")
    }

    /// A webhook sink with further settings. Its timeout is the usual one: on a busy machine, a receiver can accept an
    /// event and answer later than in a second, and the event would arrive twice.
    pub(crate) fn with_receiver_in(self, receiver: &Receiver, keys: &str) -> Self {
        let url = receiver.url();
        self.with(&format!("[sinks.crm]\ntype = \"webhook\"\nurl = \"{url}\"\n{RETRY}\n{keys}"))
    }

    /// Like [`Setup::with_receiver`], for a receiver that leaves requests without an answer.
    pub(crate) fn with_silent_receiver(self, receiver: &Receiver) -> Self {
        self.with_receiver_in(receiver, "ordering = \"strict\"\ntimeout = \"1s\"")
    }

    /// A webhook sink at `url` with further settings.
    pub(crate) fn with_webhook(self, name: &str, url: &str, lines: &str) -> Self {
        self.with(&format!(
            "[sinks.{name}]\ntype = \"webhook\"\nurl = \"{url}\"\ntimeout = \"5s\"\n{RETRY}\n{lines}"
        ))
    }

    /// The error of a sink in `state`, once there is one.
    pub(crate) async fn trouble_of(&self, sink: &str, state: &str) -> String {
        let mut lane = Value::Null;
        until(&format!("`{sink}` is {state}"), async || {
            lane = self.lane_of(sink).await;
            lane["state"] == state
        })
        .await;
        lane["trouble"].as_str().unwrap().to_owned()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn run(&self) -> Relay {
        Relay::start(self.folder(), &[])
    }

    /// Starts a daemon that logs all of `words` and keeps running; returns its log.
    pub(crate) async fn assert_stays(&self, words: &[&str]) -> String {
        std::fs::remove_file(self.path("err")).ok();
        let mut relay = self.run();
        for word in words {
            relay.until_logged(word).await;
        }
        assert!(relay.is_running(), "{}", relay.log());
        assert_eq!(relay.stop().await, 0, "{}", relay.log());
        relay.log()
    }

    /// Asserts that a refusal ends a drain with `code_expected`, but does not end a daemon, and that both log all of
    /// `words`.
    pub(crate) async fn assert_refused(&self, code_expected: i32, words: &[&str]) -> String {
        let log = self.assert_stays(words).await;
        let once = finished(&["run", "--once"], self.folder()).await;
        assert_eq!(code(&once), code_expected, "{}", stderr(&once));
        for word in words {
            assert!(stderr(&once).contains(word), "no `{word}` in: {}", stderr(&once));
        }
        log + &stderr(&once)
    }

    /// Asserts that a mistake in the configuration ends both a daemon and a drain with 78, and that both log `words`.
    pub(crate) async fn assert_mistaken(&self, words: &[&str]) {
        for args in [["run"].as_slice(), &["run", "--once"]] {
            let ended = finished(args, self.folder()).await;
            assert_eq!(code(&ended), 78, "{args:?}: {}", stderr(&ended));
            for word in words {
                assert!(stderr(&ended).contains(word), "no `{word}` in: {}", stderr(&ended));
            }
        }
    }

    /// The report of `status --json` about a source.
    pub(crate) async fn status_of(&self, source: &str) -> Value {
        if !self.path("b24relay.db").exists() {
            return Value::Null;
        }
        let status = finished(&["status", "--json"], self.folder()).await;
        assert!(matches!(code(&status), 0 | 69), "{}", stderr(&status));
        let report: Value = serde_json::from_slice(&status.stdout).unwrap();
        let sources = report["sources"].as_array().unwrap();
        sources.iter().find(|other| other["name"] == source).cloned().unwrap_or(Value::Null)
    }

    /// The report of `status --json` about a lane of `support`.
    pub(crate) async fn lane_of(&self, sink: &str) -> Value {
        self.lane_at("support", sink).await
    }

    /// The report of `status --json` about a lane.
    pub(crate) async fn lane_at(&self, source: &str, sink: &str) -> Value {
        let status = finished(&["status", "--json"], self.folder()).await;
        let report: Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
        let lanes = report["lanes"].as_array().cloned().unwrap_or_default();
        lanes.into_iter().find(|lane| lane["sink"] == sink && lane["source"] == source).unwrap_or_default()
    }

    /// Waits until the lane to the sink `crm` is in `state`, and returns its report.
    pub(crate) async fn until_crm_is(&self, state: &str) -> Value {
        let mut lane = Value::Null;
        until(&format!("the lane is {state}"), async || {
            lane = self.lane_of("crm").await;
            lane["state"] == state
        })
        .await;
        lane
    }

    /// The output of `dead-letters list --json` with these filters.
    pub(crate) async fn letters(&self, filters: &[&str]) -> Vec<Value> {
        let list = finished(&[&["dead-letters", "list", "--json"], filters].concat(), self.folder()).await;
        assert_eq!(code(&list), 0, "{}", stderr(&list));
        let list: Value = serde_json::from_slice(&list.stdout).unwrap();
        list["dead_letters"].as_array().unwrap().clone()
    }

    /// The events of the dead letters, in the order of the list.
    pub(crate) async fn buried_ids(&self) -> Vec<u64> {
        let letters = self.letters(&[]).await;
        letters.iter().map(|letter| letter["event_id"].as_u64().unwrap()).collect()
    }

    /// Drains every source, which must succeed, and returns the log.
    pub(crate) async fn drain(&self) -> String {
        let once = finished(&["run", "--once"], self.folder()).await;
        assert_eq!(code(&once), 0, "{}", stderr(&once));
        stderr(&once)
    }

    /// The offset after all events that a lane has committed, as `status` computes it.
    pub(crate) fn committed_offset(&self, source: &str, sink: &str) -> u64 {
        // Before the first run there is no state file.
        state_rows::committed_offset(&self.path("b24relay.db"), source, sink).unwrap_or(1)
    }

    /// How many complete lines the file sink has written so far. The sink may still be writing.
    pub(crate) fn filed_count(&self) -> usize {
        let bytes = std::fs::read(self.path("events.jsonl")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).matches('\n').count()
    }

    /// The ids in the file sink's file; asserts that every line is complete. For use after the writer has finished.
    pub(crate) fn filed_ids(&self) -> Vec<u64> {
        ledger::ids_in(&self.path("events.jsonl"), false)
    }

    /// The ids in the file sink's file so far. The sink may still be writing.
    pub(crate) fn filed_so_far(&self) -> Vec<u64> {
        ledger::ids_in(&self.path("events.jsonl"), true)
    }

    /// The ids in the file of one source. The sink may still be writing.
    pub(crate) fn filed_ids_of(&self, source: &str) -> Vec<u64> {
        ledger::ids_in(&self.path(&format!("{source}.jsonl")), true)
    }

    /// The ids that were written to standard output in all runs.
    pub(crate) fn printed_ids(&self) -> Vec<u64> {
        ledger::ids_in(&self.path("out"), true)
    }
}
