//! Sources with an application login instead of a webhook, and the application at the portal.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Output, Stdio};

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::expected::ledger::assert_exactly_once;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, code, command, finished, stderr, stdout};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;

/// The bot of the application.
pub(crate) const BOT: u64 = 1003;

impl Portal {
    async fn app(&self, action: &str, body: Value) -> Value {
        self.post(&format!("apps/{}/{action}", self.sandbox.client_id()), body).await
    }

    pub(crate) async fn set_app(&self, mut changes: Value) {
        changes["client_id"] = self.sandbox.client_id().into();
        self.post("apps", changes).await;
    }

    /// A pair of tokens for `user`, in the form of the authorization server's answer.
    pub(crate) async fn tokens(&self, user: u64) -> Value {
        self.app("login", json!({"user": user})).await
    }

    /// Expires every access token.
    pub(crate) async fn expire(&self) {
        self.app("expire", json!({})).await;
    }

    /// Makes every access token unknown.
    pub(crate) async fn forget(&self) {
        self.app("forget", json!({})).await;
    }

    /// Replaces the answer to the next refresh.
    pub(crate) async fn next_refresh(&self, lie: Value) {
        self.app("next_refresh", lie).await;
    }

    pub(crate) async fn add_bot(&self) {
        let bot =
            json!({"id": BOT, "code": "porter", "name": "Porter", "client_id": self.sandbox.client_id()});
        self.post("bots", bot).await;
    }

    /// Scripts the next answers of the authorization server.
    pub(crate) async fn token_fault(&self, mut fault: Value) {
        fault["method"] = "oauth/token".into();
        self.post("faults", fault).await;
    }

    /// How many calls of `method` the portal received; `oauth/token` counts as one, too.
    pub(crate) async fn requests(&self, method: &str) -> u64 {
        let stats = self.control(Method::GET, "stats", Value::Null).await;
        stats["requests"][method].as_u64().unwrap_or(0)
    }

    pub(crate) async fn stats_of_bot(&self, bot: u64) -> Value {
        let stats = self.control(Method::GET, "stats", Value::Null).await;
        stats["bots"][bot.to_string()].clone()
    }

    pub(crate) async fn token_requests(&self) -> u64 {
        self.requests("oauth/token").await
    }

    /// The redirect address for the browser of `user` after the user has agreed.
    pub(crate) async fn agree(&self, authorize_url: &str, user: u64) -> String {
        let client = b24_client::http::build(
            &authorize_url.parse().unwrap(),
            crate::support::process::waiting::PATIENCE,
        );
        let answer = client.unwrap().get(format!("{authorize_url}&user={user}")).send().await.unwrap();
        assert_eq!(answer.status(), 302, "{authorize_url}");
        answer.headers()["location"].to_str().unwrap().to_owned()
    }
}

impl Setup {
    /// A source that logs in to the portal's application.
    pub(crate) fn with_login(self, portal: &Portal, name: &str) -> Self {
        self.with_login_and_idle(portal, name, "20ms")
    }

    /// The same with this poll interval.
    pub(crate) fn with_login_and_idle(self, portal: &Portal, name: &str, idle: &str) -> Self {
        let base = portal.sandbox.base_url();
        self.with_login_at(portal, name, idle, [&base, &base])
    }

    /// The same, with the portal and the authorization server at these addresses.
    pub(crate) fn with_login_at(self, portal: &Portal, name: &str, idle: &str, addresses: [&str; 2]) -> Self {
        let (id, secret) = (portal.sandbox.client_id(), portal.sandbox.client_secret());
        let [address, server] = addresses;
        let host = address.trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
        self.with_unlimited_at(host).with(&format!(
            "[sources.{name}]\npoll = {{ idle = \"{idle}\", idle_max = \"5m\", busy = \"0s\", timeout = \"5s\" }}\n\
             [sources.{name}.oauth]\nportal = \"{address}\"\nserver = \"{server}\"\n\
             client_id = \"{id}\"\nclient_secret = \"{secret}\""
        ))
    }

    /// A source that reads the application's bot with the login of `owner`.
    pub(crate) fn with_bot(self, name: &str, owner: &str) -> Self {
        self.with(&format!(
            "[sources.{name}]\nkind = \"bot\"\nbot_id = {BOT}\noauth = {{ grant = \"{owner}\" }}\n\
             poll = {{ idle = \"20ms\", busy = \"0s\", timeout = \"5s\" }}"
        ))
    }

