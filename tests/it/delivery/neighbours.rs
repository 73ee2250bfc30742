//! G4: a failing sink, chat or source causes no delay, repeat or loss for the others.

use rustix::process::Signal;
use serde_json::json;

use crate::support::expected::ledger::{assert_complete, assert_exactly_once, assert_once_each};
use crate::support::portal::sandbox::Portal;
use crate::support::process::setup::Setup;
use crate::support::process::usage::Sample;
use crate::support::process::waiting::{until, until_count};
use crate::support::receivers::receiver::{Answer, Receiver};

/// The settings of `crm` in these tests: it keeps the order of each chat.
const BY_CHAT: &str = "ordering = \"chat\"\nconcurrency = 4";

async fn start() -> (Portal, Receiver) {
    (Portal::start().await, Receiver::start().await)
}

/// Records three events in each of `chats` chats, taking turns between the chats; returns all ids.
async fn record_in_chats(portal: &Portal, chats: u64) -> Vec<u64> {
    for number in 0..3 * chats {
        portal.record_as(json!({"user": 1, "count": 1, "chat": number % chats + 1})).await;
    }
    portal.ids(1).await
}

/// Those of `ids` that belong to the first of `chats` chats.
fn of_first_chat(ids: &[u64], chats: usize) -> Vec<u64> {
    ids.iter().copied().step_by(chats).collect()
}

/// An event that is always answered like this delays only its own chat: no other chat, no other source, and no event
/// expires because of it.
async fn assert_alone(answer: &Answer) {
    let (portal, receiver) = start().await;
    let ids = record_in_chats(&portal, 10).await;
    receiver.refuse(&ids[..1], answer);
    let setup = Setup::new()
        .with_source(&portal)
        .with_user(&portal, "sales", 2, 1000)
        .with_receiver_in(&receiver, BY_CHAT)
        .with("max_event_age = \"1h\"");
    let mut relay = setup.run();
    let others: Vec<u64> = ids.iter().copied().filter(|id| !of_first_chat(&ids, 10).contains(id)).collect();
    until("the other chats are through", async || receiver.accepted_ids().len() == others.len()).await;
    assert_once_each(&receiver.accepted_ids(), &others);
    portal.record(2, 2).await;
    until("the other source is through", async || setup.lane_at("sales", "crm").await["delivered"] == 2)
        .await;
    portal.record_as(json!({"user": 1, "count": 1, "chat": 2})).await;
    until("what comes later is through", async || receiver.accepted_ids().len() == others.len() + 3).await;
    receiver.refuse(&[], answer);
    relay.signal(Signal::HUP);
    until("the chat goes on", async || receiver.accepted_ids().len() == ids.len() + 3).await;
    assert_eq!(setup.lane_at("support", "crm").await["expired"], 0);
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
}

#[tokio::test]
async fn an_event_that_is_answered_500_for_ever_stops_no_other_chat_and_no_other_source() {
    assert_alone(&Answer::Status(500)).await;
}

#[tokio::test]
async fn an_event_that_a_firewall_forbids_stops_no_other_chat_and_no_other_source() {
    assert_alone(&Answer::Status(403)).await;
}

#[tokio::test]
async fn an_event_that_fails_for_ever_while_others_pass_is_given_up_when_that_was_asked_for() {
    let (portal, receiver) = start().await;
    let ids = record_in_chats(&portal, 3).await;
    receiver.refuse(&ids[..1], &Answer::Status(500));
    let (url, retry) = (receiver.url(), "{ min = \"10ms\", max = \"20ms\", give_up = 3 }");
    let crm = format!("[sinks.crm]\ntype = \"webhook\"\nurl = \"{url}\"\n{BY_CHAT}\nretry = {retry}");
    let setup = Setup::new().with_source(&portal).with(&crm);
    let mut relay = setup.run();
    until("all others are through", async || receiver.accepted_ids().len() == ids.len() - 1).await;
    assert_eq!(setup.buried_ids().await, ids[..1]);
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_complete(&receiver.accepted_ids(), &ids[1..]);
}

#[tokio::test]
async fn without_room_for_a_dead_letter_only_its_chat_waits() {
    let (portal, receiver) = start().await;
    for _ in 0..3 {
        portal.record_as(json!({"user": 1, "count": 2, "chat": 1, "bytes": 300_000})).await;
    }
    let rejected = portal.ids(1).await;
    receiver.refuse(&rejected, &Answer::Status(422));
    for chat in 2..6 {
        portal.record_as(json!({"user": 1, "count": 2, "chat": chat})).await;
    }
    let setup = Setup::new()
        .with("dead_letters.max_size = \"1MiB\"")
        .with_source(&portal)
        .with_receiver_in(&receiver, BY_CHAT);
    let mut relay = setup.run();
    until("the other chats are through", async || receiver.accepted_ids().len() == 8).await;
    portal.record_as(json!({"user": 1, "count": 2, "chat": 7})).await;
    until("a later chat as well", async || receiver.accepted_ids().len() == 10).await;
    until("there is no more room", async || setup.buried_ids().await == rejected[..3]).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
}

