//! Limits, delays and moves of a portal, over real TCP: operating time, the replica, batches, its address.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::tests::bench::{Bench, ids};

const GET: &str = "im.v2.Event.get";

#[tokio::test]
async fn a_method_that_took_too_long_is_blocked_until_its_oldest_bucket_drops_out() {
    let bench = Bench::subscribed().await;
    bench.control("clock", json!({"set": "2026-08-20T06:15:00Z", "freeze": true})).await;
    bench.control("portal", json!({"operating_limit_s": 5, "execution_s": 2.5})).await;
    let operating = async || {
        let (status, json) = bench.call(GET, json!({"offset": 1})).await;
        (status.as_u16(), json["time"]["operating"].clone(), json["time"]["operating_reset_at"].clone())
    };
    assert_eq!(operating().await, (200, json!(2.5), json!(1_787_207_100)));
    assert_eq!(operating().await, (200, json!(5.0), json!(1_787_207_100)), "the limit is not too much yet");
    bench.control("clock", json!({"advance_s": 60})).await;
    assert_eq!(operating().await, (200, json!(7.5), json!(1_787_207_100)));

    let (status, refusal) = bench.call(GET, json!({"offset": 1})).await;
    assert_eq!((status, &refusal["error"]), (StatusCode::TOO_MANY_REQUESTS, &json!("OPERATION_TIME_LIMIT")));
    assert!(refusal.get("time").is_none());
    assert_eq!(bench.call("profile", json!({})).await.0, StatusCode::OK, "another method");
    let token = bench.token(1).await;
    assert_eq!(bench.call_as(&token, GET, json!({})).await.0, StatusCode::OK, "another credential");

    bench.control("clock", json!({"advance_s": 540})).await;
    assert_eq!(operating().await, (200, json!(5.0), json!(1_787_207_160)));
    assert_eq!(bench.sandbox.stats().blocked, 1);
}

#[tokio::test]
async fn a_quick_call_costs_nothing() {
    let bench = Bench::subscribed().await;
    bench.control("portal", json!({"operating_limit_s": 0, "execution_s": 0.1})).await;
    for _ in 0..3 {
        let (status, json) = bench.call(GET, json!({})).await;
        assert_eq!((status, &json["time"]["operating"]), (StatusCode::OK, &json!(0)));
    }
}

#[tokio::test]
async fn a_lagging_replica_hides_what_is_young() {
    let bench = Bench::subscribed().await;
    bench.control("clock", json!({"freeze": true})).await;
    bench.control("portal", json!({"replica_lag_s": 5})).await;
    let ledger = bench.record(2);
    assert_eq!(bench.poll(0).await, [0; 0]);
    assert_eq!(bench.poll(1).await, ledger, "an offset reads the master");
    bench.control("clock", json!({"advance_s": 5})).await;
    assert_eq!(bench.poll(0).await, ledger);
}

#[tokio::test]
async fn a_batch_answers_each_call_on_its_own() {
    let bench = Bench::subscribed().await;
    let ledger = bench.record(2);
    let get = format!("{GET}?offset={}&limit=5", ledger[1]);
    let cmd = json!({"z": "profile", "none": "im.nope", "page": get, "bad": format!("{GET}?offset=x"),
        "again": "batch?cmd[0]=profile", "scope": "imbot.v2.Revision.get"});
    let (status, json) = bench.call("batch", json!({"cmd": cmd})).await;
    assert_eq!(status, StatusCode::OK);
    let result = &json["result"];
    assert_eq!(result["result"]["z"]["ID"], "1");
    assert_eq!(ids(&json!({"result": result["result"]["page"]})), ledger[1..]);
    assert_eq!(bench.sandbox.stats().users[&1].confirmed, 1, "what is within is carried out");
    let errors = ["none", "bad", "again", "scope"].map(|key| result["result_error"][key]["error"].clone());
    let expected = ["ERROR_METHOD_NOT_FOUND", "100", "ERROR_BATCH_METHOD_NOT_ALLOWED", "insufficient_scope"];
    assert_eq!(json!(errors), json!(expected));
    assert_eq!(result["result_error"]["scope"]["error_description"], "");
    assert_eq!((&result["result_total"], &result["result_next"]), (&json!([]), &json!([])));
    assert_eq!(result["result_time"]["z"]["operating"], 0);
    assert!(json["time"]["start"].is_number());
    assert_eq!(bench.sandbox.stats().requests.get("batch"), Some(&1));
}

#[tokio::test]
async fn a_list_within_a_batch_tells_its_total_apart() {
    let bench = Bench::subscribed().await;
    let token = bench.token(1).await;
    let cmd = json!({"cmd": {"list": "event.offline.list", "who": "profile"}});
    let (status, json) = bench.call_as(&token, "batch", cmd).await;
    assert_eq!(status, StatusCode::OK);
    let result = &json["result"];
    assert_eq!((&result["result"]["list"], &result["result_total"]), (&json!([]), &json!({"list": 0})));
    assert_eq!(result["result"]["who"]["ID"], "1");
}

