//! Bots over real TCP: registration, queues, and every error in the right order.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::tests::bench::{Bench, ids};

const EVENTS: &str = "imbot.v2.Event.get";
const REGISTER: &str = "imbot.v2.Bot.register";
const UNREGISTER: &str = "imbot.v2.Bot.unregister";

impl Bench {
    /// A portal whose first webhook may manage bots.
    async fn with_bots() -> Self {
        let bench = Self::subscribed().await;
        bench.control("users/1", json!({"scopes": ["im", "imbot"]})).await;
        bench
    }

    /// Registers a bot with the token `secret`.
    async fn bot(&self) -> u64 {
        self.control("bots", json!({"code": "support", "token": "secret"})).await["id"].as_u64().unwrap()
    }

    async fn error_of(&self, method: &str, body: Value) -> (u16, String) {
        let (status, json) = self.call(method, body).await;
        assert!(json.get("time").is_none() && json.get("result").is_none(), "{json}");
        (status.as_u16(), json["error"].as_str().unwrap().to_owned())
    }

    async fn result_of(&self, method: &str, body: Value) -> Value {
        let (status, json) = self.call(method, body).await;
        assert_eq!(status, StatusCode::OK, "{method}: {json}");
        json["result"].clone()
    }

    async fn record_for(&self, bot: u64, count: u32) -> Vec<u64> {
        self.control("events", json!({"bot": bot, "count": count})).await;
        self.ledger_of(bot).await
    }

