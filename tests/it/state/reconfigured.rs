//! A state file with another configuration: sources and sinks are added, removed and changed.

use crate::support::expected::ledger::{assert_exactly_once, ids_in};
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{code, finished, stderr};
use crate::support::process::setup::Setup;
use crate::support::receivers::receiver::Receiver;

async fn run_once(setup: &Setup) -> String {
    let once = finished(&["run", "--once"], setup.folder()).await;
    assert_eq!(code(&once), 0, "{}", stderr(&once));
    stderr(&once)
}

#[tokio::test]
async fn a_source_that_names_another_users_queue_is_refused_before_any_poll() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_user(&portal, "support", 1, 1000).with_file();
    portal.record(1, 3).await;
    run_once(&setup).await;

    let setup =
        setup.anew().with_user(&portal, "support", 2, 1000).with_user(&portal, "sales", 3, 1000).with_file();
    portal.record(2, 3).await;
    let polls = portal.polls().await;
    for args in [["run"].as_slice(), &["run", "--once"]] {
        let refused = finished(args, setup.folder()).await;
        let said = stderr(&refused);
        assert_eq!(code(&refused), 78, "{said}");
        for word in ["sources.support", "/user/1`", "/user/2`", "another name"] {
            assert!(said.contains(word), "no `{word}` in: {said}");
        }
    }
    assert_eq!(portal.polls().await, polls, "nobody's queue is polled, the right one's neither");

    // Follow the hint of the message: another name.
    let setup = setup.anew().with_user(&portal, "support2", 2, 1000).with_file();
    run_once(&setup).await;
    let expected = [portal.ids(1).await, portal.ids(2).await].concat();
    assert_exactly_once(&setup.filed_ids(), &expected);
}

#[tokio::test]
async fn a_new_code_for_the_same_user_is_the_same_queue() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 3).await;
    run_once(&setup).await;
    portal.post("users/1", serde_json::json!({"code": "renewed0code"})).await;
    let setup = setup.anew().with_source(&portal).with_file();
    portal.record(1, 3).await;
    run_once(&setup).await;
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
}

const TWO: &str = "[sinks.second]\ntype = \"file\"\npath = \"second.jsonl\"";

#[tokio::test]
async fn a_sink_that_is_gone_is_mentioned_and_holds_nobody_back() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file().with(TWO);
    portal.record(1, 3).await;
    run_once(&setup).await;

    let setup = setup.anew().with_source(&portal).with_file();
    portal.record(1, 3).await;
    let log = run_once(&setup).await;
    assert!(log.contains("no longer configured") && log.contains("second"), "{log}");
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
    run_once(&setup).await;
    assert_eq!(portal.stats(1).await["confirmed"], 6, "the sink that is gone does not keep the offset down");
}

#[tokio::test]
async fn a_sink_that_is_added_makes_no_other_repeat() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    // A receiver, because a file would recognise the events that it already contains.
    let setup = Setup::new().with_source(&portal).with_receiver(&receiver);
    portal.record(1, 3).await;
    run_once(&setup).await;
    let before = portal.ids(1).await;

    let setup = setup.with(TWO);
    portal.record(1, 3).await;
    run_once(&setup).await;
    let ids = portal.ids(1).await;
    assert_exactly_once(&receiver.accepted_ids(), &ids);
    let second = ids_in(&setup.path("second.jsonl"), false);
    // Earlier events that the portal still keeps may arrive too.
    assert!(second.ends_with(&ids[before.len()..]), "{second:?} of {ids:?}");
    assert_exactly_once(&second, &ids[ids.len() - second.len()..]);
}
