//! The fixture of the sandbox's tests: a sandbox and its client.

use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Sandbox;
use crate::SandboxConfig;
use crate::SeedRequest;

/// The timeout of all waits in tests.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A sandbox, and a client that follows no redirects and gives up after [`PATIENCE`].
pub(super) struct Bench {
    pub sandbox: Sandbox,
    pub client: Client,
}

impl Bench {
    pub(super) async fn new(config: SandboxConfig) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        #[expect(clippy::disallowed_methods, reason = "the sandbox's room knows no other room")]
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .no_proxy()
            .build()
            .unwrap();
        Self { sandbox: Sandbox::start(config).await.unwrap(), client }
    }

    pub(super) async fn subscribed() -> Self {
        Self::new(SandboxConfig { subscribed: true, ..SandboxConfig::default() }).await
    }

    pub(super) fn url(&self, method: &str) -> String {
        self.sandbox.webhook_url(1) + method
    }

    pub(super) async fn send(&self, method: &str, body: Value) -> reqwest::Result<reqwest::Response> {
        let request = self.client.post(self.url(method)).header("content-type", "application/json");
        request.body(body.to_string()).send().await
    }

    pub(super) async fn call(&self, method: &str, body: Value) -> (StatusCode, Value) {
        let response = self.send(method, body).await.unwrap();
        (response.status(), serde_json::from_str(&response.text().await.unwrap()).unwrap())
    }

    /// A call of the first application with `token`.
    pub(super) async fn call_as(&self, token: &str, method: &str, body: Value) -> (StatusCode, Value) {
        let request = self.client.post(format!("{}rest/{method}", self.sandbox.base_url()));
        let request = request.header("content-type", "application/json").bearer_auth(token);
        let response = request.body(body.to_string()).send().await.unwrap();
        (response.status(), serde_json::from_str(&response.text().await.unwrap()).unwrap())
    }

    /// Tokens of the first application for `user`.
    pub(super) async fn login(&self, user: u64) -> Value {
        self.control(&format!("apps/{}/login", self.sandbox.client_id()), json!({"user": user})).await
    }

    /// An access token of the first application for `user`.
    pub(super) async fn token(&self, user: u64) -> String {
        self.login(user).await["access_token"].as_str().unwrap().to_owned()
    }

    pub(super) async fn poll(&self, offset: u64) -> Vec<u64> {
        let (status, json) = self.call("im.v2.Event.get", json!({"offset": offset, "limit": 1000})).await;
        assert_eq!(status, StatusCode::OK, "{json}");
        ids(&json)
    }

    /// The whole body, or the error while reading it.
    pub(super) async fn read(&self) -> reqwest::Result<String> {
        self.send("im.v2.Event.get", json!({"offset": 1})).await?.text().await
    }

    pub(super) async fn control(&self, path: &str, body: Value) -> Value {
        let url = format!("http://{}/sandbox/{path}", self.sandbox.address());
        let response = self.client.post(url).body(body.to_string()).send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert_eq!(status, StatusCode::OK, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    pub(super) async fn fault(&self, fault: Value) {
        self.control("faults", fault).await;
    }

    pub(super) fn record(&self, count: u32) -> Vec<u64> {
        self.sandbox.record(&SeedRequest { user: 1, count: Some(count), ..SeedRequest::default() }).unwrap();
        self.sandbox.ledger(1)
    }

    /// Sends `request` over a plain connection and returns all bytes until the portal closes it.
    pub(super) async fn raw(&self, request: String) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.sandbox.address()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A reset counts as the end, too.
        let end = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        end.expect("the portal closes the connection").ok();
        answer
    }

    pub(super) async fn raw_poll(&self, connection: &str) -> Vec<u8> {
        let url = self.url("im.v2.Event.get?offset=1");
        let path = url.split_once(&self.sandbox.address().to_string()).unwrap().1;
        self.raw(format!("GET {path} HTTP/1.1\r\nHost: sandbox\r\nConnection: {connection}\r\n\r\n")).await
    }
}

/// The event ids of a page.
pub(super) fn ids(json: &Value) -> Vec<u64> {
    let events = json["result"]["events"].as_array().unwrap();
    events.iter().map(|event| event["eventId"].as_u64().unwrap()).collect()
}