    /// Runs `login` with `tokens` and the further arguments `args`.
    pub(crate) async fn give(&self, source: &str, tokens: &Value, args: &[&str]) -> Output {
        let file = self.path("pair.json");
        std::fs::write(&file, tokens.to_string()).unwrap();
        let login = ["login", source, "--tokens", "pair.json", "--log-level", "trace"];
        let output = finished(&[&login, args].concat(), self.folder()).await;
        std::fs::remove_file(file).unwrap();
        output
    }

    /// Logs `user` in for `source`.
    pub(crate) async fn log_in(&self, portal: &Portal, source: &str, user: u64) {
        let output = self.give(source, &portal.tokens(user).await, &[]).await;
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert!(stdout(&output).contains(&format!("(user {user})")), "{}", stdout(&output));
    }

    /// Runs `login`, and pastes the result of `answer` for the address that it prints.
    pub(crate) async fn paste(&self, source: &str, answer: impl AsyncFnOnce(&str) -> String) -> Output {
        let mut login = command();
        login.args(["login", source, "--log-level", "trace"]).current_dir(self.folder());
        let pipes = login.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let (mut stdout, line) = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            (stdout, line)
        })
        .await
        .unwrap();
        let mut complaint = String::new();
        if line.is_empty() {
            child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
        }
        assert!(!line.is_empty(), "no address: {complaint}");
        let pasted = answer(line.trim()).await;
        child.stdin.take().unwrap().write_all(format!("{pasted}\n").as_bytes()).unwrap();
        tokio::task::spawn_blocking(move || {
            let mut printed = line.into_bytes();
            stdout.read_to_end(&mut printed).unwrap();
            Output { stdout: printed, ..child.wait_with_output().unwrap() }
        })
        .await
        .unwrap()
    }
}

/// The code in the redirect address.
pub(crate) fn code_in(location: &str) -> String {
    location.split_once("code=").unwrap().1.split('&').next().unwrap().to_owned()
}

/// A relay whose two sources share one login: user 1's queue and a bot's.
pub(crate) struct Office {
    pub portal: Portal,
    pub setup: Setup,
    pub relay: Relay,
}

impl Office {
    pub(crate) async fn open() -> Self {
        Self::open_with("").await
    }

    /// The same with more lines at the top of the configuration.
    pub(crate) async fn open_with(lines: &str) -> Self {
        let portal = Portal::start().await;
        portal.add_bot().await;
        let setup =
            Setup::new().with(lines).with_login(&portal, "office").with_bot("porter", "office").with_file();
        setup.log_in(&portal, "office", 1).await;
        let relay = setup.run();
        // If a source were refused before its first success, the relay would exit.
        until("both are let in", async || {
            portal.polls().await > 0 && portal.requests("imbot.v2.Event.get").await > 0
        })
        .await;
        // If it were stopped during a write, the state file would stay locked for other processes.
        until("that is on record", async || {
            let [office, porter] = [setup.status_of("office").await, setup.status_of("porter").await];
            !office["polled_ms"].is_null() && !porter["polled_ms"].is_null()
        })
        .await;
        Self { portal, setup, relay }
    }

    /// Records five events for each of the two.
    pub(crate) async fn record(&self) {
        self.portal.record(1, 5).await;
        self.portal.record_as(json!({"bot": BOT, "count": 5, "type": "ONIMBOTV2MESSAGEADD"})).await;
    }

    pub(crate) async fn record_and_await(&self, why: &str) {
        self.record().await;
        self.await_all(why).await;
    }

