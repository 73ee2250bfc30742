//! Events as messages, to receivers that refuse what the services refuse.

use serde_json::{Value, json};

use crate::filters::{message, record};
use crate::support::portal::sandbox::Portal;
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;
use crate::support::receivers::services::{CHAT, Kind, Service, TOKEN};

const KINDS: [(Kind, &str); 5] = [
    (Kind::Slack, "slack"),
    (Kind::Mattermost, "mattermost"),
    (Kind::Discord, "discord"),
    (Kind::Telegram, "telegram"),
    (Kind::Teams, "teams"),
];

/// Messages that would break a careless bridge.
fn hostile() -> Vec<String> {
    let mut texts: Vec<String> = [
        "[B]Build 114[/B] is [I]green[/I]: https://ci.example.com/114?a=1&b=2",
        "@everyone @here @channel @all <!channel> <@U123> <#C1> <@&7>",
        "[URL=javascript:alert(1)]click[/URL] [URL=https://a.example/)](https://b.example]x[/URL]",
        "[B]never [I]closed [URL=https://a.example]here",
        "</b></i><script>alert(1)</script> & &amp; &#60; \"quoted\" `code` *bold* _it_ ~s~ [x](y) || # head",
        "[QUOTE]one\n[QUOTE]two[/QUOTE]\nthree[/QUOTE]\n[CODE]if a < b { ``` }[/CODE]",
        "\u{202e}\u{200b}\0\u{1b}[31m\r\n\t{{ 7*7 }} {% raw %}",
        "[USER=1]Ada[/USER] [USER=all]All[/USER]: 😀👩‍👩‍👧‍👦",
        " ",
    ]
    .map(str::to_owned)
    .into();
    texts.push("я😀<&*_".repeat(3_000));
    texts.push("[B]".repeat(3_000) + "x");
    texts.push("\"\\\n".repeat(6_000));
    texts
}

fn sink(name: &str, service: &Service, keys: &str) -> String {
    let url = service.url();
    let chat = if name == "telegram" { format!("chat_id = \"{CHAT}\"\n") } else { String::new() };
    format!(
        "[sinks.{name}]\ntype = \"webhook\"\nurl = \"{url}\"\nformat = \"{name}\"\n{chat}rate = \"1000/s\"\n\
         retry = {{ min = \"10ms\", max = \"100ms\" }}\n{keys}"
    )
}

