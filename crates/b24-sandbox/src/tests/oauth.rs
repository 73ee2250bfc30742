//! Applications over real TCP: codes, tokens, their expiry, and the calls that they allow.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::SandboxConfig;
use crate::tests::bench::Bench;

const GET: &str = "im.v2.Event.get";

impl Bench {
    /// Calls the token endpoint with the first application's credentials, changed by `changes`.
    async fn ask(&self, changes: &[(&str, &str)]) -> (u16, Value) {
        let (id, secret) = (self.sandbox.client_id(), self.sandbox.client_secret());
        let mut form = vec![("client_id", &*id), ("client_secret", &*secret)];
        form.retain(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
        form.extend(changes);
        let form: Vec<_> = form.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = self.client.post(format!("{}oauth/token/", self.sandbox.base_url()));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let response = request.body(form.join("&")).send().await.unwrap();
        (response.status().as_u16(), serde_json::from_str(&response.text().await.unwrap()).unwrap())
    }

    async fn refresh(&self, pair: &Value) -> (u16, Value) {
        let token = pair["refresh_token"].as_str().unwrap();
        self.ask(&[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    /// Status and error of a call that is refused.
    async fn refused(&self, token: &str, method: &str) -> (u16, String) {
        let (status, json) = self.call_as(token, method, json!({})).await;
        (status.as_u16(), json["error"].as_str().unwrap_or_default().to_owned())
    }

    async fn set_app(&self, changes: Value) -> Value {
        let mut changes = changes;
        changes["client_id"] = self.sandbox.client_id().into();
        self.control("apps", changes).await
    }

    /// Sends a browser to authorise the first application, and returns the target of its redirect.
    async fn authorise(&self, query: &str) -> String {
        let (base, id) = (self.sandbox.base_url(), self.sandbox.client_id());
        let url = format!("{base}oauth/authorize/?client_id={id}{query}");
        let response = self.client.get(url).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::FOUND);
        response.headers()["location"].to_str().unwrap().to_owned()
    }
}

fn code_of(location: &str) -> String {
    location.split_once("code=").unwrap().1.split('&').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_browser_brings_a_code_that_becomes_tokens() {
    let bench = Bench::subscribed().await;
    let location = bench.authorise("&state=a%26b&user=2").await;
    assert!(location.starts_with(&format!("{}sandbox/landed?code=", bench.sandbox.base_url())), "{location}");
    assert!(location.contains("&state=a%26b&domain=127.0.0.1%3A"), "{location}");
    assert!(location.contains("&scope=im%2Cimbot&server_domain="), "{location}");
    let page = bench.client.get(&location).send().await.unwrap().text().await.unwrap();
    assert!(page.contains(&code_of(&location)) && page.contains("a&amp;b"), "{page}");

    let code = code_of(&location);
    let exchange = [("grant_type", "authorization_code"), ("code", &*code)];
    let (status, tokens) = bench.ask(&exchange).await;
    assert_eq!((status, &tokens["expires_in"]), (200, &json!(3600)));
    assert!(tokens["expires"].as_i64() > Some(0), "the official Python client asks for it");
    assert_eq!((&tokens["user_id"], &tokens["scope"]), (&json!(2), &json!("im,imbot")));
    assert_eq!(tokens["client_endpoint"], bench.sandbox.base_url() + "rest/");
    let member_id = tokens["member_id"].as_str().unwrap();
    assert!(member_id.len() == 32 && location.contains(member_id));
    let access = tokens["access_token"].as_str().unwrap();
    assert_eq!(bench.call_as(access, "profile", json!({})).await.1["result"]["ID"], "2");
    assert_eq!(bench.ask(&exchange).await, (400, json!({"error": "bad_verification_code"})), "used");
}

#[tokio::test]
async fn a_code_expires_by_the_portals_clock() {
    let bench = Bench::subscribed().await;
    bench.set_app(json!({"redirect_uri": "https://app.example/back?x=1"})).await;
    bench.control("clock", json!({"freeze": true})).await;
    let location = bench.authorise("").await;
    assert!(location.starts_with("https://app.example/back?x=1&code="), "{location}");
    bench.control("clock", json!({"advance_s": 30})).await;
    let code = code_of(&location);
    let answer = bench.ask(&[("grant_type", "authorization_code"), ("code", &code)]).await;
    assert_eq!(answer, (400, json!({"error": "bad_verification_code"})));
}

#[tokio::test]
async fn failures_to_authorise_are_told_to_the_person() {
    let bench = Bench::subscribed().await;
    for query in ["client_id=nobody", "", "client_id=local.sandbox.1&user=99"] {
        let url = format!("{}oauth/authorize/?{query}", bench.sandbox.base_url());
        let response = bench.client.get(url).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert!(response.text().await.unwrap().contains("cannot be authorised"));
    }
}

#[tokio::test]
async fn a_refresh_replaces_both_tokens() {
    let bench = Bench::subscribed().await;
    let first = bench.login(1).await;
    let (status, second) = bench.refresh(&first).await;
    assert_eq!((status, &second["user_id"]), (200, &json!(1)));
    assert!(second["expires"].as_i64() > Some(0) && first["expires"].is_i64());
    assert_ne!(first["access_token"], second["access_token"]);
    assert_eq!(bench.refresh(&first).await, (400, json!({"error": "invalid_grant"})), "rotated away");
    bench.set_app(json!({"grace_s": 60})).await;
    assert_eq!(bench.refresh(&second).await.0, 200);
    assert_eq!(bench.refresh(&second).await.0, 200, "within the grace");
    let query = "?grant_type=refresh_token&client_id=local.sandbox.1&client_secret=";
    let url = format!(
        "{}oauth/token{query}{}&refresh_token={}",
        bench.sandbox.base_url(),
        bench.sandbox.client_secret(),
        second["refresh_token"].as_str().unwrap()
    );
    assert_eq!(bench.client.get(url).send().await.unwrap().status(), StatusCode::OK, "GET does as well");
}

#[tokio::test]
async fn the_clock_ends_tokens() {
    let bench = Bench::subscribed().await;
    bench.control("clock", json!({"freeze": true})).await;
    let pair = bench.login(1).await;
    let token = pair["access_token"].as_str().unwrap();
    bench.control("clock", json!({"advance_s": 3599})).await;
    assert_eq!(bench.call_as(token, GET, json!({})).await.0, StatusCode::OK);
    bench.control("clock", json!({"advance_s": 1})).await;
    assert_eq!(bench.refused(token, GET).await, (401, "expired_token".into()));
    bench.control("clock", json!({"advance_s": 15_552_000 - 3600})).await;
    assert_eq!(bench.refresh(&pair).await, (400, json!({"error": "invalid_grant"})));
}

#[tokio::test]
async fn tokens_end_when_told() {
    let bench = Bench::subscribed().await;
    let pair = bench.login(1).await;
    let token = pair["access_token"].as_str().unwrap();
    bench.control("apps/local.sandbox.1/expire", json!({})).await;
    assert_eq!(bench.refused(token, "profile").await, (401, "expired_token".into()));
    bench.control("apps/local.sandbox.1/forget", json!({})).await;
    assert_eq!(bench.refused(token, "profile").await, (401, "invalid_token".into()));
    let (_, pair) = bench.refresh(&pair).await;
    let token = pair["access_token"].as_str().unwrap();
    assert_eq!(bench.call_as(token, "profile", json!({})).await.0, StatusCode::OK);
    bench.control("apps/local.sandbox.1/expire", json!({"refresh": true})).await;
    assert_eq!(bench.refused(token, "profile").await, (401, "expired_token".into()));
    assert_eq!(bench.refresh(&pair).await.0, 400);
}

#[tokio::test]
async fn the_token_endpoint_refuses_as_observed() {
    let bench = Bench::subscribed().await;
    let pair = bench.login(1).await;
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", "nobodys")];
    let with = |change: (&'static str, &'static str)| {
        let mut form = refresh.to_vec();
        form.retain(|(name, _)| *name != change.0);
        form.push(change);
        form
    };
    for (form, status, code) in [
        (with(("refresh_token", "")), 400, "invalid_request"),
        (with(("grant_type", "password")), 400, "invalid_request"),
        (with(("client_secret", "")), 400, "invalid_request"),
        (with(("client_id", "nobody")), 200, "wrong_client"),
        (with(("client_secret", "wrong")), 400, "invalid_client"),
        (refresh.to_vec(), 400, "invalid_grant"),
    ] {
        let (answered, json) = bench.ask(&form).await;
        assert_eq!((answered, json["error"].as_str()), (status, Some(code)), "{form:?}");
    }
    bench.set_app(json!({"installed": false})).await;
    assert_eq!(bench.refresh(&pair).await, (401, json!({"error": "NOT_INSTALLED"})));
}

#[tokio::test]
async fn token_calls_pass_the_checks_in_their_order() {
    let bench = Bench::subscribed().await;
    let token = bench.token(2).await;
    bench.control("users/2", json!({"active": false})).await;
    assert_eq!(bench.refused(&token, "profile").await, (401, "authorization_error".into()));
    bench.set_app(json!({"scopes": ["imbot"]})).await;
    assert_eq!(bench.refused(&token, GET).await, (401, "insufficient_scope".into()));
    bench.control("apps/local.sandbox.1/expire", json!({})).await;
    assert_eq!(bench.refused(&token, GET).await, (401, "expired_token".into()));
    bench.set_app(json!({"active": false})).await;
    assert_eq!(bench.refused(&token, GET).await, (401, "APPLICATION_NOT_FOUND".into()));
    bench.set_app(json!({"installed": false})).await;
    assert_eq!(bench.refused(&token, GET).await, (401, "ERROR_OAUTH".into()));
    assert_eq!(bench.refused("nobodys", GET).await, (401, "invalid_token".into()));
    assert_eq!(bench.refused("nobodys", "nope").await, (404, "ERROR_METHOD_NOT_FOUND".into()));
}

#[tokio::test]
async fn an_application_reads_the_users_queue() {
    let bench = Bench::subscribed().await;
    let ledger = bench.record(3);
    let token = bench.token(1).await;
    let (_, json) = bench.call_as(&token, GET, json!({"offset": 1})).await;
    assert_eq!(crate::tests::bench::ids(&json), ledger);
    let url = format!("{}rest/{GET}.json/?auth={token}&offset={}", bench.sandbox.base_url(), ledger[2]);
    let response = bench.client.get(url).send().await.unwrap();
    assert_eq!(response.headers()["x-bitrix-rest-application"], "local.sandbox.1");
    assert_eq!(bench.poll(1).await, [ledger[2]], "confirmed for every reader of the user");
}

#[tokio::test]
async fn preflight_calls_answer_applications_too() {
    let bench = Bench::subscribed().await;
    let token = bench.token(2).await;
    let result = async |method: &str| bench.call_as(&token, method, json!({})).await.1["result"].clone();
    assert_eq!(result("profile").await["ADMIN"], false);
    assert_eq!(result("scope").await, json!(["im", "imbot"]));
    let card = result("app.info").await;
    assert_eq!(card["CODE"], "local.sandbox.1");
    assert!(card["LICENSE_TYPE"].is_string() && card["LICENSE_FAMILY"].is_string(), "{card}");
    let webhook = bench.call("app.info", json!({})).await.1;
    assert_eq!(webhook["result"]["SCOPE"], json!(["im"]));
    bench.control("users/2", json!({"admin": true})).await;
    assert_eq!(result("profile").await["ADMIN"], true);
}

#[tokio::test]
async fn faults_break_the_token_endpoint_before_and_after_the_rotation() {
    let bench = Bench::subscribed().await;
    let pair = bench.login(2).await;
    let fault = |kind: &str| json!({"kind": kind, "method": "oauth/token", "user": 2});
    bench.fault(fault("close_before")).await;
    let refresh = format!(
        "{}oauth/token/?grant_type=refresh_token&client_id={}&client_secret={}&refresh_token={}",
        bench.sandbox.base_url(),
        bench.sandbox.client_id(),
        bench.sandbox.client_secret(),
        pair["refresh_token"].as_str().unwrap()
    );
    bench.call(GET, json!({})).await;
    assert!(bench.client.get(&refresh).send().await.is_err());
    bench.fault(fault("close_after")).await;
    assert!(bench.client.get(&refresh).send().await.is_err(), "not rotated before");
    assert_eq!(bench.refresh(&pair).await.0, 400, "rotated, and nobody knows the new pair");

    let pair = bench.login(2).await;
    bench
        .fault(json!({"kind": "rewrite", "method": "oauth/token", "pointer": "/user_id", "remove": true}))
        .await;
    assert_eq!(bench.refresh(&pair).await.1.get("user_id"), None);
    let stats = bench.sandbox.stats();
    assert_eq!((stats.requests["oauth/token"], stats.faults), (4, 3));
}

#[tokio::test]
async fn one_refresh_answers_otherwise() {
    let bench = Bench::subscribed().await;
    let elsewhere = json!({"user_id": 9, "client_endpoint": "http://127.0.0.1:1/rest/"});
    bench.control("apps/local.sandbox.1/next_refresh", elsewhere).await;
    let (_, first) = bench.refresh(&bench.login(1).await).await;
    assert_eq!(
        (&first["user_id"], &first["client_endpoint"]),
        (&json!(9), &json!("http://127.0.0.1:1/rest/"))
    );
    let (_, second) = bench.refresh(&first).await;
    assert_eq!((&second["user_id"], &second["client_endpoint"]), (&json!(1), &second["server_endpoint"]));
}

#[tokio::test]
async fn applications_are_listed_and_made() {
    let bench = Bench::subscribed().await;
    let made = bench
        .control("apps", json!({"client_id": "local.two", "client_secret": "s", "scopes": ["imbot"]}))
        .await;
    assert_eq!((&made["installed"], &made["access_lifetime_s"]), (&json!(true), &json!(3600)));
    let list = bench.client.get(bench.sandbox.base_url() + "sandbox/apps").send().await.unwrap();
    let list: Value = serde_json::from_str(&list.text().await.unwrap()).unwrap();
    let first = json!({
        "client_id": "local.sandbox.1", "client_secret": bench.sandbox.client_secret(),
        "scopes": ["im", "imbot"], "installed": true, "active": true,
        "redirect_uri": bench.sandbox.base_url() + "sandbox/landed",
        "access_lifetime_s": 3600, "refresh_lifetime_s": 15_552_000, "grace_s": 0,
    });
    assert_eq!(list, json!([first, made]));
    let again = Bench::new(SandboxConfig { seed: 25, ..SandboxConfig::default() }).await;
    assert_ne!(again.sandbox.client_secret(), bench.sandbox.client_secret());
    for (path, body, status) in [
        ("apps", json!({"client_id": "x", "scoops": []}), 400),
        ("apps", json!({}), 400),
        ("apps/nobody/login", json!({}), 404),
        ("apps/local.two/login", json!({"user": 99}), 404),
    ] {
        let url = format!("{}sandbox/{path}", bench.sandbox.base_url());
        let response = bench.client.post(url).body(body.to_string()).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{path}");
    }
}
