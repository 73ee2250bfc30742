//! Reports that an operator gets without asking: the receiver's own text, the first answer and the first delivery, and
//! misspelled event names.

use serde_json::json;

use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{code, finished, stderr, stdout};
use crate::support::process::setup::Setup;
use crate::support::process::shown::{LISTEN, Shown};
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::{Answer, Receiver};

#[tokio::test]
async fn the_receivers_own_words_stand_beside_its_status_everywhere() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let url = format!("{}/hook?token=SECRETMARK", receiver.url());
    let setup =
        Setup::new().with_source(&portal).with_webhook("crm", &url, "ordering = \"strict\"").with(LISTEN);
    portal.record(1, 1).await;
    let id = portal.ids(1).await[0];
    let words = "the chat\n is `closed`, SECRETMARK";
    receiver.refuse(&[id], &Answer::Body(422, words.to_owned()));
    let mut shown = Shown::start(&setup).await;
    until("it is a dead letter", async || !setup.letters(&[]).await.is_empty()).await;
    let said = "answered 422 Unprocessable Entity, \"the chat is 'closed', ";
    let list = stdout(&finished(&["dead-letters", "list"], setup.folder()).await);
    assert!(list.contains(said), "{list}");
    shown.relay.until_logged("answered 422 Unprocessable Entity").await;

    // Set beforehand, because the relay may deliver the event before the portal has told its id.
    receiver.script(std::iter::repeat_n(Answer::Body(401, words.to_owned()), 10_000));
    portal.record(1, 1).await;
    let lane = setup.until_crm_is("held").await;
    let said = "answered 401 Unauthorized, \"the chat is 'closed', ";
    assert!(lane["trouble"].as_str().unwrap().contains(said), "{lane}");
    let table = stdout(&finished(&["status"], setup.folder()).await);
    assert!(table.contains(said), "{table}");
    let (_, page) = shown.text("").await;
    // In HTML, a quotation mark is a character reference.
    assert!(page.contains("the chat is 'closed', ") && page.contains("answered 401 Unauthorized"), "{page}");
    let log = shown.relay.log();
    assert!(log.contains("the chat is 'closed', "), "{log}");
    for text in [list, table, page, log, lane.to_string()] {
        assert!(!text.contains("SECRETMARK"), "{text}");
    }
    shown.relay.stop().await;
}

#[tokio::test]
async fn words_that_are_others_each_time_are_no_news() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup = Setup::new().with_source(&portal).with_receiver(&receiver);
    receiver.script((0..40).map(|number| Answer::Body(503, format!("request {number} failed"))));
    portal.record(1, 1).await;
    let mut relay = setup.run();
    until("it is delivered at last", async || receiver.accepted_ids().len() == 1).await;
    let log = relay.log();
    let lines = log.lines().filter(|line| line.contains("attempt failed")).count();
    assert!((1..=8).contains(&lines), "{lines} lines: {log}");
    relay.stop().await;
}

#[tokio::test]
async fn the_first_answer_and_the_first_delivery_to_each_sink_are_logged_once() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup = Setup::new().with_user(&portal, "support", 1, 1000).with_user(&portal, "sales", 2, 5);
    let setup = setup.with_file().with_receiver(&receiver);
    portal.record(1, 3).await;
    portal.record(2, 20).await;
    let mut relay = setup.run();
    until("all are accepted", async || receiver.accepted_ids().len() == 23).await;
    until("all are filed", async || setup.filed_count() == 23).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    let log = relay.log();
    let lines =
        |words: &str| log.lines().filter(|line| line.contains(words)).map(str::to_owned).collect::<Vec<_>>();
    let answers = lines("the portal answers: events are read");
    assert_eq!(answers.len(), 2, "{log}");
    let of =
        |source: &str| answers.iter().find(|line| line.contains(&format!("source=\"{source}\""))).unwrap();
    assert!(of("support").contains("/user/1") && of("support").contains("waiting=\"3\""), "{log}");
    assert!(of("sales").contains("/user/2") && of("sales").contains("waiting=\"5 or more\""), "{log}");
    let first = lines("first event delivered to this sink");
    let to = |sink: &str| first.iter().filter(|line| line.contains(&format!("sink=\"{sink}\""))).count();
    assert_eq!((first.len(), to("archive"), to("crm")), (2, 1, 1), "{log}");
}

#[tokio::test]
async fn a_sink_whose_filter_leaves_out_everything_says_so_once() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file().with("events = [\"ONIMV2JOINCHAT\"]");
    portal.record_as(json!({"user": 1, "count": 99, "type": "ONIMV2MESSAGEADD"})).await;
    let mut relay = setup.run();
    until("99 are left out", async || setup.lane_of("archive").await["filtered"] == 99).await;
    assert!(!relay.log().contains("has left out the first 100 events"), "{}", relay.log());
    portal.record_as(json!({"user": 1, "count": 200, "type": "ONIMV2MESSAGEADD"})).await;
    until("all are left out", async || setup.lane_of("archive").await["filtered"] == 299).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    let told = relay.log().matches("has left out the first 100 events").count();
    assert_eq!(told, 1, "{}", relay.log());
}

#[tokio::test]
async fn a_slip_in_the_name_of_an_event_is_a_mistake_and_an_unknown_name_is_told() {
    let portal = Portal::start().await;
    let setup =
        |event: &str| Setup::new().with_source(&portal).with_file().with(&format!("events = [\"{event}\"]"));
    setup("ONIMV2MESAGEADD")
        .assert_mistaken(&["sinks.archive.events", "did you mean `ONIMV2MESSAGEADD`?"])
        .await;
    let setup = setup("onimv2pollvote");
    let words = "`ONIMV2POLLVOTE` is no event type that b24relay knows";
    let check = finished(&["check", "--no-network"], setup.folder()).await;
    assert_eq!(code(&check), 0, "{}", stderr(&check));
    assert!(stdout(&check).contains(words) && stdout(&check).contains("warn"), "{}", stdout(&check));
    assert!(setup.drain().await.contains(words));
}
