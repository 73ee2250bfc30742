//! An emulated portal with a rate limiter, in this process. Its events contain the time at which they were made.

use std::time::{Duration, Instant};

use b24_client::http;
use b24_sandbox::{Sandbox, SandboxConfig, SeedRequest, Stats};
use reqwest::Url;
use serde_json::value::RawValue;

use crate::arrivals::MARK;

/// A portal whose users are all subscribed.
pub(crate) struct Portal {
    sandbox: Sandbox,
    epoch: Instant,
}

/// The requests of a reader, in total or within some time.
#[derive(Clone, Copy, Default)]
pub(crate) struct Asked {
    pub polls: u64,
    /// All requests, including polls.
    pub requests: u64,
    /// The requests that the rate limiter refused.
    pub refused: u64,
}

impl Portal {
    /// A portal that allows `burst` requests at once and `per_second` in the long run. The time stamps of its events
    /// are counted from `epoch`.
    pub(crate) async fn start(users: u32, burst: u32, per_second: u32, epoch: Instant) -> Self {
        let config = SandboxConfig { users, subscribed: true, ..SandboxConfig::default() };
        let sandbox = Sandbox::start(config).await.unwrap();
        let url: Url = format!("http://{}/sandbox/portal", sandbox.address()).parse().unwrap();
        let bucket = format!(r#"{{"bucket":{{"burst":{burst},"drain_per_s":{per_second}}}}}"#);
        let client = http::build(&url, Duration::from_secs(10)).unwrap();
        client.post(url).body(bucket).send().await.unwrap().error_for_status().unwrap();
        Self { sandbox, epoch }
    }

    /// `HOST:PORT`.
    pub(crate) fn authority(&self) -> String {
        self.sandbox.address().to_string()
    }

    pub(crate) fn webhook_url(&self, user: u64) -> String {
        self.sandbox.webhook_url(user)
    }

    /// Records an event for `user` now.
    pub(crate) fn record(&self, user: u64) {
        let data = format!("{{\"{MARK}\":{}}}", self.epoch.elapsed().as_micros());
        let data = Some(RawValue::from_string(data).unwrap());
        self.sandbox.record(&SeedRequest { user, data, ..SeedRequest::default() }).unwrap();
    }

    pub(crate) fn asked(&self) -> Asked {
        let Stats { requests, limited, .. } = self.sandbox.stats();
        Asked {
            polls: requests.get("im.v2.Event.get").copied().unwrap_or_default(),
            requests: requests.values().sum(),
            refused: limited,
        }
    }

    /// Waits until the portal was polled `count` times.
    pub(crate) async fn polled(&self, count: u64) {
        while self.asked().polls < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Asked {
    /// The requests after `earlier`. Refusals are counted from the start, because there must be none at all.
    pub(crate) fn since(self, earlier: Self) -> Self {
        let (polls, requests) = (self.polls - earlier.polls, self.requests - earlier.requests);
        Self { polls, requests, ..self }
    }

    /// The sum of both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            polls: self.polls + other.polls,
            requests: self.requests + other.requests,
            refused: self.refused + other.refused,
        }
    }
}