#[tokio::test]
async fn a_source_with_a_backlog_leaves_a_strict_sink_to_the_others_in_turn() {
    let (portal, receiver) = start().await;
    portal.record(1, 400).await;
    portal.record(2, 3).await;
    let setup =
        Setup::new().with_source(&portal).with_user(&portal, "sales", 2, 1000).with_receiver(&receiver);
    let mut relay = setup.run();
    until("both are through", async || receiver.count() == 403).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    let deliveries = receiver.deliveries();
    let last = deliveries.iter().rposition(|delivery| delivery.body["source"] == "sales").unwrap();
    assert!(last < 300, "the last of the small source came at place {last} of 403");
}

#[tokio::test]
async fn a_full_share_of_the_journal_stops_only_its_own_source() {
    let (portal, receiver) = start().await;
    receiver.answer_always(Some(503));
    let setup = Setup::new()
        .with("[journal]\nmax_size = \"2MiB\"\n[delivery]\nhold = \"0s\"")
        .with_source(&portal)
        .with_user(&portal, "sales", 2, 1000)
        .with_file_of("sales")
        .with_receiver_in(&receiver, "sources = [\"support\"]\nordering = \"strict\"");
    for _ in 0..30 {
        portal.record_as(json!({"user": 1, "count": 20, "bytes": 4096})).await;
    }
    let mut relay = setup.run();
    until("it is blocked", async || setup.status_of("support").await["state"] == "blocked").await;
    portal.record(2, 500).await;
    until("the other goes on", async || setup.filed_ids_of("sales").len() == 500).await;
    until("and is confirmed", async || portal.stats(2).await["pending"] == 0).await;
    receiver.answer_always(None);
    until("the first catches up", async || receiver.accepted_ids().len() == 600).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_exactly_once(&receiver.accepted_ids(), &portal.ids(1).await);
}

#[tokio::test]
async fn what_is_in_the_journal_is_delivered_while_its_source_is_refused() {
    let (portal, receiver) = start().await;
    receiver.answer_always(Some(503));
    portal.record(1, 20).await;
    let setup = Setup::new().with("[delivery]\nhold = \"0s\"").with_source(&portal).with_receiver(&receiver);
    let mut relay = setup.run();
    until("they are in the journal", async || setup.status_of("support").await["journal_events"] == 20).await;
    let refusal = json!({"kind": "error", "code": "INVALID_CREDENTIALS", "status": 401, "times": 100_000});
    portal.fault(refusal).await;
    until("the source is refused", async || setup.status_of("support").await["state"] == "refused").await;
    receiver.answer_always(None);
    until("they are delivered", async || receiver.accepted_ids().len() == 20).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
}

#[tokio::test]
async fn dead_sinks_of_many_sources_cost_no_more_memory_than_is_allowed() {
    let (portal, receiver) = start().await;
    receiver.answer_always(Some(503));
    let mut setup = Setup::new().with("[memory]\nmax = \"8MiB\"\n[delivery]\nhold = \"0s\"").with_file();
    for user in 1..=3 {
        setup = setup.with_user(&portal, &format!("user{user}"), user, 100);
    }
    for number in 1..=8 {
        setup = setup.with_webhook(&format!("dead{number}"), &receiver.url(), "");
    }
    let relay = setup.run();
    relay.until_logged("b24relay started").await;
    let before = Sample::of(relay.id()).memory_kib;
    for user in 1..=3 {
        for _ in 0..10 {
            portal.record_as(json!({"user": user, "count": 10, "bytes": 60_000})).await;
        }
    }
    until("the file has all", async || setup.filed_count() == 300).await;
    until("all are confirmed", async || portal.stats(3).await["pending"] == 0).await;
    let grown = Sample::of(relay.id()).memory_kib.saturating_sub(before);
    assert!(grown < 64 << 10, "{grown} KiB more than at the start");
}

#[tokio::test]
async fn a_stuck_chat_before_a_long_backlog_keeps_nothing_from_its_neighbours() {
    let (portal, receiver) = start().await;
    let ids = record_in_chats(&portal, 2).await;
    let stuck = of_first_chat(&ids, 2);
    receiver.refuse(&stuck, &Answer::Status(500));
    let setup = Setup::new()
        .with("[delivery]\nhold = \"0s\"")
        .with_source(&portal)
        .with_file()
        .with_receiver_in(&receiver, BY_CHAT);
    let mut relay = setup.run();
    until("the chat is stuck", async || setup.lane_of("crm").await["state"] == "retrying").await;
    for _ in 0..3 {
        portal.record_as(json!({"user": 1, "count": 1000, "chat": 2})).await;
    }
    let all = portal.ids(1).await;
    until_count("the file has all", all.len(), async || setup.filed_count()).await;
    let others = all.len() - stuck.len();
    until_count("the other chat is through", others, async || receiver.accepted_ids().len()).await;
    receiver.refuse(&[], &Answer::Status(200));
    relay.signal(Signal::HUP);
    until_count("the stuck one as well", all.len(), async || receiver.accepted_ids().len()).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    assert_exactly_once(&setup.filed_ids(), &all);
    assert_once_each(&receiver.accepted_ids(), &all);
}
