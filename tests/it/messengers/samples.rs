//! `b24relay test`: a sample event, the answer and what it means.

use serde_json::Value;

use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{code, finished, stderr, stdout};
use crate::support::process::setup::Setup;
use crate::support::receivers::receiver::{Answer, Receiver};
use crate::support::receivers::services::{CHAT, Kind, Service, TOKEN};

#[tokio::test]
async fn a_webhook_is_tried_with_each_kind_of_answer() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let keys = "headers = { x-api-key = \"s3cr3t-value\" }";
    let setup = Setup::new().with_source(&portal).with_receiver(&receiver).with(keys);
    for (status, class, meaning, expected) in [
        (200, "delivered", "is delivered and never sent again", 0),
        (503, "transient", "is tried again with a growing delay", 69),
        (422, "rejected", "becomes a dead letter after three such answers", 69),
        (403, "held", "the sink is held", 69),
        (410, "paused", "`b24relay resume crm`", 69),
    ] {
        receiver.script([Answer::Body(status, "s3cr3t-value said".to_owned())]);
        let tested = finished(&["test", "crm"], setup.folder()).await;
        let shown = stdout(&tested);
        assert_eq!(code(&tested), expected, "{status}: {shown}{}", stderr(&tested));
        for words in
            [&format!("Class: {class}\n"), meaning, "POST to 127.0.0.1:", "x-api-key: ***", "Sample message"]
        {
            assert!(shown.contains(words), "{status}: no {words} in {shown}");
        }
        assert!(!shown.contains("s3cr3t-value"), "{shown}");
    }
    let ids: Vec<String> = receiver.deliveries().iter().map(|delivery| delivery.webhook_id.clone()).collect();
    let mut unique = ids.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), 5, "a receiver takes none for a duplicate: {ids:?}");
    assert_eq!(receiver.deliveries()[0].body["source"], "sample");
}

#[tokio::test]
async fn every_type_has_a_sample_and_json_says_the_same() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup = Setup::new().with_source(&portal).with_receiver(&receiver);
    let tested = finished(&["test", "crm", "--type", "onimbotv2commandadd", "--json"], setup.folder()).await;
    assert_eq!(code(&tested), 0, "{}", stderr(&tested));
    let json: Value = serde_json::from_str(&stdout(&tested)).unwrap();
    assert_eq!((&json["class"], &json["sink"]), (&"delivered".into(), &"crm".into()), "{json}");
    assert_eq!(receiver.deliveries()[0].body["type"], "ONIMBOTV2COMMANDADD");
    let unknown = finished(&["test", "crm", "--type", "ONIMV2X"], setup.folder()).await;
    assert_eq!(code(&unknown), 64);
    assert!(stderr(&unknown).contains("only of ONIMV2MESSAGEADD"), "{}", stderr(&unknown));
}

#[tokio::test]
async fn files_standard_output_and_messengers_are_tried_as_well() {
    let (portal, service) = (Portal::start().await, Service::start(Kind::Telegram).await);
    let telegram = format!(
        "[sinks.alarm]\ntype = \"webhook\"\nurl = \"{}\"\nformat = \"telegram\"\nchat_id = \"{CHAT}\"",
        service.url()
    );
    let setup = Setup::new().with_source(&portal).with_file().with_stdout().with(&telegram);
    for (sink, words) in [
        ("archive", "append to `events.jsonl`"),
        ("console", "\"source\":\"sample\""),
        ("alarm", "\"parse_mode\":\"HTML\""),
    ] {
        let tested = finished(&["test", sink], setup.folder()).await;
        let shown = stdout(&tested);
        assert_eq!(code(&tested), 0, "{sink}: {shown}{}", stderr(&tested));
        assert!(shown.contains(words) && shown.contains("Class: delivered"), "{sink}: {shown}");
        assert!(!shown.contains(TOKEN), "{shown}");
    }
    assert_eq!(setup.filed_count(), 1);
    assert!(service.texts()[0].contains("Sample message of b24relay"), "{:?}", service.texts());
}
