//! The loops that the relay is compared with: one page after the other, over one connection.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use b24_client::http;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Url};
use rusqlite::Connection;
use tokio::runtime;

use crate::PAGE;

/// Both fields are in the last few hundred bytes of the answer, after the events.
const TAIL: usize = 600;

/// The work on a page before the next one is requested.
pub(crate) enum Upkeep {
    Nothing,
    /// The bytes of the page are on the disk before its offset is.
    Durable {
        pages: File,
        offsets: Connection,
    },
}

impl Upkeep {
    pub(crate) fn durable(folder: &Path) -> Self {
        let pages = OpenOptions::new().create(true).append(true).open(folder.join("pages.json")).unwrap();
        let offsets = Connection::open(folder.join("offsets.db")).unwrap();
        offsets.pragma_update(None, "journal_mode", "WAL").unwrap();
        offsets.pragma_update(None, "synchronous", "FULL").unwrap();
        offsets
            .execute_batch("CREATE TABLE progress (offset INTEGER NOT NULL); INSERT INTO progress VALUES (1)")
            .unwrap();
        Self::Durable { pages, offsets }
    }

    fn keep(&mut self, page: &[u8], next_offset: u64) {
        match self {
            Self::Nothing => {}
            Self::Durable { pages, offsets } => {
                pages.write_all(page).unwrap();
                pages.sync_data().unwrap();
                offsets
                    .prepare_cached("UPDATE progress SET offset = ?1")
                    .unwrap()
                    .execute([next_offset])
                    .unwrap();
            }
        }
    }
}

/// Reads the queue behind `url` to its end and confirms all of it.
pub(crate) fn drain(url: &str, mut upkeep: Upkeep) {
    let url: Url = format!("{url}im.v2.Event.get").parse().unwrap();
    let client = http::build(&url, Duration::from_secs(30)).unwrap();
    runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let mut offset = 1;
        loop {
            let page = get(&client, &url, offset).await;
            let tail = std::str::from_utf8(&page[page.len().saturating_sub(TAIL)..]).unwrap_or_default();
            let has_more = tail.contains("\"hasMore\":true");
            offset = next_offset(tail);
            upkeep.keep(&page, offset);
            if !has_more {
                break;
            }
        }
    });
}

async fn get(client: &Client, url: &Url, offset: u64) -> Vec<u8> {
    let body = format!(r#"{{"offset":{offset},"limit":{PAGE}}}"#);
    let request = client.post(url.clone()).header(CONTENT_TYPE, "application/json").body(body);
    let response = request.send().await.unwrap().error_for_status().unwrap();
    http::read_body(response, usize::MAX).await.unwrap()
}

fn next_offset(tail: &str) -> u64 {
    let (_, behind) = tail.rsplit_once("\"nextOffset\":").unwrap();
    behind.split(',').next().unwrap().parse().unwrap()
}
