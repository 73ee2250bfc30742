//! `event.*` over real TCP: bindings of applications, and their offline events.

use serde_json::{Value, json};

use crate::tests::bench::Bench;

const URL: &str = "https://app.example.com/handler";

impl Bench {
    /// Status and body of a call by an application for `user`.
    async fn app_call(&self, user: u64, method: &str, body: Value) -> (u16, Value) {
        let token = self.token(user).await;
        let (status, json) = self.call_as(&token, method, body).await;
        (status.as_u16(), json)
    }

    async fn app_result(&self, user: u64, method: &str, body: Value) -> Value {
        let (status, json) = self.app_call(user, method, body).await;
        assert_eq!(status, 200, "{method}: {json}");
        json["result"].clone()
    }

    async fn app_error(&self, user: u64, method: &str, body: Value) -> (u16, String) {
        let (status, json) = self.app_call(user, method, body).await;
        (status, json["error"].as_str().unwrap_or_default().to_owned())
    }

    /// Binds ONUSERADD offline, and adds `count` events to the queue.
    async fn wait_offline(&self, count: u64) {
        self.control("handlers", json!({"event": "onuseradd", "event_type": "offline"})).await;
        for number in 1..=count {
            self.control("offline", json!({"event": "ONUSERADD", "data": {"ID": number}})).await;
        }
    }
}