    async fn ledger_of(&self, bot: u64) -> Vec<u64> {
        let url = format!("{}sandbox/ledger?bot={bot}", self.sandbox.base_url());
        let text = self.client.get(url).send().await.unwrap().text().await.unwrap();
        let ledger: Value = serde_json::from_str(&text).unwrap();
        ledger["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect()
    }

    async fn bots(&self) -> Value {
        let url = format!("{}sandbox/bots", self.sandbox.base_url());
        serde_json::from_str(&self.client.get(url).send().await.unwrap().text().await.unwrap()).unwrap()
    }
}

fn bad(code: &str) -> (u16, String) {
    (400, code.to_owned())
}

#[tokio::test]
async fn a_bots_events_are_read_and_confirmed() {
    let bench = Bench::with_bots().await;
    let bot = bench.bot().await;
    let ledger = bench.record_for(bot, 5).await;
    let ask = |offset: u64| json!({"botId": bot, "botToken": "secret", "offset": offset, "limit": 1000});
    let (_, json) = bench.call(EVENTS, ask(1)).await;
    assert_eq!(ids(&json), ledger);
    for event in json["result"]["events"].as_array().unwrap() {
        assert!(event["type"].as_str().unwrap().starts_with("ONIMBOTV2"), "{event}");
        assert_eq!(
            (&event["data"]["bot"]["id"], &event["data"]["bot"]["code"]),
            (&json!(bot), &json!("support"))
        );
        assert!(event["data"]["bot"].get("appId").is_none(), "a token is nobody's business");
    }
    let (_, json) = bench.call(EVENTS, ask(ledger[4] + 1)).await;
    assert_eq!(json["result"], json!({"events": [], "nextOffset": ledger[4] + 1, "hasMore": false}));
    let stats = bench.sandbox.stats();
    let stats = &stats.bots[&bot];
    assert_eq!((stats.recorded, stats.served, stats.confirmed, stats.confirmed_unserved), (5, 5, 5, 0));
}

#[tokio::test]
async fn events_are_refused_in_the_portals_order() {
    let bench = Bench::subscribed().await;
    assert_eq!(bench.error_of(EVENTS, json!({})).await, (401, "insufficient_scope".into()));
    bench.control("users/1", json!({"scopes": ["imbot"]})).await;
    let bot = bench.bot().await;
    let mut ask = json!({"botId": "x", "withUserEvents": true});
    assert_eq!(bench.error_of(EVENTS, ask.clone()).await, bad("100"));
    ask.as_object_mut().unwrap().remove("botId");
    assert_eq!(bench.error_of(EVENTS, ask.clone()).await, bad("BOT_TOKEN_NOT_SPECIFIED"));
    ask["botToken"] = "wrong".into();
    assert_eq!(bench.error_of(EVENTS, ask.clone()).await, bad("BOT_ID_REQUIRED"));
    ask["botId"] = 1.into();
    assert_eq!(bench.error_of(EVENTS, ask.clone()).await, bad("BOT_NOT_FOUND"));
    ask["botId"] = bot.into();
    assert_eq!(bench.error_of(EVENTS, ask.clone()).await, bad("BOT_OWNERSHIP_ERROR"));
    ask["botToken"] = "secret".into();
    assert_eq!(bench.error_of(EVENTS, ask.clone()).await, bad("SCOPE_ERROR"));
    bench.control("users/1", json!({"scopes": ["im", "imbot"], "subscribed": false})).await;
    assert_eq!(bench.error_of(EVENTS, ask.clone()).await, bad("USER_NOT_SUBSCRIBED"));
    bench.control("users/1", json!({"subscribed": true})).await;
    bench.result_of(EVENTS, ask).await;
    // The older spellings work too.
    bench.result_of(EVENTS, json!({"BOT_ID": bot.to_string(), "CLIENT_ID": "secret"})).await;
}

#[tokio::test]
async fn one_offset_confirms_both_queues() {
    let bench = Bench::with_bots().await;
    let bot = bench.bot().await;
    let first = bench.record(1);
    let second = bench.record_for(bot, 1).await;
    let users = bench.record(1);
    let ask = |offset: u64, with: Value| json!({"botId": bot, "botToken": "secret", "offset": offset, "withUserEvents": with});
    let read = async |offset, with| ids(&bench.call(EVENTS, ask(offset, with)).await.1);
    assert_eq!(read(1, json!(false)).await, second);
    let all = [first[0], second[0], users[1]];
    for truthy in [json!(true), json!("N"), json!("false")] {
        assert_eq!(read(1, truthy).await, all);
    }
    assert_eq!(read(users[1], json!(true)).await, all[2..]);
    let stats = bench.sandbox.stats();
    assert_eq!((stats.bots[&bot].confirmed, stats.users[&1].confirmed), (1, 1));
    assert_eq!(bench.poll(1).await, all[2..], "the user's own reader finds the rest");
}

#[tokio::test]
async fn an_application_needs_no_token_and_sees_only_its_own() {
    let bench = Bench::with_bots().await;
    let (token, client_id) = (bench.token(2).await, bench.sandbox.client_id());
    let fields = json!({"code": "app_bot", "properties": {"name": "App"}});
    let (_, json) = bench.call_as(&token, REGISTER, json!({"fields": fields})).await;
    let bot = json["result"]["bot"]["id"].as_u64().unwrap();
    assert!(json["result"]["bot"].get("appId").is_none(), "dropped at revision 35");
    let others = bench.bot().await;

    let ledger = bench.record_for(bot, 2).await;
    let (_, json) = bench.call_as(&token, EVENTS, json!({"botId": bot, "botToken": "ignored"})).await;
    assert_eq!(ids(&json), ledger);
    let (_, json) = bench.call_as(&token, EVENTS, json!({"botId": others})).await;
    assert_eq!(json["error"], "BOT_OWNERSHIP_ERROR");
    let stranger = json!({"botId": bot, "botToken": client_id});
    assert_eq!(bench.error_of(EVENTS, stranger).await, bad("BOT_OWNERSHIP_ERROR"));

    let (_, json) = bench.call_as(&token, "imbot.v2.Bot.list", json!({})).await;
    assert_eq!(json["result"]["bots"].as_array().unwrap().len(), 1);
    let (_, json) = bench.call_as(&token, "imbot.v2.Bot.get", json!({"code": "support"})).await;
    let bot = &json["result"]["bot"];
    assert!(bot["id"] == others && bot.get("eventMode").is_none(), "strangers get the short form: {bot}");
}

#[tokio::test]
async fn registering_twice_gives_the_same_bot_unchanged() {
    let bench = Bench::with_bots().await;
    let fields = |name: &str, token: &str| json!({"fields": {"code": "c", "botToken": token, "properties": {"name": name}, "type": "personal"}});
    let first = bench.result_of(REGISTER, fields("One", "s")).await;
    assert_eq!((&first["users"][0]["name"], &first["bot"]["eventMode"]), (&json!("One"), &json!("fetch")));
    assert_eq!(bench.result_of(REGISTER, fields("Two", "s")).await, first);
    assert_eq!(bench.error_of(REGISTER, fields("Two", "t")).await, bad("BOT_CODE_ALREADY_TAKEN"));
    let nobodys = json!({"fields": {"code": "c", "properties": {"name": "x"}}});
    assert_eq!(bench.error_of(REGISTER, nobodys).await, bad("BOT_TOKEN_NOT_SPECIFIED"));
    assert_eq!(bench.error_of(REGISTER, json!({})).await, bad("100"));
    assert_eq!(bench.error_of(REGISTER, json!({"fields": "x"})).await, bad("100"));

    // The same registration as a form.
    let form = "fields[code]=f&fields[botToken]=s&fields[properties][name]=Form";
    let request = bench.client.post(bench.url(REGISTER)).body(form);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    assert!(request.send().await.unwrap().status().is_success());
    let list = bench.result_of("imbot.v2.Bot.list", json!({"botToken": "s"})).await;
    assert_eq!((list["bots"].as_array().unwrap().len(), &list["hasNextPage"]), (2, &json!(false)));
    let filtered = json!({"botToken": "s", "filter": {"type": "bot"}, "limit": 1});
    let list = bench.result_of("imbot.v2.Bot.list", filtered).await;
    assert_eq!((&list["bots"][0]["code"], &list["hasNextPage"]), (&json!("f"), &json!(true)));
    let wrong = bench.result_of("imbot.v2.Bot.list", json!({"botToken": "wrong"})).await;
    assert_eq!(wrong, json!({"bots": [], "users": [], "hasNextPage": false}), "no error");
}

#[tokio::test]
async fn the_end_of_a_bot_takes_its_events_along() {
    let bench = Bench::with_bots().await;
    let bot = bench.bot().await;
    bench.record_for(bot, 3).await;
    assert_eq!(bench.error_of(UNREGISTER, json!({"botId": bot})).await, bad("BOT_TOKEN_NOT_SPECIFIED"));
    let wrong = json!({"botId": bot, "botToken": "wrong"});
    assert_eq!(bench.error_of(UNREGISTER, wrong).await, bad("BOT_OWNERSHIP_ERROR"));
    let own = json!({"botId": bot, "botToken": "secret"});
    assert_eq!(bench.result_of(UNREGISTER, own.clone()).await, json!({"result": true}));
    for method in [UNREGISTER, EVENTS, "imbot.v2.Bot.get"] {
        assert_eq!(bench.error_of(method, own.clone()).await, bad("BOT_NOT_FOUND"));
    }
    assert_eq!(bench.bots().await, json!([]));
    let stats = bench.sandbox.stats();
    let stats = &stats.bots[&bot];
    assert_eq!((stats.recorded, stats.purged, stats.pending), (4, 4, 0), "its own end is recorded too");
}

#[tokio::test]
async fn the_older_api_ends_bots_of_the_newer_one() {
    let bench = Bench::with_bots().await;
    let refused = async |body| bench.error_of("imbot.unregister", body).await;
    assert_eq!(bench.result_of("imbot.bot.list", json!({})).await, json!([]));
    let bot = bench.bot().await;
    let foreign = bench.control("bots", json!({"code": "x", "name": "X", "client_id": "local.other"})).await;
    let list = bench.result_of("imbot.bot.list", json!({})).await;
    let entry = json!({"ID": foreign["id"], "NAME": "X", "CODE": "x", "OPENLINE": "N"});
    assert_eq!(list[foreign["id"].to_string()], entry, "every bot of the portal");

    assert_eq!(refused(json!({"BOT_ID": bot})).await, (403, "ACCESS_DENIED".into()));
    assert_eq!(refused(json!({"CLIENT_ID": "wrong"})).await, bad("BOT_ID_ERROR"));
    assert_eq!(refused(json!({"BOT_ID": 0, "CLIENT_ID": "wrong"})).await, bad("BOT_ID_ERROR"));
    assert_eq!(refused(json!({"BOT_ID": bot, "CLIENT_ID": "wrong"})).await, bad("APP_ID_ERROR"));
    assert_eq!(refused(json!({"BOT_ID": foreign["id"], "CLIENT_ID": "secret"})).await, bad("APP_ID_ERROR"));
    let own = json!({"bot_id": bot.to_string(), "client_id": "secret"});
    assert_eq!(bench.result_of("imbot.unregister", own.clone()).await, true);
    assert_eq!(refused(own).await, bad("BOT_ID_ERROR"));
}

#[tokio::test]
async fn the_revision_tells_the_age_of_the_portal() {
    let bench = Bench::with_bots().await;
    let revision = bench.result_of("imbot.v2.Revision.get", json!({})).await;
    assert_eq!(revision, json!({"rest": 36, "web": 130, "mobile": 23, "desktop": 6}));
}

#[tokio::test]
async fn bots_are_directed_like_users() {
    let bench = Bench::with_bots().await;
    let bot = bench.bot().await;
    let ask = json!({"botId": bot, "botToken": "secret", "offset": 1});
    let order = json!({"bot": bot, "type": "ONIMBOTV2COMMANDADD", "text": "/ping 1", "bytes": 4000});
    bench.control("events", order).await;
    let event = bench.result_of(EVENTS, ask.clone()).await["events"][0].clone();
    assert_eq!(
        (&event["type"], &event["data"]["command"]["command"]),
        (&json!("ONIMBOTV2COMMANDADD"), &json!("/ping"))
    );
    assert!(bench.control("events", json!({"bot": bot, "hold": true})).await["first"].is_number());
    assert_eq!(bench.control("release", json!({"bot": bot})).await["released"], 1);
    assert_eq!(bench.control("steal", json!({"bot": bot})).await["stolen"], 2);
    bench.record_for(bot, 1).await;
    bench.control("clock", json!({"advance_s": 86_401})).await;
    assert_eq!(bench.control("clean", json!({})).await["removed"], 1);

    bench.record_for(bot, 1).await;
    bench.control("bots", json!({"id": bot, "event_mode": "webhook"})).await;
    assert_eq!(bench.control("events", json!({"bot": bot})).await["count"], 0, "it does not fetch");
    let stats = bench.sandbox.stats();
    assert_eq!((stats.bots[&bot].pending, stats.bots[&bot].purged), (0, 1));
    let changed = json!({"id": bot, "code": "support", "name": format!("Bot {bot}"), "type": "bot",
        "event_mode": "webhook", "token": "secret"});
    assert_eq!(bench.bots().await, json!([changed]));
}

#[tokio::test]
async fn a_mistaken_order_about_bots_is_refused_by_name() {
    let bench = Bench::with_bots().await;
    let bot = bench.bot().await;
    for (path, body, status, named) in [
        ("events", json!({"bot": 7}), 404, "bot 7"),
        ("steal", json!({"bot": bot, "user": 1}), 400, "either"),
        ("release", json!({"bot": 7}), 404, "bot 7"),
        ("bots", json!({"code": "x"}), 400, "token"),
        ("bots", json!({"code": "x", "token": "a", "client_id": "b"}), 400, "both"),
        ("bots", json!({"code": "support", "token": "a"}), 409, "support"),
        ("bots", json!({"id": 1, "token": "a"}), 400, "1"),
        ("bots", json!({"token": "a", "event_mode": "push"}), 400, "push"),
    ] {
        let url = format!("{}sandbox/{path}", bench.sandbox.base_url());
        let response = bench.client.post(url).body(body.to_string()).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{path} {body}");
        let text = response.text().await.unwrap();
        assert!(text.contains(named), "{text}");
    }
    assert_eq!(bench.bots().await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn every_method_of_bots_can_be_broken() {
    let bench = Bench::with_bots().await;
    let methods = [
        EVENTS,
        REGISTER,
        UNREGISTER,
        "imbot.v2.Bot.list",
        "imbot.v2.Bot.get",
        "imbot.v2.Revision.get",
        "imbot.unregister",
        "imbot.bot.list",
        "batch",
    ];
    for method in methods {
        bench.fault(json!({"kind": "error", "status": 403, "code": "WRONG_REQUEST", "method": method})).await;
        assert_eq!(bench.error_of(method, json!({})).await, (403, "WRONG_REQUEST".into()));
    }
    assert_eq!(bench.sandbox.stats().faults_left, 0);
}
