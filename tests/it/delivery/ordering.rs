//! G3 and its cost: which events wait for which, how many are in flight, and which ones a failure delays.

use serde_json::json;

use crate::bots::bot_sources::{Access, portal_with_bot, with_helper};
use crate::support::expected::ledger::{assert_exactly_once, assert_once_each};
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::Relay;
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::{Answer, Receiver};

/// Records one event in each of these chats, and returns the ids in order.
async fn record_in(portal: &Portal, chats: &[u64]) -> Vec<u64> {
    for chat in chats {
        portal.record_as(json!({"user": 1, "count": 1, "chat": chat})).await;
    }
    portal.ids(1).await
}

/// Those of `ids` that arrived, in order of arrival.
fn arrived_of(receiver: &Receiver, ids: &[u64]) -> Vec<u64> {
    receiver.accepted_ids().into_iter().filter(|id| ids.contains(id)).collect()
}

#[tokio::test]
async fn a_chat_waits_for_its_own_events_only() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let ids = record_in(&portal, &[1, 2, 1, 3, 2, 1, 3]).await;
    receiver.refuse(&[ids[0]], &Answer::Hold);
    let setup = Setup::new().with_source(&portal).with_receiver_in(&receiver, "");
    let mut relay = setup.run();
    until("the other chats are through", async || receiver.count() == 5).await;
    assert_eq!(arrived_of(&receiver, &[ids[1], ids[4]]), [ids[1], ids[4]]);
    assert_eq!(arrived_of(&receiver, &[ids[3], ids[6]]), [ids[3], ids[6]]);
    let waiting = arrived_of(&receiver, &[ids[2], ids[5]]);
    assert!(waiting.is_empty(), "the first of their chat is not settled: {waiting:?}");
    receiver.release();
    until("all are through", async || receiver.count() == 7).await;
    assert_eq!(arrived_of(&receiver, &[ids[0], ids[2], ids[5]]), [ids[0], ids[2], ids[5]]);
    relay.stop().await;
    assert_once_each(&receiver.accepted_ids(), &ids);
}

#[tokio::test]
async fn a_chat_that_fails_holds_back_nobody_else_and_is_told_of() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let ids = record_in(&portal, &[1, 2, 1, 2]).await;
    receiver.refuse(&[ids[0]], &Answer::Status(503));
    let setup = Setup::new().with_source(&portal).with_receiver_in(&receiver, "");
    let mut relay = setup.run();
    until("the other chat is through", async || receiver.accepted_ids() == [ids[1], ids[3]]).await;
    until("its trouble is told", async || setup.lane_of("crm").await["state"] == "retrying").await;
    receiver.refuse(&[], &Answer::Status(200));
    until("all are through", async || receiver.accepted_ids() == [ids[1], ids[3], ids[0], ids[2]]).await;
    until("its recovery is told", async || setup.lane_of("crm").await["state"] == "flowing").await;
    relay.stop().await;
}

#[tokio::test]
async fn strict_order_has_one_event_at_a_time() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let ids = record_in(&portal, &[1, 2, 3]).await;
    receiver.refuse(&[ids[0]], &Answer::Hold);
    let setup = Setup::new().with_source(&portal).with_receiver(&receiver).with_file();
    let mut relay = setup.run();
    until("the file has all", async || setup.filed_so_far() == ids).await;
    until("the first is under way", async || receiver.count() == 1).await;
    receiver.release();
    until("all are through", async || receiver.count() == 3).await;
    relay.stop().await;
    assert_exactly_once(&receiver.accepted_ids(), &ids);
}

#[tokio::test]
async fn without_order_one_chat_has_many_events_under_way_but_no_more_than_allowed() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let ids = record_in(&portal, &[1; 8]).await;
    receiver.refuse(&ids, &Answer::Hold);
    let keys = "ordering = \"none\"\nconcurrency = 5";
    let setup = Setup::new().with_source(&portal).with_receiver_in(&receiver, keys).with_file();
    let mut relay = setup.run();
    until("five are under way", async || receiver.count() == 5).await;
    until("the file has all", async || setup.filed_so_far() == ids).await;
    assert_eq!(receiver.count(), 5);
    receiver.release();
    until("all are through", async || receiver.count() == 8).await;
    relay.stop().await;
    assert_once_each(&receiver.accepted_ids(), &ids);
}

#[tokio::test]
async fn a_dead_receiver_is_probed_with_one_event_and_met_gently_when_it_is_back() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    portal.record_as(json!({"user": 1, "count": 200})).await;
    receiver.answer_always(Some(503));
    let keys = "ordering = \"none\"\nconcurrency = 16\nbreaker = { failures = 16 }";
    let setup = Setup::new().with_source(&portal).with_receiver_in(&receiver, keys);
    let mut relay = setup.run();
    // The first sixteen fail at the same time, some of them twice. From then on there is one attempt at a time, each
    // with another event.
    until("no event is tried twice in a row", async || {
        receiver.take_deliveries();
        until("five more", async || receiver.count() >= 5).await;
        let tried: Vec<u64> = receiver.deliveries().iter().map(|delivery| delivery.event_id).collect();
        tried.windows(2).all(|pair| pair[0] != pair[1])
    })
    .await;
    receiver.answer_always(None);
    until("all are through", async || receiver.accepted_ids().len() == 200).await;
    relay.stop().await;
    assert_once_each(&receiver.accepted_ids(), &portal.ids(1).await);
}