    async fn recorded(&self) -> Vec<u64> {
        let path = format!("ledger?bot={BOT}");
        let of_bot = self.portal.control(Method::GET, &path, Value::Null).await;
        let of_bot = of_bot["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap());
        let mut ids: Vec<u64> = self.portal.ids(1).await.into_iter().chain(of_bot).collect();
        ids.sort_unstable();
        ids
    }

    pub(crate) async fn await_all(&self, why: &str) {
        let recorded = self.recorded().await;
        until(&format!("everything filed after {why}:\n{}", self.relay.log()), async || {
            self.setup.filed_count() >= recorded.len()
        })
        .await;
    }

    /// Changes the pair of tokens while neither source is in the middle of a call.
    pub(crate) async fn break_pair(&self, action: &str, body: Value) {
        self.relay.signal(Signal::STOP);
        self.portal.app(action, body).await;
        self.relay.signal(Signal::CONT);
    }

    fn parked_count(&self) -> usize {
        self.relay.log().lines().filter(|line| is_parked(line)).count()
    }

    /// Waits until each of the two was refused `round` times with an error that needs an operator.
    pub(crate) async fn until_parked(&self, round: usize) {
        until("both are parked", async || {
            ["source=\"office\"", "source=\"porter\""].iter().all(|source| {
                let log = self.relay.log();
                let lines = log.lines().filter(|line| is_parked(line));
                lines.filter(|line| line.contains(source)).count() >= round
            })
        })
        .await;
    }

    /// Sends SIGHUP, and waits until the user's parked source has called `profile`.
    pub(crate) async fn probe(&self) {
        let asked = self.portal.requests("profile").await;
        self.relay.signal(Signal::HUP);
        until("another probe", async || self.portal.requests("profile").await > asked).await;
    }

    /// Sends SIGHUP until both sources are polled again.
    pub(crate) async fn until_healed(&self) {
        let before = [self.portal.polls().await, self.portal.requests("imbot.v2.Event.get").await];
        until("both poll again", async || {
            self.relay.signal(Signal::HUP);
            let now = [self.portal.polls().await, self.portal.requests("imbot.v2.Event.get").await];
            now[0] > before[0] + 3 && now[1] > before[1] + 3
        })
        .await;
    }

    /// Applies `fault` to a refresh: both sources are parked after one request and report `words`. They recover after a
    /// SIGHUP.
    pub(crate) async fn is_parked_by(&self, fault: Value, words: &[&str]) {
        let (parked, asked) = (self.parked_count(), self.portal.token_requests().await);
        self.relay.signal(Signal::STOP);
        // A fault for each of the two sources, in case they refresh one after the other.
        let mut fault = fault;
        fault["times"] = 2.into();
        self.portal.token_fault(fault.clone()).await;
        self.portal.expire().await;
        self.record().await;
        self.relay.signal(Signal::CONT);
        until(&format!("parked by {fault}"), async || self.parked_count() == parked + 2).await;
        let log = self.relay.log();
        for words in words {
            assert!(log.contains(words), "no `{words}` in:\n{log}");
        }
        let asked = self.portal.token_requests().await - asked;
        assert!((1..=2).contains(&asked), "{asked} requests");
        self.portal.control(Method::DELETE, "faults", Value::Null).await;
        self.relay.signal(Signal::HUP);
        self.await_all(&fault.to_string()).await;
    }

    /// kill -9 after the server has rotated the tokens and before its answer has arrived.
    pub(crate) async fn kill_in_refresh(&mut self) {
        self.portal.token_fault(json!({"kind": "stall", "seconds": 60})).await;
        self.portal.expire().await;
        self.record().await;
        let portal = &self.portal;
        until("the refresh is under way", async || portal.token_requests().await == 1).await;
        self.relay.kill();
    }

    /// Everything arrived once, nothing was confirmed unread, and the relay stops without an error.
    pub(crate) async fn end(mut self) {
        let mut filed = self.setup.filed_ids();
        filed.sort_unstable();
        assert_exactly_once(&filed, &self.recorded().await);
        self.portal.assert_nothing_confirmed_unseen(1).await;
        let stats = self.portal.stats_of_bot(BOT).await;
        assert_eq!(stats["confirmed_unserved"], 0, "{stats}");
        assert_eq!(self.relay.stop().await, 0, "{}", self.relay.log());
    }
}

/// The redirect address with `code`, as the answer to the login at `url`.
pub(crate) fn answer_with(code: &str, url: &str) -> String {
    let state = url.rsplit_once("state=").unwrap().1;
    format!("https://app.example/landed?code={code}&state={state}")
}

/// Whether a log line says that a source needs an operator.
pub(crate) fn is_parked(line: &str) -> bool {
    ["the portal refuses this source", "the source cannot be polled"].iter().any(|words| line.contains(words))
}
