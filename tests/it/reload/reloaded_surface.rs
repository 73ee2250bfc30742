//! A reload also applies `[http]` and `[log]`. Clients of an unchanged listener are not affected.

use b24_client::http;
use reqwest::{Client, StatusCode, Url};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::reload::reloading::{apply, refuse};
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::Relay;
use crate::support::process::setup::Setup;
use crate::support::process::waiting::{PATIENCE, until};

const FIRST: &str = "token-of-the-first-hour";
const SECOND: &str = "token-of-the-second-hour";

/// The address of `[http]` that the relay logged last.
fn address(relay: &Relay) -> Url {
    let log = relay.log();
    let (_, rest) = log.rsplit_once("metrics and health are at ").expect("an address");
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

fn client(url: &Url) -> Client {
    http::build(url, PATIENCE).unwrap()
}

async fn status(url: &Url, token: &str) -> StatusCode {
    let request = client(url).get(url.join("status").unwrap()).bearer_auth(token);
    request.send().await.unwrap().status()
}

/// A connection that stays open, as with Prometheus.
struct Kept(TcpStream);

impl Kept {
    async fn open(url: &Url) -> Self {
        Self(TcpStream::connect(url.socket_addrs(|| None).unwrap()[0]).await.unwrap())
    }

    /// Whether it is answered; a closed connection is not.
    async fn is_answered(&mut self, token: &str) -> bool {
        let request =
            format!("GET /livez HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n");
        let mut answer = [0; 1024];
        self.0.write_all(request.as_bytes()).await.is_ok()
            && self
                .0
                .read(&mut answer)
                .await
                .is_ok_and(|length| answer[..length].starts_with(b"HTTP/1.1 200"))
    }
}

fn config(setup: Setup, portal: &Portal, http: &str) -> Setup {
    setup.with_source(portal).with_file().with(http)
}

fn listen(at: &str, token: &str) -> String {
    format!("[http]\nlisten = \"{at}\"\ntoken = \"{token}\"")
}

#[tokio::test]
async fn a_token_is_exchanged_where_the_relay_listens() {
    let portal = Portal::start().await;
    let setup = config(Setup::new(), &portal, &listen("127.0.0.1:0", FIRST));
    let relay = setup.run();
    relay.until_logged("metrics and health are at").await;
    let url = address(&relay);
    let mut kept = Kept::open(&url).await;
    assert!(kept.is_answered(FIRST).await);

    // Another setting does not affect it.
    let setup =
        config(setup.anew(), &portal, &listen("127.0.0.1:0", FIRST)).with("[retention]\nwarning = \"5h\"");
    assert!(apply(&relay).await.contains("retention.warning: changed"));
    assert!(kept.is_answered(FIRST).await, "it was disturbed");

    let _setup = config(setup.anew(), &portal, &listen("127.0.0.1:0", SECOND));
    assert!(apply(&relay).await.contains("http.token: changed"));
    assert_eq!(address(&relay), url, "it listens where it did");
    assert_eq!(status(&url, FIRST).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&url, SECOND).await, StatusCode::OK);
    assert!(!kept.is_answered(FIRST).await, "what was let in with the old token is cut");
    assert!(!relay.log().contains(FIRST) && !relay.log().contains(SECOND));
}

#[tokio::test]
async fn it_moves_begins_and_ends_to_be_looked_at() {
    let portal = Portal::start().await;
    let setup = config(Setup::new(), &portal, "");
    let mut relay = setup.run();
    relay.until_logged("source started").await;

    let setup = config(setup.anew(), &portal, &listen("127.0.0.1:0", FIRST));
    apply(&relay).await;
    let first = address(&relay);
    assert_eq!(status(&first, FIRST).await, StatusCode::OK);

    let setup = config(setup.anew(), &portal, &listen("[::1]:0", FIRST));
    apply(&relay).await;
    let second = address(&relay);
    assert_eq!(status(&second, FIRST).await, StatusCode::OK);
    assert!(client(&first).get(first.clone()).send().await.unwrap_err().is_connect());

    let _setup = config(setup.anew(), &portal, "");
    apply(&relay).await;
    until("nobody answers", async || client(&second).get(second.clone()).send().await.is_err()).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
}

#[tokio::test]
async fn an_address_in_use_refuses_the_reload_as_a_whole() {
    let portal = Portal::start().await;
    let setup = config(Setup::new(), &portal, &listen("127.0.0.1:0", FIRST));
    let mut relay = setup.run();
    relay.until_logged("metrics and health are at").await;
    let url = address(&relay);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = taken.local_addr().unwrap().to_string();
    let second =
        config(setup.anew(), &portal, &listen(&elsewhere, SECOND)).with("[sinks.second]\ntype = \"stdout\"");
    let said = refuse(&relay).await;
    assert!(said.contains(&format!("http.listen: cannot listen on {elsewhere}")), "{said}");
    assert_eq!(status(&url, FIRST).await, StatusCode::OK);
    portal.record(1, 3).await;
    until("three are filed", async || second.filed_count() == 3).await;
    assert_eq!(second.printed_ids(), [0; 0], "nothing of the new one is in force");
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
}

#[tokio::test]
async fn the_log_changes_its_level_and_its_form() {
    let portal = Portal::start().await;
    let setup = config(Setup::new(), &portal, "[log]\nlevel = \"info\"");
    let mut relay = setup.run();
    relay.until_logged("source started").await;
    assert!(!relay.log().contains("DEBUG"), "{}", relay.log());

    let setup = config(setup.anew(), &portal, "[log]\nlevel = \"debug\"\nformat = \"json\"");
    let said = apply(&relay).await;
    assert!(said.contains("log.format: changed") && said.contains("log.level: changed"), "{said}");
    until("finer lines come", async || relay.log().contains("\"level\":\"DEBUG\"")).await;
    let before = relay.log().len();
    let _setup = config(setup.anew(), &portal, "[log]\nlevel = \"info\"\nformat = \"json\"");
    apply(&relay).await;
    let log = relay.log();
    let last = log[before..].lines().last().unwrap();
    let last: Value = serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {last}"));
    assert_eq!((&last["level"], &last["message"]), (&"INFO".into(), &"configuration reloaded".into()));
    portal.record(1, 3).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    let after = relay.log().split_off(log.len());
    assert!(after.contains("b24relay stopped") && !after.contains("DEBUG"), "{after}");
}