#[tokio::test]
async fn every_service_takes_every_message_however_hostile() {
    let portal = Portal::start().await;
    let ada = json!({"id": 4, "name": "Ada <Byron> & *Co*\n@all", "bot": false});
    for text in hostile() {
        record(&portal, "ONIMV2MESSAGEADD", &message(318, &ada, &text)).await;
    }
    // A typical mixture of all types, and odd payloads.
    portal.record(1, 40).await;
    for data in [json!({}), json!([]), json!(null), json!({"message": {"id": 7}, "chat": [], "user": []})] {
        record(&portal, "ONIMV2MESSAGEADD", &data).await;
        record(&portal, "ONIMV3SOMETHING", &data).await;
    }
    let count = portal.ids(1).await.len();
    let mut setup = Setup::new().with_source(&portal);
    let mut services = Vec::new();
    for (kind, name) in KINDS {
        let service = Service::start(kind).await;
        setup = setup.with(&sink(name, &service, ""));
        services.push((name, service));
    }
    setup.drain().await;
    for (name, service) in &services {
        assert_eq!(service.refused(), Vec::<String>::new(), "{name}");
        assert_eq!(service.accepted().len(), count, "{name}");
        for text in service.texts() {
            assert!(!text.contains("javascript:") && !text.contains("@everyone"), "{name}: {text}");
        }
    }
    assert_eq!(setup.letters(&[]).await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_message_says_who_wrote_what_where_and_its_markup_is_the_service_s() {
    let mut data = message(
        318,
        &json!({"id": 4, "name": "Ada Byron"}),
        "[B]green[/B], see [URL=https://a.example/1]it[/URL]",
    );
    data["chat"]["name"] = "Release room".into();
    data["message"]["params"] = json!({"FILE_ID": [5021, 5022]});
    let markdown = "**Ada Byron** in Release room\n**green**, see [it](https://a.example/1)\n[2 files](LINK)";
    let expected = [
        "*Ada Byron* in Release room\n*green*, see <https://a.example/1|it>\n<ESCAPED|2 files>",
        markdown,
        markdown,
        "<b>Ada Byron</b> in Release room\n<b>green</b>, see <a href=\"https://a.example/1\">it</a>\n\
         <a href=\"ESCAPED\">2 files</a>",
        &markdown.replace('\n', "\n\n"),
    ];
    for ((kind, name), expected) in KINDS.into_iter().zip(expected) {
        let (portal, service) = (Portal::start().await, Service::start(kind).await);
        record(&portal, "ONIMV2MESSAGEADD", &data).await;
        let link = format!("https://{}/online/?IM_DIALOG=chat318&IM_MESSAGE=7", portal.sandbox.address());
        let expected = expected.replace("LINK", &link).replace("ESCAPED", &link.replace('&', "&amp;"));
        Setup::new().with_source(&portal).with(&sink(name, &service, "")).drain().await;
        assert_eq!(service.texts(), [expected], "{name}");
    }
}

#[tokio::test]
async fn a_service_that_asks_for_a_pause_gets_it() {
    for (kind, name, answer) in [
        (Kind::Telegram, "telegram", r#"{"ok":false,"error_code":429,"parameters":{"retry_after":1800}}"#),
        (Kind::Discord, "discord", r#"{"message":"You are being rate limited.","retry_after":1800.5}"#),
    ] {
        let (portal, service) = (Portal::start().await, Service::start(kind).await);
        service.answer_next(429, answer);
        record(&portal, "ONIMV2MESSAGEADD", &message(318, &json!({"id": 4}), "hello")).await;
        let setup = Setup::new().with_source(&portal).with(&sink(name, &service, ""));
        let mut relay = setup.run();
        setup.trouble_of(name, "retrying").await;
        let lane = setup.lane_of(name).await;
        let wait_ms = lane["next_ms"].as_i64().unwrap() - lane["since_ms"].as_i64().unwrap();
        assert!(wait_ms > 1_700_000, "{name}: {lane}");
        assert_eq!(relay.stop().await, 0, "{}", relay.log());
    }
}

#[tokio::test]
async fn a_wrong_chat_or_token_holds_the_sink_and_no_message_is_lost() {
    let (portal, service) = (Portal::start().await, Service::start(Kind::Telegram).await);
    record(&portal, "ONIMV2MESSAGEADD", &message(318, &json!({"id": 4}), "hello")).await;
    for (setting, words) in [
        (sink("telegram", &service, "").replace(CHAT, "-5"), "correct `chat_id`"),
        (sink("telegram", &service, "").replace(TOKEN, "1:wrongwrongwrong"), "404"),
    ] {
        let setup = Setup::new().with_source(&portal).with("[delivery]\nhold = \"forever\"").with(&setting);
        let mut relay = setup.run();
        let trouble = setup.trouble_of("telegram", "held").await;
        assert!(trouble.contains(words) && !trouble.contains("wrongwrongwrong"), "{trouble}");
        assert_eq!(relay.stop().await, 0, "{}", relay.log());
        assert_eq!(setup.letters(&[]).await, Vec::<Value>::new());
        assert!(!relay.log().contains("wrongwrongwrong"), "{}", relay.log());
    }
    let setup = Setup::new().with_source(&portal).with(&sink("telegram", &service, ""));
    let mut relay = setup.run();
    until("it is delivered", async || service.accepted().len() == 1).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
}

#[tokio::test]
async fn a_preset_s_mistakes_are_told() {
    let portal = Portal::start().await;
    let telegram = "type = \"webhook\"\nformat = \"telegram\"\n";
    for (keys, words) in [
        (
            format!("{telegram}chat_id = 5\nurl = \"https://api.telegram.org/bot1:x/getMe\""),
            &["sinks.crm.url", "sendMessage"][..],
        ),
        (
            format!("{telegram}url = \"https://a.example/bot1:x/sendMessage\""),
            &["sinks.crm.chat_id", "is missing"],
        ),
        (
            format!("{telegram}chat_id = \"me\"\nurl = \"https://a.example/bot1:x/sendMessage\""),
            &["sinks.crm.chat_id", "`me`"],
        ),
        (
            "type = \"webhook\"\nformat = \"slack\"\nurl = \"https://a.example/\"\nchat_id = 5".to_owned(),
            &["sinks.crm.chat_id", "is for `format = \"telegram\"`"],
        ),
        (
            "type = \"webhook\"\nformat = \"discord\"\nurl = \"https://a.example/\"\nbatch = {}".to_owned(),
            &["sinks.crm.batch"],
        ),
    ] {
        Setup::new().with_source(&portal).with(&format!("[sinks.crm]\n{keys}")).assert_mistaken(words).await;
    }
}
