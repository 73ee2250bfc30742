//! The rules for a shared login, tested with a real authorization server and a failing disk.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use b24_client::http::Route;
use b24_client::{CallError, Class, KeyValue, KeyValueError, OAuthSession, Tokens, keep};
use b24relay::config::{OAuthConfig, SecretText, SecretUrl};
use reqwest::Url;
use serde_json::json;

use crate::support::portal::sandbox::Portal;
use crate::support::process::waiting::until;

const POLL: &str = "im.v2.Event.get";

/// A state file whose disk fails on demand.
#[derive(Default)]
struct Disk {
    kept: Mutex<HashMap<String, String>>,
    fails: Mutex<bool>,
}

impl Disk {
    fn set_failing(&self, fails: bool) {
        *self.fails.lock().unwrap() = fails;
    }
}

#[async_trait]
impl KeyValue for Disk {
    async fn get(&self, key: &str) -> Result<Option<String>, KeyValueError> {
        Ok(self.kept.lock().unwrap().get(key).cloned())
    }

    async fn put(&self, key: &str, value: &str) -> Result<(), KeyValueError> {
        if *self.fails.lock().unwrap() {
            return Err(KeyValueError("no space left".to_owned()));
        }
        self.kept.lock().unwrap().insert(key.to_owned(), value.to_owned());
        Ok(())
    }
}

/// A stored login of user 1, and its application.
struct Bench {
    portal: Portal,
    config: OAuthConfig,
    disk: Arc<Disk>,
    grant: Arc<OAuthSession>,
}

impl Bench {
    async fn new() -> Self {
        let portal = Portal::start().await;
        let address = SecretUrl::parse_origin(&portal.sandbox.base_url()).unwrap();
        let config = OAuthConfig {
            grant: "office".into(),
            portal: address.clone(),
            client_id: portal.sandbox.client_id(),
            client_secret: SecretText::new(portal.sandbox.client_secret()),
            server: Some(address),
        };
        let disk = Arc::new(Disk::default());
        let grant =
            Arc::new(OAuthSession::new(&config, Route::default(), Arc::clone(&disk) as Arc<dyn KeyValue>));
        let bench = Self { portal, config, disk, grant };
        bench.log_in(1).await;
        bench
    }

    async fn tokens(&self, user: u64) -> Tokens {
        Tokens::parse(&self.portal.tokens(user).await.to_string(), &self.config.client_id).unwrap()
    }

    /// Logs in from another process.
    async fn log_in(&self, user: u64) -> SecretText {
        let tokens = self.tokens(user).await;
        keep(&*self.disk, &self.config, &tokens).await.unwrap();
        tokens.access
    }

    async fn access(&self) -> SecretText {
        self.grant.access().await.unwrap()
    }

    fn recorded(&self) -> SecretText {
        let kept = self.disk.kept.lock().unwrap();
        let text = kept.values().next().unwrap();
        assert_eq!(kept.len(), 1);
        Tokens::parse(text, &self.config.client_id).unwrap().access
    }

    async fn renew(&self, spent: &SecretText) -> Result<Option<Url>, CallError> {
        self.grant.renew(spent, POLL).await
    }

    /// How many requests the authorization server received.
    async fn asked(&self) -> u64 {
        self.portal.token_requests().await
    }
}

#[tokio::test]
async fn a_pair_that_the_disk_does_not_take_is_neither_used_nor_asked_for_again() {
    let bench = Bench::new().await;
    let spent = bench.access().await;
    bench.disk.set_failing(true);
    for _ in 0..3 {
        let refusal = bench.renew(&spent).await.unwrap_err();
        assert_eq!(refusal.class, Class::Retry, "{refusal}");
        assert!(bench.access().await == spent && bench.recorded() == spent);
    }
    bench.disk.set_failing(false);
    bench.renew(&spent).await.unwrap();
    let fresh = bench.access().await;
    assert!(fresh != spent && fresh == bench.recorded());
    assert_eq!(bench.asked().await, 1);
}

#[tokio::test]
async fn a_stop_tries_once_more_to_keep_the_pair() {
    let bench = Bench::new().await;
    let spent = bench.access().await;
    bench.disk.set_failing(true);
    bench.renew(&spent).await.unwrap_err();
    bench.disk.set_failing(false);
    bench.grant.rest().await;
    assert!(bench.recorded() != spent);
}

