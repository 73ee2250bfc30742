//! G7 for applications: no token, code or `client_secret` in any output, and only the authorization server gets the
//! secret.

use std::fs;
use std::process::Output;
use std::sync::{Arc, Mutex};

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::support::expected::ledger::assert_exactly_once;
use crate::support::portal::logins::{answer_with, code_in};
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, code, finished, stderr};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;

type Bytes = Arc<Mutex<Vec<u8>>>;

/// A proxy in front of the sandbox that records all traffic.
struct Wiretap {
    origin: String,
    asked: Bytes,
    answered: Bytes,
}

impl Wiretap {
    async fn place(portal: &Portal) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let (asked, answered) = (Bytes::default(), Bytes::default());
        let (address, ears) = (portal.sandbox.address(), (Arc::clone(&asked), Arc::clone(&answered)));
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let ears = ears.clone();
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(address).await else { return };
                    let ((from, back), (answer, to)) = (near.into_split(), far.into_split());
                    tokio::join!(overhear(from, to, ears.0), overhear(answer, back, ears.1));
                });
            }
        });
        Self { origin, asked, answered }
    }

    fn asked(&self) -> String {
        String::from_utf8_lossy(&self.asked.lock().unwrap()).into_owned()
    }

    /// Every text that was answered under `key`.
    fn told(&self, key: &str) -> Vec<String> {
        let answered = String::from_utf8_lossy(&self.answered.lock().unwrap()).into_owned();
        let start = format!("\"{key}\":\"");
        let texts = answered.split(&start).skip(1).map(|rest| rest.split('"').next());
        texts.map(|text| text.unwrap().to_owned()).collect()
    }
}

async fn overhear(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, ear: Bytes) {
    let mut buffer = vec![0; 16_384];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        ear.lock().unwrap().extend_from_slice(&buffer[..count]);
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
    to.shutdown().await.ok();
}

/// Texts that must not appear in any output.
struct Secrets(Vec<String>);

impl Secrets {
    fn find_in(&self, bytes: &[u8]) -> Option<String> {
        let text = String::from_utf8_lossy(bytes).to_lowercase();
        // Parts of a secret are not allowed either.
        let line = text.lines().find(|line| {
            self.0.iter().any(|secret| line.contains(&secret.to_lowercase()[..secret.len().min(16)]))
        });
        line.map(str::to_owned)
    }

    fn assert_not_in(&self, what: &str, bytes: &[u8]) {
        if let Some(line) = self.find_in(bytes) {
            panic!("{what} shows a secret:\n{line}");
        }
    }
}

/// Faults of refreshes, with secrets in all free text.
fn faults(secrets: &str) -> Vec<Value> {
    let error = |status: u16, code: &str| json!({"kind": "error", "status": status, "code": code, "description": secrets});
    vec![
        error(500, "ERROR"),
        error(400, "never_seen"),
        error(401, "invalid_client"),
        error(200, "wrong_client"),
        error(400, "invalid_request"),
        json!({"kind": "error", "status": 400, "code": secrets}),
        json!({"kind": "raw", "status": 200, "body": format!("{{\"access_token\": \"{secrets}")}),
        json!({"kind": "raw", "status": 200, "body": json!({"access_token": secrets}).to_string()}),
        json!({"kind": "raw", "status": 502, "content_type": "text/html", "body": format!("<p>{secrets}")}),
        json!({"kind": "redirect", "status": 302, "location": format!("/login/?{}", secrets.replace(' ', "&"))}),
        json!({"kind": "close_after"}),
        json!({"kind": "truncate", "at": 0.8}),
    ]
}

/// A source between two wiretaps, and all printed output.
struct Scene {
    portal: Portal,
    front: Wiretap,
    server: Wiretap,
    setup: Setup,
    outputs: Vec<Output>,
    codes: Vec<String>,
}

impl Scene {
    async fn set() -> Self {
        let portal = Portal::start().await;
        let (front, server) = (Wiretap::place(&portal).await, Wiretap::place(&portal).await);
        portal.set_app(json!({"grace_s": 600})).await;
        let addresses = [front.origin.as_str(), &server.origin];
        let setup = Setup::new().with_login_at(&portal, "office", "20ms", addresses).with_file();
        Self { portal, front, server, setup, outputs: Vec::new(), codes: Vec::new() }
    }

    /// One successful login, one for another `state`, and one with a used code.
    async fn log_in(&mut self) {
        let base = self.portal.sandbox.base_url();
        for (state, expected) in [("", 0), ("0", 64)] {
            let (portal, codes) = (&self.portal, &mut self.codes);
            let browse = async |url: &str| {
                let path = url.split_once("/oauth/").unwrap().1;
                let location = portal.agree(&format!("{base}oauth/{path}{state}"), 1).await;
                codes.push(code_in(&location));
                location
            };
            let output = self.setup.paste("office", browse).await;
            assert_eq!(code(&output), expected, "{}", stderr(&output));
            self.outputs.push(output);
        }
        let used = self.codes[0].clone();
        self.outputs.push(self.setup.paste("office", async |url| answer_with(&used, url)).await);
    }

