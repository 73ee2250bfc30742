//! The authentication of a webhook sink: basic, bearer, tokens from a server, headers. None of the secrets is shown
//! anywhere.

use std::fs;

use serde_json::Value;

use crate::support::portal::sandbox::Portal;
use crate::support::portal::token_server::TokenServer;
use crate::support::process::relay::{finished, stdout};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::{Answer, Delivery, Receiver};

const MARK: &str = "S3CRETauthM4RK";

fn header<'d>(delivery: &'d Delivery, name: &str) -> &'d str {
    delivery.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

/// Checks all files in the folder except the configuration and the secret files.
fn assert_folder_silent(setup: &Setup, mark: &str) {
    for entry in fs::read_dir(setup.folder()).unwrap() {
        let path = entry.unwrap().path();
        let is_secret = path.extension().is_some_and(|extension| extension == "toml" || extension == "key");
        if !is_secret {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            assert!(!text.contains(mark), "{} shows `{mark}`", path.display());
        }
    }
}

#[tokio::test]
async fn user_and_password_and_headers_go_with_each_event() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let lines = "auth = { type = \"basic\", user = \"Aladdin\", password = \"open:sesame\" }\n\
                 headers = { X-Team = \"a\", X-Api-Key_file = \"api.key\" }";
    let bearer =
        "auth = { type = \"bearer\", token_file = \"token.key\" }\nheaders = { User-Agent = \"we\" }";
    let setup = Setup::new().with_source(&portal).with_webhook("crm", &receiver.url(), lines);
    fs::write(setup.path("api.key"), "Token of ours\n").unwrap();
    fs::write(setup.path("token.key"), "t0k3n\n").unwrap();
    portal.record(1, 1).await;
    setup.drain().await;
    let delivery = &receiver.take_deliveries()[0];
    assert_eq!(header(delivery, "authorization"), "Basic QWxhZGRpbjpvcGVuOnNlc2FtZQ==");
    assert_eq!(header(delivery, "x-team"), "a");
    assert_eq!(header(delivery, "x-api-key"), "Token of ours");
    assert_eq!(header(delivery, "user-agent"), concat!("b24relay/", env!("CARGO_PKG_VERSION")));
    let setup = setup.anew().with_source(&portal).with_webhook("desk", &receiver.url(), bearer);
    setup.drain().await;
    let delivery = &receiver.take_deliveries()[0];
    assert_eq!(header(delivery, "authorization"), "Bearer t0k3n");
    assert_eq!(header(delivery, "user-agent"), "we");
}

#[tokio::test]
async fn what_a_receiver_echoes_of_our_secrets_is_not_kept() {
    let (receiver, server) = (Receiver::start().await, TokenServer::start(3600).await);
    let headers = format!("headers = {{ X-Key = \"Token {MARK}/1\" }}");
    let basic = format!("{headers}\nauth = {{ type = \"basic\", user = \"me\", password = \"{MARK}\" }}");
    let oauth2 = format!("{headers}\n{}", server.auth(MARK));
    for (lines, sent) in [(basic, "bWU6UzNDUkVUYXV0aE00Uks="), (oauth2, "t0k3n-1")] {
        let portal = Portal::start().await;
        let setup = Setup::new().with_source(&portal).with_webhook("crm", &receiver.url(), &lines);
        let words = format!("no: Token {MARK}/1, {MARK}\\/1, {sent} and {MARK}.");
        portal.record(1, 1).await;
        receiver.refuse(&portal.ids(1).await, &Answer::Body(422, words));
        setup.drain().await;
        let deliveries = receiver.take_deliveries();
        assert!(header(&deliveries[0], "authorization").ends_with(sent), "it was sent");
        let shown = finished(&["dead-letters", "show", "1"], setup.folder()).await;
        assert!(stdout(&shown).contains("no: ***"), "{}", stdout(&shown));
        for secret in [MARK, sent] {
            assert!(!stdout(&shown).contains(secret), "{}", stdout(&shown));
            assert_folder_silent(&setup, secret);
        }
    }
}

