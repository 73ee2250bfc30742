//! `subscribe` changes nothing else; `unsubscribe` deletes events that were not delivered first.

use serde_json::json;

use crate::support::expected::ledger::assert_exactly_once;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{code, finished, stderr, stdout};
use crate::support::process::setup::Setup;
use crate::support::receivers::receiver::Receiver;

async fn is_subscribed(portal: &Portal) -> bool {
    portal.stats(1).await["subscribed"] == true
}

#[tokio::test]
async fn subscribe_makes_the_portal_record() {
    let portal = Portal::start().await;
    portal.post("users/1", json!({"subscribed": false})).await;
    let setup = Setup::new().with_source(&portal).with_file();
    for _ in 0..2 {
        let subscribed = finished(&["subscribe", "support"], setup.folder()).await;
        assert_eq!(code(&subscribed), 0, "{}", stderr(&subscribed));
        assert!(stdout(&subscribed).contains("/user/1"), "{}", stdout(&subscribed));
        assert!(is_subscribed(&portal).await);
    }
    assert_eq!(portal.polls().await, 0, "it confirms nothing");
}

#[tokio::test]
async fn a_refusal_comes_with_its_cure() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    for (change, words) in [
        (json!({"code": "another"}), ["INVALID_CREDENTIALS", "create the incoming webhook again"]),
        (json!({"code": portal.code(1), "scopes": ["crm"]}), ["insufficient_scope", "tick the scopes"]),
        (json!({"scopes": ["im"], "active": false}), ["authorization_error", "as another user"]),
    ] {
        portal.post("users/1", change).await;
        for command in ["subscribe", "unsubscribe"] {
            let refused = finished(&[command, "support"], setup.folder()).await;
            assert_eq!(code(&refused), 77, "{}", stderr(&refused));
            for word in words {
                assert!(stderr(&refused).contains(word), "{command}: no `{word}` in: {}", stderr(&refused));
            }
        }
    }
    assert_eq!(portal.stats(1).await["unsubscribes"], 0);
}

#[tokio::test]
async fn a_portal_out_of_reach_is_unavailable() {
    let setup =
        Setup::new().with("[sources.support]\nwebhook_url = \"http://127.0.0.1:1/rest/1/abc/\"").with_file();
    for args in [["subscribe", "support"].as_slice(), &["unsubscribe", "support", "--discard"]] {
        let refused = finished(args, setup.folder()).await;
        assert_eq!(code(&refused), 69, "{}", stderr(&refused));
    }
}

#[tokio::test]
async fn an_unknown_source_is_a_usage_error_that_names_the_known_ones() {
    let portal = Portal::start().await;
    let setup =
        Setup::new().with_user(&portal, "support", 1, 10).with_user(&portal, "sales", 2, 10).with_file();
    for command in ["subscribe", "unsubscribe"] {
        let refused = finished(&[command, "suport"], setup.folder()).await;
        assert_eq!(code(&refused), 64, "{}", stderr(&refused));
        for word in ["`suport`", "support", "sales"] {
            assert!(stderr(&refused).contains(word), "{}", stderr(&refused));
        }
    }
    assert!(!setup.path("b24relay.db").exists());
}

#[tokio::test]
async fn unsubscribe_delivers_first() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup = Setup::new()
        .with_user(&portal, "support", 1, 10)
        .with_user(&portal, "sales", 2, 10)
        .with_file()
        .with_receiver(&receiver);
    portal.record(1, 35).await;
    portal.record(2, 5).await;
    let unsubscribed = finished(&["unsubscribe", "support"], setup.folder()).await;
    assert_eq!(code(&unsubscribed), 0, "{}", stderr(&unsubscribed));

    assert!(!is_subscribed(&portal).await);
    assert_eq!(portal.stats(1).await["unsubscribes"], 1);
    portal.assert_nothing_confirmed_unseen(1).await;
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
    assert_exactly_once(&receiver.accepted_ids(), &portal.ids(1).await);
    let bystander = portal.stats(2).await;
    assert_eq!((&bystander["subscribed"], &bystander["served"]), (&json!(true), &json!(0)), "{bystander}");
}

#[tokio::test]
async fn unsubscribe_stays_when_a_sink_cannot_take_the_events() {
    for status in [500, 401] {
        let (portal, receiver) = (Portal::start().await, Receiver::start().await);
        let setup = Setup::new().with_user(&portal, "support", 1, 10).with_file().with_receiver(&receiver);
        receiver.answer_always(Some(status));
        portal.record(1, 35).await;
        let refused = finished(&["unsubscribe", "support"], setup.folder()).await;
        assert_eq!(code(&refused), 75, "{}", stderr(&refused));
        assert!(stdout(&refused).contains("not unsubscribed") && stdout(&refused).contains("--discard"));
        let stats = portal.stats(1).await;
        assert_eq!(
            (&stats["unsubscribes"], &stats["purged"], &stats["pending"]),
            (&json!(0), &json!(0), &json!(35))
        );

        receiver.answer_always(None);
        let unsubscribed = finished(&["unsubscribe", "support"], setup.folder()).await;
        assert_eq!(code(&unsubscribed), 0, "{}", stderr(&unsubscribed));
        assert_exactly_once(&receiver.accepted_ids(), &portal.ids(1).await);
        assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
    }
}

#[tokio::test]
async fn unsubscribe_stays_when_the_portal_refuses_the_drain() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 5).await;
    portal.fault(json!({"kind": "error", "status": 403, "code": "ACCESS_DENIED", "times": 100})).await;
    let refused = finished(&["unsubscribe", "support"], setup.folder()).await;
    assert_eq!(code(&refused), 77, "{}", stderr(&refused));
    assert_eq!(portal.stats(1).await["unsubscribes"], 0);
}

#[tokio::test]
async fn unsubscribe_discards_only_when_told_to() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup = Setup::new().with_source(&portal).with_receiver(&receiver);
    receiver.answer_always(Some(500));
    portal.record(1, 5).await;
    let unsubscribed = finished(&["unsubscribe", "support", "--discard", "--yes"], setup.folder()).await;
    assert_eq!(code(&unsubscribed), 0, "{}", stderr(&unsubscribed));
    let stats = portal.stats(1).await;
    assert_eq!((&stats["unsubscribes"], &stats["purged"]), (&json!(1), &json!(5)), "{stats}");
    assert_eq!(receiver.count(), 0);
}

#[tokio::test]
async fn unsubscribe_leaves_a_running_daemon_alone() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    let mut relay = setup.run();
    relay.until_logged("source started").await;
    for args in [["unsubscribe", "support"].as_slice(), &["unsubscribe", "support", "--discard"]] {
        let refused = finished(args, setup.folder()).await;
        assert_eq!(code(&refused), 75, "{}", stderr(&refused));
        assert!(stderr(&refused).contains(&format!("process {}", relay.id())), "{}", stderr(&refused));
    }
    assert_eq!(portal.stats(1).await["unsubscribes"], 0);
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
}