#[tokio::test]
async fn what_was_settled_out_of_order_is_not_repeated_after_a_kill() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let chats: Vec<u64> = (1..=40).collect();
    let ids = record_in(&portal, &chats).await;
    receiver.refuse(&ids[..3], &Answer::Hang);
    let keys = "timeout = \"5m\"";
    let setup = Setup::new().with_source(&portal);
    let url = receiver.url();
    let setup = setup.with(&format!("[sinks.crm]\ntype = \"webhook\"\nurl = \"{url}\"\n{keys}"));
    let mut relay = setup.run();
    until("all others are through", async || receiver.accepted_ids().len() == 37).await;
    until("and on record", async || setup.lane_of("crm").await["delivered"] == 37).await;
    relay.kill();
    receiver.refuse(&[], &Answer::Status(200));
    let mut relay = Relay::start(setup.folder(), &["--once"]);
    assert_eq!(relay.exit_code().await, 0, "{}", relay.log());
    assert_once_each(&receiver.accepted_ids(), &ids);
}

#[tokio::test]
async fn a_rejected_event_is_buried_while_the_other_chats_go_on() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let ids = record_in(&portal, &[1, 2, 1, 2, 3]).await;
    receiver.refuse(&[ids[0], ids[3]], &Answer::Status(422));
    let setup = Setup::new().with_source(&portal).with_receiver_in(&receiver, "");
    setup.drain().await;
    // Their chats do not wait for each other, so the order of the two dead letters is undefined.
    assert_once_each(&setup.buried_ids().await, &[ids[0], ids[3]]);
    assert_once_each(&receiver.accepted_ids(), &[ids[1], ids[2], ids[4]]);
}

/// The number of events in each request, in order of arrival.
fn request_sizes(receiver: &Receiver) -> Vec<usize> {
    let deliveries = receiver.deliveries();
    deliveries.chunk_by(|one, next| one.webhook_id == next.webhook_id).map(<[_]>::len).collect()
}

#[tokio::test]
async fn a_batch_is_one_request_and_keeps_the_order() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let ids = record_in(&portal, &[1, 2, 3, 1, 2, 3, 1]).await;
    let keys = "batch = { events = 3 }\nordering = \"strict\"";
    let setup = Setup::new().with_source(&portal).with_receiver_in(&receiver, keys);
    setup.drain().await;
    assert_eq!(request_sizes(&receiver), [3, 3, 1]);
    assert_exactly_once(&receiver.accepted_ids(), &ids);
}

#[tokio::test]
async fn a_rejected_batch_is_halved_until_the_one_to_blame_is_alone() {
    for (status, tries_of_all) in [(413, 1), (422, 3)] {
        let (portal, receiver) = (Portal::start().await, Receiver::start().await);
        let ids = record_in(&portal, &[1; 8]).await;
        receiver.refuse(&[ids[5]], &Answer::Status(status));
        let setup = Setup::new().with_source(&portal).with_receiver_in(&receiver, "batch = { events = 8 }");
        setup.drain().await;
        assert_eq!(setup.buried_ids().await, [ids[5]]);
        let others: Vec<u64> = ids.iter().copied().filter(|id| *id != ids[5]).collect();
        assert_exactly_once(&receiver.accepted_ids(), &others);
        let whole = receiver.deliveries().iter().filter(|delivery| delivery.event_id == ids[0]).count();
        assert_eq!(whole, tries_of_all + 1, "{status}: with all others, and then with the half");
    }
}

#[tokio::test]
async fn a_drain_gives_up_a_sink_that_needs_a_person_for_all_sources_at_once() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    receiver.answer_always(Some(401));
    let mut setup = Setup::new();
    for (source, user) in [("support", 1), ("sales", 2), ("office", 3)] {
        portal.record(user, 1).await;
        setup = setup.with_user(&portal, source, user, 1000);
    }
    // Each of them would stop the sink for a minute.
    let sink =
        format!("type = \"webhook\"\nurl = \"{}\"\nretry = {{ min = \"1s\", max = \"1h\" }}", receiver.url());
    let setup = setup.with(&format!("[sinks.crm]\n{sink}"));
    let mut relay = Relay::start(setup.folder(), &["--once"]);
    assert_eq!(relay.exit_code().await, 75, "{}", relay.log());
    assert!((1..=3).contains(&receiver.count()), "{} requests", receiver.count());
}

#[tokio::test]
async fn the_end_of_a_bot_waits_for_all_its_chats_and_later_events_wait_for_it() {
    let (portal, bot) = portal_with_bot(Access::Webhook).await;
    let receiver = Receiver::start().await;
    for (kind, chat) in [("MESSAGEADD", 1), ("MESSAGEADD", 2), ("DELETE", 1), ("MESSAGEADD", 3)] {
        let kind = format!("ONIMBOTV2{kind}");
        portal.record_as(json!({"bot": bot, "count": 1, "chat": chat, "type": kind})).await;
    }
    let ids = portal.bot_ids(bot).await;
    receiver.refuse(&[ids[0]], &Answer::Status(503));
    let setup = Setup::new().with_unlimited(&portal).with_receiver_in(&receiver, "");
    let setup = with_helper(setup, &portal, bot, Access::Webhook, "").await;
    let mut relay = setup.run();
    let tries = || receiver.deliveries().iter().filter(|delivery| delivery.event_id == ids[0]).count();
    until("the first chat is tried again and again", async || tries() > 3).await;
    until("the other chat is through", async || receiver.accepted_ids() == [ids[1]]).await;
    receiver.refuse(&[], &Answer::Status(200));
    until("all are through", async || receiver.accepted_ids().len() == 4).await;
    relay.stop().await;
    assert_eq!(receiver.accepted_ids(), [ids[1], ids[0], ids[2], ids[3]]);
}