#[tokio::test]
async fn a_batch_keeps_its_order_and_halts() {
    let bench = Bench::subscribed().await;
    // Sent as text, because a map in memory would sort the names.
    let body = r#"{"halt":1,"cmd":{"b":"profile","c":"nope","a":"profile"}}"#;
    let request = bench.client.post(bench.url("batch")).header("content-type", "application/json");
    let text = request.body(body).send().await.unwrap().text().await.unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    let keys = |name: &str| json["result"][name].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!((keys("result"), keys("result_error")), (vec!["b".to_owned()], vec!["c".to_owned()]));

    let form = "halt=0&cmd[]=profile&cmd[]=nope&cmd[]=server.time";
    let request = bench.client.post(bench.url("batch"));
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
    let json: Value = serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap();
    assert!(json["result"]["result"]["2"].is_string() && json["result"]["result_error"]["1"].is_object());
}

#[tokio::test]
async fn a_call_of_a_batch_refers_to_what_an_earlier_one_returned() {
    let bench = Bench::subscribed().await;
    let ledger = bench.record(3);
    let offset = "%24result%5Bfirst%5D%5BnextOffset%5D";
    let cmd = json!({
        "first": "im.v2.Event.get?offset=1&limit=2",
        "second": format!("im.v2.Event.get?offset={offset}"),
        "third": "im.v2.Event.get?offset=$result[nobody][nextOffset]",
    });
    let result = bench.call("batch", json!({"cmd": cmd})).await.1["result"].clone();
    assert_eq!(result["result"]["second"]["events"][0]["eventId"], ledger[2], "{result}");
    assert_eq!(result["result_error"]["third"]["error"], "100", "nothing is there: an empty offset");
}

#[tokio::test]
async fn a_batch_carries_fifty_calls() {
    let bench = Bench::subscribed().await;
    let (_, json) = bench.call("batch", json!({"cmd": vec!["server.time"; 52]})).await;
    let result = &json["result"];
    assert_eq!(result["result"].as_array().unwrap().len(), 50);
    let errors = result["result_error"].as_object().unwrap();
    assert_eq!(errors.keys().collect::<Vec<_>>(), ["50", "51"]);
    assert_eq!(errors["50"]["error"], "ERROR_BATCH_LENGTH_EXCEEDED");
    assert_eq!(bench.call("batch", json!({})).await.1["result"]["result"], json!([]));
}

#[tokio::test]
async fn a_batch_spends_the_time_of_its_calls_and_they_spend_none() {
    let bench = Bench::subscribed().await;
    bench.control("portal", json!({"operating_limit_s": 3, "execution_s": 2})).await;
    let cmd = json!({"cmd": ["profile", "scope"]});
    let json = bench.call("batch", cmd.clone()).await.1;
    assert_eq!(json["result"]["result_time"][0]["operating"], 0);
    assert_eq!(json["time"]["operating"], 4.0);
    assert_eq!(bench.call("batch", cmd).await.0, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(bench.call("profile", json!({})).await.0, StatusCode::OK, "called alone it has spent nothing");
}

#[tokio::test]
async fn a_portal_that_moved_sends_calls_after_it() {
    let bench = Bench::subscribed().await;
    let ledger = bench.record(1);
    let old = bench.url(GET);
    let moved = bench.control("move", json!({})).await["address"].as_str().unwrap().to_owned();
    assert_ne!(moved, bench.sandbox.address().to_string());

    let response = bench.client.post(format!("{old}?offset=1")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::FOUND);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let home = bench.sandbox.address().to_string();
    assert_eq!(location, format!("{}?offset=1", old.replace(&home, &moved)));
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    assert!(response.text().await.unwrap().starts_with("<!DOCTYPE html>"));
    let stats = bench.sandbox.stats();
    assert_eq!((stats.redirected, stats.requests.get(GET)), (1, None));

    assert!(bench.url(GET).contains(&moved), "webhooks are shown with the new address");
    assert_eq!(bench.poll(1).await, ledger);
    assert_eq!(bench.login(1).await["client_endpoint"], format!("http://{moved}/rest/"));
    for path in ["sandbox/stats", "oauth/token/"] {
        for address in [&home, &moved] {
            let url = format!("http://{address}/{path}");
            let answer = bench.client.get(&url).send().await.unwrap().status();
            assert!(!answer.is_redirection() && answer != StatusCode::NOT_FOUND, "{url}: {answer}");
        }
    }
    bench.sandbox.stop().await;
}

#[tokio::test]
async fn a_portal_moves_on_and_back() {
    let bench = Bench::subscribed().await;
    let target = async |url: &str| {
        let response = bench.client.get(url).send().await.unwrap();
        response.headers().get("location").map(|location| location.to_str().unwrap().to_owned())
    };
    let first = bench.url("profile");
    bench.control("move", json!({})).await;
    let second = bench.url("profile");
    bench.control("move", json!({})).await;
    let third = bench.url("profile");
    assert_eq!((target(&first).await, target(&second).await), (Some(third.clone()), Some(third.clone())));
    assert_eq!(target(&third).await, None);

    let back = bench.control("move", json!({"back": true})).await;
    assert_eq!(back["address"], bench.sandbox.address().to_string());
    assert_eq!((target(&first).await, target(&third).await), (None, Some(first.clone())));
    assert_eq!(bench.url("profile"), first);
}