    /// Makes refreshes fail once in each way.
    async fn suffer(&self, relay: &Relay) {
        until("the relay is let in", async || self.portal.polls().await > 0).await;
        for index in 0..faults("").len() {
            let [access, refresh] =
                ["access_token", "refresh_token"].map(|key| self.server.told(key).pop().unwrap());
            let client_secret = self.portal.sandbox.client_secret();
            let fault = faults(&format!("{client_secret} {refresh} {access}")).remove(index);
            self.stay_overheard().await;
            self.portal.token_fault(fault.clone()).await;
            self.portal.expire().await;
            self.portal.record(1, 2).await;
            let recorded = self.portal.ids(1).await.len();
            until(&format!("all is filed after {fault}"), async || {
                relay.signal(Signal::HUP);
                self.setup.filed_count() >= recorded && self.portal.faults_left().await == 0
            })
            .await;
        }
        self.stay_overheard().await;
    }

    /// Otherwise the sandbox would send its clients past the wiretap.
    async fn stay_overheard(&self) {
        self.portal.next_refresh(json!({"client_endpoint": format!("{}/rest/", self.front.origin)})).await;
    }

    async fn run_commands(&mut self) {
        for args in [
            ["check", "--log-level", "trace"].as_slice(),
            &["check", "--json"],
            &["status"],
            &["status", "--json"],
            &["handlers", "list", "office"],
            &["tap", "office", "--once", "--log-level", "trace"],
        ] {
            let output = finished(args, self.setup.folder()).await;
            assert_eq!(code(&output), 0, "{args:?}: {}", stderr(&output));
            self.outputs.push(output);
        }
    }

    /// All secrets that were issued, and the credentials of the application.
    fn secrets(&self) -> Secrets {
        let tokens = ["access_token", "refresh_token"].map(|key| self.server.told(key)).concat();
        let mut secrets = Secrets([tokens, self.codes.clone()].concat());
        secrets.0.push(self.portal.sandbox.client_secret());
        // Leave out values that a script has replaced or shortened.
        secrets.0.retain(|secret| secret.len() >= 16 && !secret.contains(' '));
        assert!(secrets.0.len() > 15, "{} secrets were heard of", secrets.0.len());
        secrets
    }

    /// The portal receives only access tokens, and no address contains a secret.
    fn assert_told_no_more_than_needed(&self, secrets: &Secrets) {
        let (asked, client_secret) = (self.front.asked(), self.portal.sandbox.client_secret());
        assert!(asked.contains("POST /rest/im.v2.Event.get ") && asked.contains("\"auth\":\""));
        assert!(!asked.contains("client_secret") && !asked.contains(&client_secret));
        let refresh_tokens = self.server.told("refresh_token");
        assert!(refresh_tokens.iter().all(|token| !asked.contains(token.as_str())));
        assert!(self.server.asked().contains(&format!("client_secret={client_secret}")));
        for (wiretap, path) in [(&self.front, "/rest/"), (&self.server, "/oauth/token/ ")] {
            for head in wiretap.asked().lines().filter(|line| line.ends_with("HTTP/1.1")) {
                // The previous body ends without a newline.
                let (_, address) = head.rsplit_once("POST ").unwrap();
                secrets.assert_not_in("the address of a request", address.as_bytes());
                assert!(address.starts_with(path), "{address}");
            }
        }
    }
}

async fn no_token_is_shown_in(format: &str) {
    let mut scene = Scene::set().await;
    scene.log_in().await;
    let mut relay = Relay::start(scene.setup.folder(), &["--log-level", "trace", "--log-format", format]);
    scene.suffer(&relay).await;
    scene.run_commands().await;
    let cmdline = fs::read(format!("/proc/{}/cmdline", relay.id())).unwrap();
    assert_eq!(relay.stop().await, 0);
    assert_exactly_once(&scene.setup.filed_ids(), &scene.portal.ids(1).await);

    let secrets = scene.secrets();
    for output in &scene.outputs {
        secrets.assert_not_in("standard output", &output.stdout);
        secrets.assert_not_in("standard error", &output.stderr);
    }
    secrets.assert_not_in("the process list", &cmdline);
    for name in ["err", "out", "events.jsonl"] {
        secrets.assert_not_in(name, &fs::read(scene.setup.path(name)).unwrap());
    }
    let state = fs::read(scene.setup.path("b24relay.db")).unwrap();
    assert!(secrets.find_in(&state).is_some(), "they are there, and the search finds them");
    scene.assert_told_no_more_than_needed(&secrets);
}

#[tokio::test]
async fn no_token_is_shown_in_a_text_log_nor_told_to_the_wrong_server() {
    no_token_is_shown_in("text").await;
}

#[tokio::test]
async fn no_token_is_shown_in_a_json_log_nor_told_to_the_wrong_server() {
    no_token_is_shown_in("json").await;
}

#[tokio::test]
async fn the_address_that_a_refresh_names_is_where_the_portal_is_from_then_on() {
    let scene = Scene::set().await;
    scene.setup.log_in(&scene.portal, "office", 1).await;
    let mut relay = scene.setup.run();
    until("the relay is let in", async || scene.portal.polls().await > 0).await;
    scene.portal.expire().await;
    relay.until_logged("the portal has a new address").await;
    // The poll that was in flight during the move is the last of its kind.
    let polls = scene.portal.polls().await;
    until("more polls", async || scene.portal.polls().await > polls + 2).await;
    let asked = scene.front.asked().len();
    assert_eq!(relay.stop().await, 0);
    let mut relay = scene.setup.run();
    scene.portal.record(1, 5).await;
    until("all is filed", async || scene.setup.filed_count() == 5).await;
    assert_eq!(scene.front.asked().len(), asked, "nobody asks at the old address any more");
    assert_eq!(scene.portal.token_requests().await, 1);
    assert_eq!(relay.stop().await, 0);
}
