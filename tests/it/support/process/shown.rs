//! A relay with `[http]` for one test.

use b24_client::http;
use reqwest::{Client, Response, StatusCode, Url};

use crate::support::process::relay::Relay;
use crate::support::process::setup::Setup;
use crate::support::process::waiting::PATIENCE;

/// Enables `[http]`; further settings of `[http]` may follow.
pub(crate) const LISTEN: &str = "[http]\nlisten = \"127.0.0.1:0\"";

pub(crate) struct Shown {
    pub relay: Relay,
    pub base: Url,
    pub client: Client,
    /// Added to each request that has no token.
    token: Option<&'static str>,
}

impl Shown {
    /// A relay whose `http.token` is `token`.
    pub(crate) async fn start_with(setup: &Setup, token: &'static str) -> Self {
        Self { token: Some(token), ..Self::start(setup).await }
    }

    pub(crate) async fn start(setup: &Setup) -> Self {
        Self::of(setup.run()).await
    }

    /// Uses a relay that was started in another way.
    pub(crate) async fn of(relay: Relay) -> Self {
        relay.until_logged("metrics and health are at").await;
        let log = relay.log();
        let address = log.split("health are at ").nth(1).unwrap().split([' ', '\n', '"']).next().unwrap();
        let base: Url = address.parse().unwrap();
        let client = http::build(&base, PATIENCE).unwrap();
        Self { relay, base, client, token: None }
    }

    pub(crate) async fn ask(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = self.client.get(self.base.join(path).unwrap());
        if let Some(token) = self.token.filter(|_| headers.iter().all(|(name, _)| *name != "authorization")) {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    pub(crate) async fn text(&self, path: &str) -> (StatusCode, String) {
        let response = self.ask(path, &[]).await;
        (response.status(), response.text().await.unwrap())
    }

    /// The value of a metric with exactly these labels.
    pub(crate) async fn metric(&self, line: &str) -> Option<f64> {
        let (status, text) = self.text("metrics").await;
        assert_eq!(status, 200, "{text}");
        let value = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
        value.map(|value| value.parse().unwrap())
    }
}
