//! A sandbox portal for one test, and its control interface.

use b24_client::http;
use b24_sandbox::{Sandbox, SandboxConfig};
use reqwest::{Client, Method, Url};
use serde_json::{Value, json};

use crate::support::process::waiting::PATIENCE;

pub(crate) struct Portal {
    pub sandbox: Sandbox,
    base: Url,
    client: Client,
}

impl Portal {
    /// A portal on a free port. Its users are subscribed, and no events happen without a request.
    pub(crate) async fn start() -> Self {
        Self::start_with(SandboxConfig { subscribed: true, ..SandboxConfig::default() }).await
    }

    pub(crate) async fn start_with(config: SandboxConfig) -> Self {
        let sandbox = Sandbox::start(config).await.unwrap();
        let base: Url = format!("http://{}/sandbox/", sandbox.address()).parse().unwrap();
        let client = http::build(&base, PATIENCE).unwrap();
        Self { sandbox, base, client }
    }

    /// `http://HOST:PORT/`.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/", self.sandbox.address())
    }

    pub(crate) fn webhook_url(&self, user: u64) -> String {
        self.sandbox.webhook_url(user)
    }

    /// The secret part of a user's webhook.
    pub(crate) fn code(&self, user: u64) -> String {
        self.webhook_url(user).trim_end_matches('/').rsplit('/').next().unwrap().to_owned()
    }

    pub(crate) async fn control(&self, method: Method, path: &str, body: Value) -> Value {
        let url = self.base.join(path).unwrap();
        let request = self.client.request(method, url).header("content-type", "application/json");
        let response = request.body(body.to_string()).send().await.unwrap();
        let status = response.status();
        let text = String::from_utf8(response.bytes().await.unwrap().to_vec()).unwrap();
        assert!(status.is_success(), "{path}: {status}: {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        self.control(Method::POST, path, body).await
    }

    /// Records `count` events for `user`.
    pub(crate) async fn record(&self, user: u64, count: usize) {
        self.record_as(json!({"user": user, "count": count})).await;
    }

    pub(crate) async fn record_as(&self, events: Value) {
        let recorded = self.post("events", events.clone()).await;
        assert_eq!(recorded["count"], events["count"], "{recorded}");
    }

    /// Scripts the next answers to polls.
    pub(crate) async fn fault(&self, fault: Value) {
        let mut fault = fault;
        fault["method"] = "im.v2.Event.get".into();
        self.post("faults", fault).await;
    }

    /// The portal's answer to another client with the user's webhook.
    pub(crate) async fn raw(&self, user: u64, call: &str) -> String {
        let url = format!("{}{call}", self.webhook_url(user));
        let response = self.client.get(url).send().await.unwrap();
        String::from_utf8(response.bytes().await.unwrap().to_vec()).unwrap()
    }

    pub(crate) async fn stats(&self, user: u64) -> Value {
        let stats = self.control(Method::GET, "stats", Value::Null).await;
        stats["users"][user.to_string()].clone()
    }

    pub(crate) async fn bot_stats(&self, bot: u64) -> Value {
        let stats = self.control(Method::GET, "stats", Value::Null).await;
        stats["bots"][bot.to_string()].clone()
    }

    /// How many calls of `method` the portal received.
    pub(crate) async fn requests_of(&self, method: &str) -> u64 {
        let stats = self.control(Method::GET, "stats", Value::Null).await;
        stats["requests"][method].as_u64().unwrap_or(0)
    }

    /// How many scripted faults are still unused.
    pub(crate) async fn faults_left(&self) -> u64 {
        let stats = self.control(Method::GET, "stats", Value::Null).await;
        stats["faults_left"].as_u64().unwrap()
    }

    pub(crate) async fn polls(&self) -> u64 {
        self.requests_of("im.v2.Event.get").await
    }

    /// Every id ever recorded for `user`, ascending.
    pub(crate) async fn ids(&self, user: u64) -> Vec<u64> {
        self.ledger(&format!("ledger?user={user}")).await
    }

    /// Every id ever recorded for `bot`, ascending.
    pub(crate) async fn bot_ids(&self, bot: u64) -> Vec<u64> {
        self.ledger(&format!("ledger?bot={bot}")).await
    }

    async fn ledger(&self, path: &str) -> Vec<u64> {
        let ledger = self.control(Method::GET, path, Value::Null).await;
        ledger["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect()
    }

    /// Asserts that the portal never deleted an event that it had not returned before.
    pub(crate) async fn assert_nothing_confirmed_unseen(&self, user: u64) {
        let stats = self.stats(user).await;
        assert_eq!(stats["confirmed_unserved"], 0, "{stats}");
    }
}