fn ids(events: &Value) -> Vec<&str> {
    events.as_array().unwrap().iter().map(|event| event["ID"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_webhook_is_the_wrong_credential() {
    let bench = Bench::subscribed().await;
    for method in ["events", "event.bind", "event.get", "event.unbind"] {
        let (status, json) = bench.call(method, json!({})).await;
        assert_eq!((status.as_u16(), &json["error"]), (403, &json!("WRONG_AUTH_TYPE")), "{method}");
    }
    for method in ["get", "list", "clear", "error"] {
        let (status, json) = bench.call(&format!("event.offline.{method}"), json!({})).await;
        assert_eq!((status.as_u16(), &json["error"]), (403, &json!("WRONG_AUTH_TYPE")), "{method}");
    }
}

#[tokio::test]
async fn an_application_binds_what_its_scopes_offer() {
    let bench = Bench::subscribed().await;
    let names = bench.app_result(1, "events", json!({})).await;
    let names = names.as_array().unwrap();
    assert!(names.contains(&json!("ONAPPINSTALL")) && names.contains(&json!("ONIMBOTV2MESSAGEADD")));
    assert!(!names.contains(&json!("ONUSERADD")) && !names.contains(&json!("ONIMV2MESSAGEADD")));
    assert_eq!(bench.app_result(1, "events", json!({"scope": "user"})).await, json!(["ONUSERADD"]));
    assert!(bench.app_result(1, "events", json!({"full": 1})).await.as_array().unwrap().len() > names.len());

    let bind = json!({"event": "OnAppInstall", "handler": URL});
    assert_eq!(bench.app_result(1, "event.bind", bind.clone()).await, true);
    let (status, json) = bench.app_call(1, "event.bind", bind).await;
    assert_eq!((status, &json["error"]), (400, &json!("ERROR_CORE")));
    assert!(json["error_description"].as_str().unwrap().ends_with("Handler already binded"));
    assert_eq!(
        bench.app_result(1, "event.get", json!({})).await,
        json!([{"event": "ONAPPINSTALL", "handler": URL, "auth_type": "0", "offline": 0}])
    );
    for (body, status, code) in [
        (json!({"handler": URL}), 400, "ERROR_ARGUMENT"),
        (json!({"event": "ONAPPINSTALL"}), 400, "ERROR_ARGUMENT"),
        (json!({"event": "ONAPPINSTALL", "handler": URL, "event_type": "x"}), 400, "ERROR_ARGUMENT"),
        (json!({"event": "ONIMV2MESSAGEADD", "handler": URL}), 400, "ERROR_EVENT_NOT_FOUND"),
        (json!({"event": "ONUSERADD", "handler": URL}), 400, "ERROR_EVENT_NOT_FOUND"),
        (json!({"event": "ONAPPINSTALL", "handler": "ftp://a.b/c"}), 400, "ERROR_UNSUPPORTED_PROTOCOL"),
        (json!({"event": "ONAPPINSTALL", "handler": "http://here/c.d"}), 400, "ERROR_WRONG_HANDLER_URL"),
    ] {
        assert_eq!(bench.app_error(1, "event.bind", body.clone()).await, (status, code.into()), "{body}");
    }
}

#[tokio::test]
async fn who_is_no_administrator_binds_for_himself_only() {
    let bench = Bench::subscribed().await;
    let bind = |auth_type: Value| json!({"event": "ONAPPUPDATE", "handler": URL, "auth_type": auth_type});
    let denied = (403, "ACCESS_DENIED".to_owned());
    assert_eq!(bench.app_error(2, "event.bind", bind(json!(3))).await, denied);
    let offline = json!({"event": "ONAPPUPDATE", "event_type": "offline"});
    assert_eq!(bench.app_error(2, "event.bind", offline.clone()).await, denied);
    assert_eq!(bench.app_error(2, "event.offline.list", json!({})).await, denied);
    bench.app_result(2, "event.bind", json!({"EVENT": "ONAPPUPDATE", "HANDLER": URL})).await;
    bench.app_result(1, "event.bind", bind(json!(3))).await;
    bench.app_result(1, "event.bind", offline).await;
    let own = bench.app_result(2, "event.get", json!({})).await;
    assert_eq!((own.as_array().unwrap().len(), &own[0]["auth_type"]), (1, &json!("2")));
    let all = bench.app_result(1, "event.get", json!({})).await;
    assert_eq!(all.as_array().unwrap().len(), 3);
    assert_eq!(all[2], json!({"event": "ONAPPUPDATE", "connector_id": "", "offline": 1}));
}

#[tokio::test]
async fn unbinding_counts_what_it_removes() {
    let bench = Bench::subscribed().await;
    bench.control("apps", json!({"client_id": "local.two"})).await;
    for binding in [
        json!({"event": "ONIMV2MESSAGEADD", "handler": URL, "auth_type": 0}),
        json!({"event": "ONIMV2MESSAGEADD", "handler": URL, "auth_type": 2}),
        json!({"event": "ONIMV2MESSAGEADD", "handler": URL, "auth_type": 3}),
        json!({"event": "ONIMV2MESSAGEADD", "handler": URL, "auth_type": 1}),
        json!({"event": "ONIMV2MESSAGEADD", "event_type": "offline"}),
        json!({"event": "ONIMV2MESSAGEADD", "handler": URL, "client_id": "local.two"}),
    ] {
        bench.control("handlers", binding).await;
    }
    let named = |auth_type: Option<Value>| {
        let mut body = json!({"event": "onImV2MessageAdd", "handler": URL});
        if let Some(auth_type) = auth_type {
            body["auth_type"] = auth_type;
        }
        body
    };
    let unbound =
        async |user: u64, body: Value| bench.app_result(user, "event.unbind", body).await["count"].clone();
    assert_eq!(unbound(1, json!({"event": "ONIMV2MESSAGEADD", "handler": format!("{URL}/")})).await, 0);
    assert_eq!(unbound(1, named(Some(json!(0)))).await, 1, "bound with none");
    for refused in [json!("2"), json!(3), json!(0)] {
        let error = bench.app_error(2, "event.unbind", named(Some(refused.clone()))).await;
        assert_eq!(error, (403, "ACCESS_DENIED".into()), "{refused}");
    }
    assert_eq!(unbound(2, named(Some(json!(2)))).await, 1);
    assert_eq!(unbound(3, named(None)).await, 1, "his own");
    assert_eq!(unbound(1, named(None)).await, 1, "everybody's");
    assert_eq!(unbound(1, named(None)).await, 0);
    assert_eq!(unbound(1, json!({"event": "ONIMV2MESSAGEADD", "event_type": "offline"})).await, 1);
    let (status, json) = bench.app_call(1, "event.unbind", json!({"event": "ONIMV2MESSAGEADD"})).await;
    assert_eq!(
        (status, &json["error"], &json["argument"]),
        (400, &json!("ERROR_ARGUMENT"), &json!("HANDLER"))
    );
    let list = bench.client.get(bench.sandbox.base_url() + "sandbox/handlers").send().await.unwrap();
    let list: Value = serde_json::from_str(&list.text().await.unwrap()).unwrap();
    assert_eq!((list.as_array().unwrap().len(), &list[0]["client_id"]), (1, &json!("local.two")));
}

#[tokio::test]
async fn offline_events_are_fetched_once() {
    let bench = Bench::subscribed().await;
    bench.wait_offline(3).await;
    bench.control("offline", json!({"event": "ONUSERADD", "data": {"ID": 1}})).await;
    let first = bench.app_result(1, "event.offline.get", json!({"limit": 2})).await;
    assert_eq!(first["process_id"], Value::Null);
    assert_eq!(
        (ids(&first["events"]), &first["events"][0]["EVENT_DATA"]),
        (vec!["1", "2"], &json!({"ID": 1}))
    );
    assert_eq!(first["events"][0]["MESSAGE_ID"].as_str().unwrap().len(), 32);
    let rest = bench.app_result(1, "event.offline.get", json!({})).await;
    assert_eq!(ids(&rest["events"]), ["3"]);
    let error = bench.app_error(1, "event.offline.get", json!({"limit": 0})).await;
    assert_eq!(error, (400, "ERROR_ARGUMENT".into()));
}

#[tokio::test]
async fn reserved_events_are_hidden_until_they_are_cleared() {
    let bench = Bench::subscribed().await;
    bench.wait_offline(3).await;
    let reserve = json!({"clear": 0, "limit": 2, "order": {"ID": "DESC"}});
    let reserved = bench.app_result(1, "event.offline.get", reserve).await;
    let process_id = reserved["process_id"].as_str().unwrap();
    assert_eq!((process_id.len(), ids(&reserved["events"])), (32, vec!["3", "2"]));
    let others = bench.app_result(1, "event.offline.get", json!({"clear": 0})).await;
    assert_eq!(ids(&others["events"]), ["1"]);
    let again = bench.app_result(1, "event.offline.get", json!({"clear": 0, "process_id": process_id})).await;
    assert_eq!(again["process_id"], process_id);
    assert_eq!(ids(&again["events"]), ["2", "3"]);

    for body in [json!({}), json!({"process_id": process_id, "message_id": ["1"]})] {
        assert_eq!(bench.app_error(1, "event.offline.clear", body).await, (400, "ERROR_ARGUMENT".into()));
    }
    let clear = json!({"process_id": process_id, "id": [2]});
    assert_eq!(bench.app_result(1, "event.offline.clear", clear).await, true);
    assert_eq!(bench.app_result(1, "event.offline.error", json!({"process_id": process_id})).await, true);
    let (_, list) = bench.app_call(1, "event.offline.list", json!({})).await;
    assert_eq!((ids(&list["result"]), &list["total"], list.get("next")), (vec!["1", "3"], &json!(2), None));
    let failed = bench.app_result(1, "event.offline.get", json!({"error": 1})).await;
    assert_eq!(ids(&failed["events"]), ["3"]);

    bench.control("portal", json!({"extended_offline": false})).await;
    for body in [json!({"clear": 0}), json!({"auth_connector": "crm"})] {
        assert_eq!(bench.app_error(1, "event.offline.get", body).await, (403, "WRONG_LICENSE".into()));
    }
}

#[tokio::test]
async fn waiting_events_are_listed_page_by_page() {
    let bench = Bench::subscribed().await;
    bench.wait_offline(60).await;
    let (_, page) = bench.app_call(1, "event.offline.list", json!({})).await;
    assert_eq!((ids(&page["result"]).len(), &page["total"], &page["next"]), (50, &json!(60), &json!(50)));
    let (_, rest) = bench.app_call(1, "event.offline.list", json!({"start": 50})).await;
    assert_eq!((ids(&rest["result"]).len(), rest.get("next")), (10, None));
    let (_, some) = bench.app_call(1, "event.offline.list", json!({"filter": {"=ID": ["7", 9, 99]}})).await;
    assert_eq!(ids(&some["result"]), ["7", "9"]);
    let last = json!({"filter": {">ID": 57, "<=ID": "59"}, "order": {"ID": "DESC"}, "start": -1});
    let (_, last) = bench.app_call(1, "event.offline.list", last).await;
    assert_eq!(ids(&last["result"]), ["59", "58"]);
    let error = bench.app_error(1, "event.offline.list", json!({"filter": {"COLOR": 1}})).await;
    assert_eq!(error, (400, "ERROR_ARGUMENT".into()));
    bench.control("clock", json!({"advance_s": 2_952_001})).await;
    assert_eq!(bench.app_call(1, "event.offline.list", json!({})).await.1["total"], 0, "34 days and 4 hours");
}