#[tokio::test]
async fn a_token_is_fetched_once_and_serves_until_it_ends() {
    for (expires_in, fetches) in [(3600, 1), (0, 3)] {
        let portal = Portal::start().await;
        let (receiver, server) = (Receiver::start().await, TokenServer::start(expires_in).await);
        let setup =
            Setup::new().with_source(&portal).with_webhook("crm", &receiver.url(), &server.auth("s+3"));
        portal.record(1, 3).await;
        assert_eq!(server.requests(), []);
        setup.drain().await;
        // The id and the secret are encoded as in a form: me:s%2B3.
        let request =
            ("Basic bWU6cyUyQjM=".to_owned(), "grant_type=client_credentials&scope=a%20b".to_owned());
        assert_eq!(server.requests(), vec![request; fetches]);
        let last = receiver.deliveries().pop().unwrap();
        assert_eq!(header(&last, "authorization"), format!("Bearer t0k3n-{fetches}"));
    }
}

#[tokio::test]
async fn a_refused_token_is_replaced_once_and_the_event_sent_again_at_once() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let server = TokenServer::start(3600).await;
    let setup = Setup::new().with_source(&portal).with_webhook("crm", &receiver.url(), &server.auth(MARK));
    let mut relay = setup.run();
    portal.record(1, 1).await;
    until("the first is delivered", async || receiver.count() == 1).await;
    receiver.script([Answer::Status(401)]);
    portal.record(1, 1).await;
    until("the second is delivered", async || setup.lane_of("crm").await["delivered"] == 2).await;
    let shown: Vec<String> =
        receiver.deliveries().iter().map(|delivery| header(delivery, "authorization").to_owned()).collect();
    assert_eq!(shown, ["Bearer t0k3n-1", "Bearer t0k3n-1", "Bearer t0k3n-2"]);
    assert!(!relay.log().contains("attempt="), "{}", relay.log());

    // A token that is refused although it is new is not replaced: an operator must fix this.
    receiver.answer_always(Some(401));
    portal.record(1, 1).await;
    let trouble = setup.trouble_of("crm", "held").await;
    assert!(trouble.contains("answered 401"), "{trouble}");
    let (posts, tokens) = (receiver.count() - 3, server.requests().len() - 2);
    assert!(posts >= 2 && tokens >= 1 && tokens <= posts.div_ceil(2), "{posts} posts, {tokens} tokens");
    receiver.answer_always(None);
    until("the third is delivered", async || setup.lane_of("crm").await["delivered"] == 3).await;
    relay.stop().await;
    assert_folder_silent(&setup, MARK);
}

#[tokio::test]
async fn a_token_server_that_is_down_or_refuses_is_told() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let huge = format!("{{\"access_token\": \"{}\"}}", "x".repeat(70_000));
    let invalid = format!("{{\"error\": \"invalid_client\", \"error_description\": \"{MARK}\"}}");
    for (answer, state, words) in [
        ((503, String::new()), "retrying", "answered 503"),
        ((200, "<html>".to_owned()), "retrying", "holds no `access_token`"),
        ((200, huge), "retrying", "far greater than a token"),
        ((401, invalid), "held", "`invalid_client`: correct `auth.client_id` and `auth.client_secret`"),
        ((404, String::new()), "held", "answered 404 Not Found: correct `auth`"),
        ((302, String::new()), "held", "redirects are not followed"),
    ] {
        let server = TokenServer::start(3600).await;
        server.script(vec![answer; 100_000]);
        let setup =
            Setup::new().with_source(&portal).with_webhook("crm", &receiver.url(), &server.auth(MARK));
        portal.record(1, 1).await;
        let mut relay = setup.run();
        let trouble = setup.trouble_of("crm", state).await;
        assert!(trouble.contains(words) && trouble.contains("no token"), "no `{words}` in {trouble}");
        relay.stop().await;
        assert!(!trouble.contains(MARK));
        assert_folder_silent(&setup, MARK);
    }
    assert_eq!(
        receiver.deliveries().iter().map(|delivery| &delivery.body).collect::<Vec<_>>(),
        Vec::<&Value>::new()
    );
}
