//! `format = "template"`: the operator writes the body.

use serde_json::json;

use crate::filters::{message, record};
use crate::support::portal::sandbox::Portal;
use crate::support::process::setup::Setup;
use crate::support::receivers::receiver::Receiver;

fn setup(portal: &Portal, receiver: &Receiver, keys: &str) -> Setup {
    Setup::new().with_source(portal).with_receiver(receiver).with(keys)
}

#[tokio::test]
async fn a_template_writes_the_body_and_chat_text_stays_in_its_place() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let text = "\", \"admin\": true, \"x\": \"{{ 7*7 }}\n</script>";
    record(&portal, "ONIMV2MESSAGEADD", &message(318, &json!({"id": 4, "name": "Ada"}), text)).await;
    let template =
        r#"{"eventId": {{ event.eventId }}, "title": {{ "From " ~ user.name }}, "text": {{ message.text }}}"#;
    let keys = format!("format = \"template\"\ntemplate = '{template}'");
    setup(&portal, &receiver, &keys).drain().await;
    let [delivery] = &receiver.deliveries()[..] else { panic!("{:?}", receiver.deliveries()) };
    let id = portal.ids(1).await[0];
    assert_eq!(delivery.body, json!({"eventId": id, "title": "From Ada", "text": text}));
    assert_eq!(delivery.headers["content-type"], "application/json");
}

#[tokio::test]
async fn a_template_of_a_file_has_its_own_content_type() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    record(&portal, "ONIMV2MESSAGEADD", &message(318, &json!({"id": 4}), "a&b=c d")).await;
    let keys = "format = \"template\"\ntemplate_file = \"body.txt\"\ncontent_type = \"application/x-www-form-urlencoded\"";
    let setup = setup(&portal, &receiver, keys);
    std::fs::write(setup.path("body.txt"), "id={{ event.id }}&text={{ message.text }}").unwrap();
    setup.drain().await;
    let [delivery] = &receiver.deliveries()[..] else { panic!("{:?}", receiver.deliveries()) };
    assert!(delivery.bytes.ends_with(b"&text=a%26b%3Dc%20d"), "{:?}", delivery.bytes);
    assert_eq!(delivery.headers["content-type"], "application/x-www-form-urlencoded");
}

#[tokio::test]
async fn an_event_that_cannot_be_written_becomes_a_dead_letter_and_blocks_no_other() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    // The samples have a text; this one is a number, which has no first character.
    record(&portal, "ONIMV2MESSAGEADD", &message(318, &json!({"id": 4}), "fine")).await;
    let mut odd = message(318, &json!({"id": 4}), "");
    odd["message"]["text"] = json!(7);
    record(&portal, "ONIMV2MESSAGEADD", &odd).await;
    record(&portal, "ONIMV2MESSAGEADD", &message(318, &json!({"id": 4}), "fine again")).await;
    let template = "{\"eventId\": {{ event.eventId }}, \"first\": {{ (message.text or 'x')[:1] }}}";
    let setup = setup(&portal, &receiver, &format!("format = \"template\"\ntemplate = '''{template}'''"));
    setup.drain().await;
    let ids = portal.ids(1).await;
    assert_eq!(receiver.accepted_ids(), [ids[0], ids[2]]);
    let letters = setup.letters(&[]).await;
    let reason = letters[0]["reason"].as_str().unwrap();
    assert!(letters.len() == 1 && reason.contains("`template` cannot be written"), "{letters:?}");
}

#[tokio::test]
async fn a_mistake_in_a_template_is_told_at_the_start() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    for (keys, words) in [
        ("format = \"template\"", &["sinks.crm.template", "is missing"][..]),
        (
            "format = \"template\"\ntemplate = '{\"a\": {{ mesage.text }}}'",
            &["column 10", "did you mean `message`?"],
        ),
        (
            "format = \"template\"\ntemplate = '{\"a\": \"{{ message.text }}\"}'",
            &["not valid JSON", "quotes"],
        ),
        ("format = \"template\"\ntemplate = '{\"a\": {{ message.text }'", &["sinks.crm.template", "column "]),
        (
            "format = \"template\"\ntemplate_file = \"absent.json\"",
            &["sinks.crm.template_file", "absent.json"],
        ),
        ("template = '{}'", &["sinks.crm.template", "is for `format = \"template\"`"]),
        (
            "format = \"template\"\ntemplate = '{}'\ncontent_type = \"json\"",
            &["sinks.crm.content_type", "`json`"],
        ),
    ] {
        setup(&portal, &receiver, keys).assert_mistaken(words).await;
    }
}
