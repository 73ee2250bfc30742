//! Tests over real TCP: the transport, the control API, and every kind of fault once.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::connect_info::MockConnectInfo;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::SandboxConfig;
use crate::control::api;
use crate::http::portal_address::PortalAddress;
use crate::http::state::AppState;
use crate::state::portal::Portal;
use crate::tests::bench::Bench;

const GET: &str = "im.v2.Event.get";

#[tokio::test]
async fn events_are_read_and_confirmed() {
    let bench = Bench::new(SandboxConfig::default()).await;
    assert_eq!(bench.call("im.v2.Event.subscribe", json!({})).await.1["result"], true);
    let ledger = bench.record(30);
    assert_eq!(ledger.len(), 30);
    assert_eq!(bench.poll(1).await, ledger);
    assert_eq!(bench.poll(ledger[29] + 1).await, [0; 0]);
    let stats = &bench.sandbox.stats().users[&1];
    assert_eq!((stats.recorded, stats.served, stats.confirmed), (30, 30, 30));
    assert_eq!((stats.confirmed_unserved, stats.pending, stats.subscribes), (0, 0, 1));
    assert_eq!(bench.call("im.v2.Event.unsubscribe", json!({})).await.1["result"], true);
    assert_eq!(bench.record(5).len(), 30, "nothing is recorded any more");
    bench.sandbox.stop().await;
}

#[tokio::test]
async fn payloads_have_the_servers_shape() {
    let bench = Bench::subscribed().await;
    let data = |event: &Value| event["data"].clone();
    for (kind, key) in [
        ("ONIMV2MESSAGEADD", "message"),
        ("ONIMV2MESSAGEUPDATE", "message"),
        ("ONIMV2MESSAGEDELETE", "messageId"),
        ("ONIMV2REACTIONCHANGE", "reaction"),
        ("ONIMV2JOINCHAT", "dialogId"),
        ("ONIMV2FROMTHEFUTURE", "message"),
    ] {
        let first = bench.control("events", json!({"user": 1, "type": kind})).await["first"].clone();
        let (_, json) = bench.call(GET, json!({"offset": first})).await;
        let event = &json["result"]["events"][0];
        assert_eq!(event["type"], kind);
        assert!(event["date"].as_str().unwrap().ends_with("+03:00"));
        assert!(data(event).get(key).is_some(), "{event}");
        assert_eq!(data(event)["chat"]["textFieldEnabled"], "Y");
    }
}