#[tokio::test]
async fn a_pair_that_was_never_kept_does_not_replace_a_later_login() {
    let bench = Bench::new().await;
    let spent = bench.access().await;
    bench.disk.set_failing(true);
    bench.renew(&spent).await.unwrap_err();
    bench.disk.set_failing(false);
    let later = bench.log_in(1).await;
    bench.renew(&spent).await.unwrap();
    assert!(bench.access().await == later);
    bench.renew(&later).await.unwrap();
    assert_eq!(bench.asked().await, 2, "the second is one of the later login");
}

#[tokio::test]
async fn whoever_waits_for_a_refresh_shares_what_becomes_of_it() {
    let bench = Bench::new().await;
    let spent = bench.access().await;
    bench.portal.token_fault(json!({"kind": "html", "status": 502})).await;
    let (one, two, three) = tokio::join!(bench.renew(&spent), bench.renew(&spent), bench.renew(&spent));
    assert!(one.is_err() && two.is_err() && three.is_err());
    assert_eq!(bench.asked().await, 1, "one failure for all");
    let (one, two, three) = tokio::join!(bench.renew(&spent), bench.renew(&spent), bench.renew(&spent));
    assert!(one.is_ok() && two.is_ok() && three.is_ok());
    assert_eq!(bench.asked().await, 2, "one success for all");
}

#[tokio::test]
async fn whoever_gives_up_does_not_end_the_refresh() {
    let bench = Bench::new().await;
    let spent = bench.access().await;
    bench.portal.token_fault(json!({"kind": "stall", "seconds": 0.3})).await;
    tokio::select! {
        biased;
        () = until("the refresh is under way", async || bench.asked().await == 1) => {}
        outcome = bench.renew(&spent) => panic!("it was not slow: {:?}", outcome.err()),
    }
    bench.grant.rest().await;
    assert!(bench.recorded() != spent);
    assert!(bench.access().await != spent);
}

#[tokio::test]
async fn a_token_must_work_where_it_was_refused_before_it_is_refreshed_again() {
    let bench = Bench::new().await;
    bench.renew(&bench.access().await).await.unwrap();
    let fresh = bench.access().await;
    bench.grant.prove(&fresh, "profile").await;
    let refusal = bench.renew(&fresh).await.unwrap_err();
    assert_eq!((refusal.class, bench.asked().await), (Class::Operator, 1), "{refusal}");
    assert!(refusal.hint.contains("`b24relay login office`"), "{}", refusal.hint);
    bench.grant.prove(&fresh, POLL).await;
    bench.renew(&fresh).await.unwrap();
    assert_eq!(bench.asked().await, 2);
}

#[tokio::test]
async fn a_dead_refresh_token_is_tried_once_and_a_login_is_found() {
    let bench = Bench::new().await;
    let spent = bench.access().await;
    bench
        .portal
        .token_fault(json!({"kind": "error", "status": 400, "code": "invalid_grant", "times": 9}))
        .await;
    for _ in 0..3 {
        assert_eq!(bench.renew(&spent).await.unwrap_err().class, Class::Operator);
    }
    assert_eq!(bench.asked().await, 1);
    assert!(!bench.grant.is_superseded().await);
    bench.log_in(2).await;
    assert!(!bench.grant.is_superseded().await, "another user's is no cure");
    assert!(bench.renew(&spent).await.unwrap_err().to_string().contains("those of user 2"));
    let login = bench.log_in(1).await;
    assert!(bench.grant.is_superseded().await);
    bench.renew(&spent).await.unwrap();
    assert!(bench.access().await == login && !bench.grant.is_superseded().await);
    assert_eq!(bench.asked().await, 1);
}

#[tokio::test]
async fn what_is_tried_out_leaves_the_record_alone() {
    let bench = Bench::new().await;
    let recorded = bench.recorded();
    let candidate = bench.tokens(2).await;
    bench.grant.seed(candidate.clone()).await;
    bench.renew(&candidate.access).await.unwrap();
    bench.grant.doubt().await;
    let access = bench.access().await;
    assert!(access != candidate.access && access != recorded, "it was refreshed");
    assert!(bench.recorded() == recorded);
    assert_eq!(bench.grant.user_id().await.unwrap(), 2);
}
