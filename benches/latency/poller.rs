//! The contender: polls every 5 seconds, like most pollers in use.
//!
//! It keeps its offset in memory and parses only a part of the answer, which are advantages for it.

use std::cell::RefCell;
use std::convert::Infallible;
use std::time::Duration;

use b24_client::http;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Url};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::arrivals::Arrivals;

/// The interval of the polls.
pub(crate) const PAUSE: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    result: Page<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    #[serde(borrow)]
    events: &'a RawValue,
    next_offset: u64,
}

/// Polls the queue behind `webhook_url`. Never returns.
pub(crate) async fn run(webhook_url: &str, arrivals: &RefCell<Arrivals>) -> Infallible {
    let url: Url = format!("{webhook_url}im.v2.Event.get").parse().unwrap();
    let client = http::build(&url, Duration::from_secs(30)).unwrap();
    let mut offset = 1;
    loop {
        if let Some(text) = get(&client, &url, offset).await {
            let Page { events, next_offset } = serde_json::from_str::<Answer<'_>>(&text).unwrap().result;
            arrivals.borrow_mut().note(events.get());
            offset = next_offset;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The answer, unless the portal has refused.
async fn get(client: &Client, url: &Url, offset: u64) -> Option<String> {
    let body = format!(r#"{{"offset":{offset},"limit":1000}}"#);
    let request = client.post(url.clone()).header(CONTENT_TYPE, "application/json").body(body);
    let response = request.send().await.unwrap().error_for_status().ok()?;
    let body = http::read_body(response, usize::MAX).await.unwrap();
    Some(String::from_utf8(body).unwrap())
}