#[tokio::test]
async fn orders_are_followed_to_the_byte() {
    let bench = Bench::subscribed().await;
    let data = r#"{"b":1.50,"a":[ ]}"#;
    let body = format!(r#"{{"user":1,"type":"X","data":{data}}}"#);
    let url = format!("http://{}/sandbox/events", bench.sandbox.address());
    bench.client.post(url).body(body).send().await.unwrap();
    assert!(bench.read().await.unwrap().contains(&format!(r#""data":{data}}}"#)));

    let first = bench.control("events", json!({"user": 1, "chat": 320, "text": "a/b", "bytes": 65536})).await;
    let text = bench.send(GET, json!({"offset": first["first"]})).await.unwrap().text().await.unwrap();
    assert!(text.contains(r#""text":"a\/bxxx"#));
    let start = text.find(r#""data":"#).unwrap() + 7;
    assert_eq!(text.find(r#"}],"nextOffset""#).unwrap() - start, 65536);
}

#[tokio::test]
async fn nobody_gets_past_the_checks_in_their_order() {
    let bench = Bench::subscribed().await;
    let refused = async |method: &str| {
        let (status, json) = bench.call(method, json!({})).await;
        assert!(json.get("time").is_none() && json.get("result").is_none());
        (status.as_u16(), json["error"].as_str().unwrap().to_owned())
    };
    assert_eq!(refused("im.v2.Event.nope").await, (404, "ERROR_METHOD_NOT_FOUND".into()));
    assert_eq!(refused("../wrong/nope").await, (404, "ERROR_METHOD_NOT_FOUND".into()));
    assert_eq!(refused("../wrong/profile").await, (401, "INVALID_CREDENTIALS".into()));
    assert_eq!(refused("../../profile").await, (401, "NO_AUTH_FOUND".into()));
    assert_eq!(refused("im.v2.Event.get?offset=abc").await, (400, "100".into()));
    bench.control("users/1", json!({"scopes": [], "active": false})).await;
    assert_eq!(refused(GET).await, (401, "insufficient_scope".into()));
    assert_eq!(refused("profile").await, (401, "authorization_error".into()));
    bench.control("portal", json!({"require_https": true})).await;
    assert_eq!(refused("profile").await, (401, "INVALID_REQUEST".into()));
    bench.control("portal", json!({"closed": true})).await;
    assert_eq!(refused("nope").await, (403, "PORTAL_DELETED".into()));
    assert_eq!(bench.sandbox.stats().refused, 9);
}

#[tokio::test]
async fn only_get_and_post_reach_a_method() {
    let bench = Bench::subscribed().await;
    for (verb, expected) in [("GET", 200), ("POST", 200), ("PUT", 400), ("DELETE", 400)] {
        let verb = reqwest::Method::from_bytes(verb.as_bytes()).unwrap();
        let response = bench.client.request(verb, bench.url("Server.TIME.json/")).send().await.unwrap();
        assert_eq!(response.status().as_u16(), expected);
        assert_eq!(response.headers()["content-type"], "application/json; charset=utf-8");
    }
}

#[tokio::test]
async fn preflight_calls_tell_who_and_what() {
    let bench = Bench::subscribed().await;
    assert_eq!(bench.call("profile", json!({})).await.1["result"]["ID"], "1");
    assert_eq!(bench.call("scope", json!({})).await.1["result"], json!(["im"]));
    let known = bench.call("method.get", json!({"name": "im.v2.event.get"})).await.1;
    assert_eq!(known["result"], json!({"isExisting": true, "isAvailable": true}));
    assert_eq!(bench.call("method.get", json!({})).await.1["argument"], "name");
    let (_, json) = bench.call("server.time", json!({})).await;
    assert_eq!(json["result"], json["time"]["date_start"]);
}

#[tokio::test]
async fn a_full_bucket_refuses() {
    let bench = Bench::subscribed().await;
    bench.control("clock", json!({"freeze": true})).await;
    bench.control("portal", json!({"bucket": {"burst": 2.0, "drain_per_s": 1.0}})).await;
    bench.poll(1).await;
    bench.poll(1).await;
    assert_eq!(bench.call(GET, json!({})).await.0, StatusCode::SERVICE_UNAVAILABLE);
    bench.control("clock", json!({"advance_s": 1})).await;
    bench.poll(1).await;
    assert_eq!(bench.sandbox.stats().limited, 1);
}

#[tokio::test]
async fn time_cleans_what_nobody_confirmed() {
    let bench = Bench::subscribed().await;
    bench.control("clock", json!({"set": "2026-08-20T06:15:02Z", "freeze": true})).await;
    bench.record(1500);
    bench.control("clock", json!({"advance_s": 86_400})).await;
    assert_eq!(bench.poll(1).await.len(), 1000, "exactly 24 hours old");
    bench.control("clock", json!({"advance_s": 3600})).await;
    assert_eq!(bench.poll(1).await.len(), 500, "one chunk is gone");
    bench.control("clock", json!({"advance_s": 60})).await;
    assert_eq!(bench.poll(1).await.len(), 0);
    assert_eq!(bench.sandbox.stats().users[&1].expired, 1500);
    bench.record(3);
    bench.control("clock", json!({"advance_s": 86_401})).await;
    let left = 3 - bench.control("clean", json!({})).await["removed"].as_u64().unwrap();
    assert_eq!(bench.poll(1).await.len() as u64, left);
    assert_eq!(left, 0);
}

#[tokio::test]
async fn held_events_appear_late_and_thieves_leave_nothing() {
    let bench = Bench::subscribed().await;
    let held = bench.control("events", json!({"user": 1, "hold": true})).await["first"].clone();
    let ledger = bench.record(1);
    assert!(held.as_u64() < Some(ledger[0]));
    assert_eq!(bench.poll(1).await, ledger);
    assert_eq!(bench.control("release", json!({})).await["released"], 1);
    assert_eq!(bench.poll(1).await.len(), 2);
    assert_eq!(bench.control("steal", json!({"user": 1})).await["stolen"], 2);
    assert_eq!(bench.poll(1).await, [0; 0]);
}

#[tokio::test]
async fn the_counter_can_jump_and_fall_back() {
    let bench = Bench::subscribed().await;
    bench.control("counter", json!({"next": 1_u64 << 53})).await;
    assert_eq!(bench.record(1), [1 << 53]);
    bench.control("counter", json!({"next": 7})).await;
    assert_eq!(bench.poll(1).await, [0; 0]);
    bench.record(1);
    assert_eq!(bench.poll(1).await, [7]);
}

#[tokio::test]
async fn a_new_code_voids_the_old_one() {
    let bench = Bench::subscribed().await;
    let old = bench.url("profile");
    let changed = bench.control("users/1", json!({"code": "changed"})).await;
    assert!(changed["webhook_url"].as_str().unwrap().ends_with("/rest/1/changed/"));
    assert_eq!(bench.client.get(old).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(bench.call("profile", json!({})).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_mistaken_order_is_refused_by_name() {
    let bench = Bench::subscribed().await;
    for (path, body, status, named) in [
        ("events", json!({"user": 99}), 404, "99"),
        ("events", json!({"user": 1, "cuont": 3}), 400, "cuont"),
        ("events", json!({"user": 1, "type": "\"\\"}), 400, "type"),
        ("portal", json!({"clsoed": true}), 400, "clsoed"),
        ("faults", json!([{"kind": "html", "status": 503}, {"kind": "x"}]), 400, "x"),
        ("clock", json!({"set": "noon"}), 400, ""),
    ] {
        let url = format!("http://{}/sandbox/{path}", bench.sandbox.address());
        let response = bench.client.post(url).body(body.to_string()).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{path} {body}");
        assert!(response.text().await.unwrap().contains(named));
    }
    assert_eq!(bench.sandbox.stats().faults_left, 0, "all of an array or nothing");
}

#[tokio::test]
async fn strangers_cannot_direct_the_portal() {
    let bench = Bench::subscribed().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let portal = Portal::new(&SandboxConfig::default());
    let portal_address = PortalAddress::new(address, mpsc::unbounded_channel().0);
    let routes = api::routes()
        .with_state(Arc::new(AppState::new(portal, portal_address, CancellationToken::new())))
        .layer(MockConnectInfo(SocketAddr::from(([192, 0, 2, 1], 5000))));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    for path in ["", "/stats", "/ledger?user=1"] {
        let url = format!("http://{address}/sandbox{path}");
        assert_eq!(bench.client.get(url).send().await.unwrap().status(), StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn the_help_names_every_switch() {
    let bench = Bench::subscribed().await;
    let url = format!("http://{}/sandbox", bench.sandbox.address());
    let help = bench.client.get(&url).send().await.unwrap().text().await.unwrap();
    let switches = bench.client.get(url + "/portal").send().await.unwrap().text().await.unwrap();
    let switches: Value = serde_json::from_str(&switches).unwrap();
    for switch in switches.as_object().unwrap().keys() {
        assert!(help.contains(switch), "{switch}");
    }
}

#[tokio::test]
async fn background_traffic_reaches_every_subscribed_user() {
    let config = SandboxConfig { subscribed: true, rate: 2000.0, ..SandboxConfig::default() };
    let bench = Bench::new(config).await;
    let mut pending = 0;
    while pending < 50 {
        pending = bench.poll(1).await.len();
        tokio::task::yield_now().await;
    }
    let ledgers: Vec<_> = (1..=3).map(|user| bench.sandbox.ledger(user)).collect();
    assert!(ledgers.iter().all(|ledger| !ledger.is_empty()));
    let (_, json) = bench.call(GET, json!({"offset": 1, "limit": 1000})).await;
    for event in json["result"]["events"].as_array().unwrap() {
        let chat = &event["data"]["chat"];
        if chat["type"] == "private" {
            assert_ne!(chat["dialogId"], "1", "a private chat is addressed by the counterpart");
        }
    }
}

#[tokio::test]
async fn faults_that_answer_for_the_portal() {
    let bench = Bench::subscribed().await;
    bench.fault(json!({"kind": "error", "status": 429, "code": 0, "headers": {"Retry-After": "7"}, "extra": {"argument": "x"}})).await;
    let response = bench.send(GET, json!({})).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (429, &"7".parse().unwrap())
    );
    assert_eq!(response.text().await.unwrap(), r#"{"argument":"x","error":0}"#);

    bench
        .fault(json!({"kind": "raw", "status": 200, "content_type": "text/plain", "body": "PHP Warning"}))
        .await;
    let response = bench.send(GET, json!({})).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/plain");
    assert_eq!(response.text().await.unwrap(), "PHP Warning");

    bench.fault(json!({"kind": "html", "status": 503})).await;
    let response = bench.send(GET, json!({})).await.unwrap();
    assert_eq!(response.status().as_u16(), 503);
    assert!(response.text().await.unwrap().starts_with("<!DOCTYPE html>"));

    bench.fault(json!({"kind": "empty", "status": 200})).await;
    assert_eq!(bench.send(GET, json!({})).await.unwrap().text().await.unwrap(), "");

    let location = "https://new.example.com/rest/1/x/im.v2.Event.get";
    bench.fault(json!({"kind": "redirect", "status": 302, "location": location})).await;
    let response = bench.send(GET, json!({})).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), response.headers()["location"].to_str().unwrap()),
        (302, location)
    );

    bench.poll(1).await;
    assert_eq!(bench.sandbox.stats().faults, 5);
}

#[tokio::test]
async fn faults_that_close_the_connection_leave_no_answer() {
    let bench = Bench::subscribed().await;
    let ledger = bench.record(3);
    bench.fault(json!({"kind": "close_before"})).await;
    assert_eq!(bench.raw_poll("keep-alive").await, b"");
    assert_eq!(bench.sandbox.stats().users[&1].last_offset, 0, "not carried out");

    bench.fault(json!({"kind": "close_after"})).await;
    assert!(bench.send(GET, json!({"offset": ledger[2]})).await.is_err());
    let stats = &bench.sandbox.stats().users[&1];
    assert_eq!((stats.confirmed, stats.served), (2, 0), "carried out");
    assert_eq!(bench.poll(ledger[2]).await, [ledger[2]], "the next call is answered");
}

#[tokio::test]
async fn faults_that_cut_the_body() {
    let bench = Bench::subscribed().await;
    bench.record(20);
    bench.fault(json!({"kind": "truncate", "at": 100})).await;
    let answer = String::from_utf8(bench.raw_poll("keep-alive").await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // One chunk of 100 bytes (64 in hexadecimal), and no final one.
    let body = answer.split_once("\r\n\r\n64\r\n").unwrap().1;
    assert!(body.len() == 102 && body.starts_with(r#"{"result":{"events":["#), "{body}");

    for fault in [json!({"kind": "truncate", "at": 0.5}), json!({"kind": "truncate", "at": 1})] {
        bench.fault(fault).await;
        assert!(bench.read().await.is_err());
    }
    bench.fault(json!({"kind": "wrong_length"})).await;
    assert!(bench.read().await.is_err());
    bench.fault(json!({"kind": "wrong_length"})).await;
    assert!(bench.raw_poll("keep-alive").await.ends_with(b"}"), "the whole body arrives");
    bench.fault(json!({"kind": "gzip_cut"})).await;
    assert!(bench.read().await.is_err(), "a client that unpacks gzip finds its end missing");
    bench.fault(json!({"kind": "gzip_cut"})).await;
    let answer = String::from_utf8_lossy(&bench.raw_poll("close").await).into_owned();
    assert!(answer.contains("content-encoding: gzip\r\n") && answer.contains("\u{1f}\u{fffd}\u{8}"));
    assert!(bench.read().await.is_ok(), "the portal goes on");
    assert_eq!(bench.sandbox.stats().users[&1].served, 20);
}

#[tokio::test]
async fn faults_that_take_their_time() {
    let bench = Bench::subscribed().await;
    bench.record(2);
    bench.fault(json!({"kind": "stall", "seconds": 0.05})).await;
    assert_eq!(bench.poll(1).await.len(), 2);
    bench.fault(json!({"kind": "drip", "bytes_per_second": 50_000})).await;
    assert_eq!(bench.poll(1).await.len(), 2);
}

#[tokio::test]
async fn a_stalled_answer_does_not_hold_up_the_stop() {
    let bench = Bench::subscribed().await;
    bench.fault(json!([{"kind": "stall", "seconds": 600}, {"kind": "drip", "bytes_per_second": 1}])).await;
    let Bench { sandbox, client } = bench;
    let url = sandbox.webhook_url(1) + GET;
    let calls = [0, 1].map(|_| {
        let call = client.get(&url).send();
        tokio::spawn(async move { call.await?.text().await })
    });
    while sandbox.stats().requests.get(GET) != Some(&2) {
        tokio::task::yield_now().await;
    }
    sandbox.stop().await;
    for call in calls {
        assert!(call.await.unwrap().is_err());
    }
}

#[tokio::test]
async fn faults_that_bend_the_answer() {
    let bench = Bench::subscribed().await;
    let ledger = bench.record(3);
    bench.fault(json!({"kind": "shuffle"})).await;
    assert_eq!(bench.poll(1).await, [ledger[2], ledger[1], ledger[0]]);
    bench.fault(json!({"kind": "duplicate"})).await;
    assert_eq!(bench.poll(1).await, [ledger[0], ledger[0], ledger[1], ledger[2]]);
    bench
        .fault(json!({"kind": "rewrite", "pointer": "/result/events", "value": [],
            "edits": [{"pointer": "/result/hasMore", "value": true}, {"pointer": "/time", "remove": true}]}))
        .await;
    let (_, json) = bench.call(GET, json!({"offset": 1})).await;
    assert_eq!(json, json!({"result": {"events": [], "hasMore": true, "nextOffset": ledger[2] + 1}}));
    bench.fault(json!({"kind": "rewrite", "pointer": "/result/nextOffset", "value": null})).await;
    assert_eq!(bench.call(GET, json!({})).await.1["result"].get("nextOffset"), Some(&Value::Null));
}

#[tokio::test]
async fn answers_can_be_noisy_or_no_json_at_all() {
    let bench = Bench::subscribed().await;
    let text = async || {
        let response = bench.send("profile", json!({})).await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    bench.control("portal", json!({"noise_before": true, "noise_after": true})).await;
    let (status, noisy) = text().await;
    assert_eq!(status, 200);
    assert!(
        noisy.starts_with("<br />\n<b>Warning</b>:") && noisy.contains(r#"{"result":{"ID":"1","ADMIN":"#)
    );
    assert!(noisy.ends_with("-->\n"), "{noisy}");
    bench.control("portal", json!({"noise_before": false, "noise_after": false, "html": true})).await;
    bench.control("events", json!({"user": 1})).await;
    let (status, html) = text().await;
    assert!(status == 200 && html.starts_with("<!DOCTYPE html>"), "{html}");
    bench.send("im.v2.Event.get", json!({"offset": u32::MAX})).await.unwrap();
    bench.control("portal", json!({"html": false})).await;
    assert_eq!(bench.sandbox.stats().users[&1].pending, 1, "no call is carried out meanwhile");
    bench.sandbox.cut();
    bench.send("im.v2.Event.get", json!({"offset": u32::MAX})).await.unwrap_err();
    bench.sandbox.reconnect();
    assert_eq!(bench.sandbox.stats().users[&1].pending, 1, "nor while the portal is cut off");
    bench.send("im.v2.Event.get", json!({"offset": u32::MAX})).await.unwrap();
    assert_eq!(bench.sandbox.stats().users[&1].pending, 0);
}

#[tokio::test]
async fn what_the_server_cannot_load_is_an_id_or_nothing() {
    let bench = Bench::subscribed().await;
    let data = async |loaded: &str| {
        bench.control("portal", json!({"loaded": loaded})).await;
        let order = json!({"user": 1, "chat": 320, "type": "ONIMV2MESSAGEADD"});
        let id = bench.control("events", order).await["first"].clone();
        let page = bench.call("im.v2.Event.get", json!({"offset": id})).await.1;
        page["result"]["events"][0]["data"].clone()
    };
    let whole = data("whole").await;
    assert_eq!((&whole["chat"]["id"], &whole["chat"]["type"]), (&json!(320), &json!("private")));
    let ids = data("ids").await;
    assert_eq!(ids["chat"], json!({"id": 320}));
    assert!(ids["message"].as_object().unwrap().len() == 1 && ids["user"].as_object().unwrap().len() == 1);
    assert_eq!(data("nothing").await["chat"], json!([]));
}

#[tokio::test]
async fn payloads_are_as_various_as_those_of_a_portal() {
    let config = SandboxConfig { subscribed: true, chats: 20, ..SandboxConfig::default() };
    let payloads = async || {
        let bench = Bench::new(config.clone()).await;
        bench.control("events", json!({"user": 1, "count": 900})).await;
        let page = bench.call("im.v2.Event.get", json!({"limit": 1000})).await.1;
        let events = page["result"]["events"].as_array().unwrap().clone();
        events.into_iter().map(|event| (event["type"].clone(), event["data"].clone())).collect::<Vec<_>>()
    };
    let all = payloads().await;
    let has = |pointer: &str, value: Value| {
        assert!(all.iter().any(|(_, data)| data.pointer(pointer) == Some(&value)), "{pointer}: {value}");
    };
    for kind in ["private", "chat", "open", "lines", "channel", "copilot", "collab", "thread"] {
        has("/chat/type", json!(kind));
    }
    for kind in ["user", "bot", "extranet"] {
        has("/user/type", json!(kind));
    }
    for pointer in ["/chat/color", "/chat/diskFolderId", "/chat/parentChatId", "/chat/parentMessageId"] {
        has(pointer, Value::Null);
    }
    for param in ["FILE_ID", "ATTACH", "KEYBOARD", "REPLY_ID", "IS_EDITED"] {
        let pointer = format!("/message/params/{param}");
        assert!(all.iter().any(|(_, data)| data.pointer(&pointer).is_some()), "{param}");
    }
    let without_dates = |payloads: &[(Value, Value)]| {
        let texts = payloads.iter().map(|(kind, data)| {
            (
                kind.clone(),
                data.pointer("/message/params").cloned(),
                data["user"].clone(),
                data["chat"].clone(),
            )
        });
        texts.collect::<Vec<_>>()
    };
    assert_eq!(
        without_dates(&payloads().await),
        without_dates(&all),
        "the same seed gives the same payloads"
    );
}
