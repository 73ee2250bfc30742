//! Bots as sources, by webhook and by OAuth: the same guarantees as for users, alone and combined with the events of
//! the user that owns the credential.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::expected::ledger::{assert_at_least_once, assert_exactly_once};
use crate::support::portal::application::{CLIENT_ID, log_in, oauth_table};
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, append, code, command, finished, stderr, stdout};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::Receiver;

/// The text that no output may contain.
pub(crate) const TOKEN: &str = "b0tS3CRET";

/// How many runs end by kill -9.
const KILLS: usize = 12;

/// The limit of G2 for the webhook: the event in flight, and the events settled since the last commit.
const WEBHOOK_REPEATS_MAX: usize = 1 + 64;

/// How the source `helper` accesses its bot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    Webhook,
    OAuth,
}

pub(crate) const BOTH: [Access; 2] = [Access::Webhook, Access::OAuth];

/// A portal with a bot that user 1 may read.
pub(crate) async fn portal_with_bot(access: Access) -> (Portal, u64) {
    let portal = Portal::start().await;
    portal.post("users/1", json!({"scopes": ["im", "imbot"]})).await;
    let bot = portal.post("bots", owned(access, &json!({"code": "helper"}))).await;
    (portal, bot["id"].as_u64().unwrap())
}

/// `bot`, registered so that the source can read it.
pub(crate) fn owned(access: Access, bot: &Value) -> Value {
    let (key, secret) = match access {
        Access::Webhook => ("token", TOKEN),
        Access::OAuth => ("client_id", CLIENT_ID),
    };
    let mut bot = bot.clone();
    bot[key] = secret.into();
    bot
}

/// Adds the source `helper` at the end, and logs user 1 in if necessary.
pub(crate) async fn with_helper(
    setup: Setup,
    portal: &Portal,
    bot: u64,
    access: Access,
    keys: &str,
) -> Setup {
    let credential = match access {
        Access::Webhook => format!("webhook_url = \"{}\"\nbot_token = \"{TOKEN}\"", portal.webhook_url(1)),
        Access::OAuth => oauth_table(portal, "helper").await,
    };
    let setup = setup.with_unlimited(portal).with(&format!(
        "[sources.helper]\nkind = \"bot\"\nbot_id = {bot}\nconfirm_lag = \"2s\"\n{keys}\n\
         poll = {{ idle = \"20ms\", busy = \"0s\", limit = 10, timeout = \"5s\" }}\n{credential}"
    ));
    if access == Access::OAuth {
        log_in(portal, &setup, "helper", 1).await;
    }
    setup
}

pub(crate) const USER_EVENTS: &str = "with_user_events = true";

pub(crate) async fn record(portal: &Portal, bot: u64, count: usize) {
    portal.record_as(json!({"bot": bot, "count": count})).await;
}

/// All events recorded for the bot and for user 1, in the order of the portal's counter.
async fn both_ids(portal: &Portal, bot: u64) -> Vec<u64> {
    let mut ids = [portal.bot_ids(bot).await, portal.ids(1).await].concat();
    ids.sort_unstable();
    ids
}

fn assert_all_confirmed(stats: &Value, count: usize) {
    assert_eq!((&stats["confirmed"], &stats["confirmed_unserved"]), (&json!(count), &json!(0)), "{stats}");
}

#[tokio::test]
async fn a_bots_events_come_in_order_and_once() {
    for access in BOTH {
        let (portal, bot) = portal_with_bot(access).await;
        let setup = with_helper(Setup::new().with_file(), &portal, bot, access, "").await;
        record(&portal, bot, 35).await;
        portal.record(1, 5).await;
        setup.drain().await;
        setup.drain().await;
        assert_exactly_once(&setup.filed_ids(), &portal.bot_ids(bot).await);
        assert_all_confirmed(&portal.bot_stats(bot).await, 35);
        let user = portal.stats(1).await;
        assert_eq!((&user["served"], &user["subscribes"]), (&json!(0), &json!(0)), "{access:?}: {user}");

        let text = std::fs::read_to_string(setup.path("events.jsonl")).unwrap();
        let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(first["source"], "helper");
        assert!(first["type"].as_str().unwrap().starts_with("ONIMBOTV2"), "{first}");
        let queue = setup.status_of("helper").await["identity"].clone();
        assert_eq!(queue, format!("{}/bot/{bot}", portal.sandbox.address()), "{access:?}");
    }
}

#[tokio::test]
async fn the_user_s_events_come_along_and_one_offset_confirms_both() {
    for access in BOTH {
        let (portal, bot) = portal_with_bot(access).await;
        portal.post("users/1", json!({"subscribed": false})).await;
        let setup = with_helper(Setup::new().with_file(), &portal, bot, access, USER_EVENTS).await;
        setup.drain().await;
        assert_eq!(portal.stats(1).await["subscribed"], true, "{access:?}");
        for _ in 0..10 {
            record(&portal, bot, 3).await;
            portal.record(1, 2).await;
        }
        setup.drain().await;
        setup.drain().await;
        assert_exactly_once(&setup.filed_ids(), &both_ids(&portal, bot).await);
        assert_all_confirmed(&portal.bot_stats(bot).await, 30);
        assert_all_confirmed(&portal.stats(1).await, 20);
        let status = setup.status_of("helper").await;
        assert_eq!(status["identity"], format!("{}/bot/{bot}/user/1", portal.sandbox.address()));
        assert_eq!(status["losses"], 0, "{access:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stderr, reason = "the seed of a failure")]
async fn kills_lose_nothing_of_a_bot_or_its_user() {
    for access in BOTH {
        let ((portal, bot), receiver) = (portal_with_bot(access).await, Receiver::start().await);
        let setup = Setup::new().with_file().with_receiver(&receiver);
        let setup = with_helper(setup, &portal, bot, access, USER_EVENTS).await;
        let seed = rand::random();
        eprintln!("seed {seed}");
        let mut dice = StdRng::seed_from_u64(seed);
        for _ in 0..KILLS {
            record(&portal, bot, 30).await;
            portal.record(1, 10).await;
            let mut relay = setup.run();
            let deliveries = receiver.count() + dice.random_range(1..80);
            let moment = Duration::from_micros(dice.random_range(0..400_000));
            timeout(moment, until("deliveries", async || receiver.count() >= deliveries)).await.ok();
            relay.kill();
        }
        setup.drain().await;
        let recorded = both_ids(&portal, bot).await;
        assert_eq!(recorded.len(), KILLS * 40);
        assert_exactly_once(&setup.filed_ids(), &recorded);
        assert_at_least_once(&receiver.accepted_ids(), &recorded, KILLS, WEBHOOK_REPEATS_MAX);
        assert_eq!(portal.bot_stats(bot).await["confirmed_unserved"], 0);
        portal.assert_nothing_confirmed_unseen(1).await;
    }
}

#[tokio::test]
async fn a_daemon_follows_a_bot_beside_a_user_and_stops_cleanly() {
    for access in BOTH {
        let (portal, bot) = portal_with_bot(access).await;
        let setup = Setup::new().with_user(&portal, "me", 1, 1000).with_file();
        let setup = with_helper(setup, &portal, bot, access, "").await;
        let mut relay = setup.run();
        for round in 1..=5 {
            record(&portal, bot, 7).await;
            portal.record(1, 4).await;
            until("all are filed", async || setup.filed_count() >= round * 11).await;
        }
        assert_eq!(relay.stop().await, 0, "{}", relay.log());
        assert!(!relay.log().contains(TOKEN) && !relay.log().contains("WARN"), "{}", relay.log());
        let mut filed = setup.filed_ids();
        filed.sort_unstable();
        assert_exactly_once(&filed, &both_ids(&portal, bot).await);
    }
}

#[tokio::test]
async fn two_webhook_sources_with_one_user_s_events_are_a_mistake() {
    let (portal, bot) = portal_with_bot(Access::Webhook).await;
    let setup = Setup::new().with_user(&portal, "me", 1, 1000).with_file();
    let setup = with_helper(setup, &portal, bot, Access::Webhook, USER_EVENTS).await;
    for args in [["run"].as_slice(), &["check"], &["tap", "helper", "--once"]] {
        let refused = finished(args, setup.folder()).await;
        assert_eq!(code(&refused), 78, "{args:?}: {}", stderr(&refused));
        for words in ["sources.helper", "sources.me", "/user/1`", "leave the user's events to one of them"] {
            assert!(stderr(&refused).contains(words), "no `{words}` in: {}", stderr(&refused));
        }
    }
    assert_eq!(portal.requests_of("imbot.v2.Event.get").await + portal.polls().await, 0);
}

#[tokio::test]
async fn the_second_login_of_one_user_is_parked_and_the_first_works_on() {
    let (portal, bot) = portal_with_bot(Access::OAuth).await;
    let setup = Setup::new().with_file().with(&format!("[sources.me]\n{}", oauth_table(&portal, "me").await));
    let setup = with_helper(setup, &portal, bot, Access::OAuth, USER_EVENTS).await;
    log_in(&portal, &setup, "me", 1).await;
    record(&portal, bot, 3).await;
    portal.record(1, 3).await;

    let mut relay = setup.run();
    until("the first one has them all", async || setup.filed_count() >= 6).await;
    for words in ["the source `helper` reads the queue", "/user/1` already", "log in as another user"] {
        relay.until_logged(words).await;
    }
    let trouble = setup.status_of("me").await["trouble"].clone();
    assert!(trouble.as_str().unwrap().contains("`helper`"), "{trouble}");
    assert_eq!((portal.polls().await, relay.is_running()), (0, true), "{}", relay.log());
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    let once = finished(&["run", "--once"], setup.folder()).await;
    assert_eq!(code(&once), 77, "{}", stderr(&once));

    // Follow the hint of the message.
    log_in(&portal, &setup, "me", 2).await;
    portal.record(2, 4).await;
    setup.drain().await;
    assert_exactly_once(&setup.filed_ids(), &[both_ids(&portal, bot).await, portal.ids(2).await].concat());
}

#[tokio::test]
async fn a_webhook_and_a_login_of_one_user_are_found_out_too() {
    let (portal, bot) = portal_with_bot(Access::OAuth).await;
    let setup = Setup::new().with_user(&portal, "me", 1, 1000).with_file();
    let setup = with_helper(setup, &portal, bot, Access::OAuth, USER_EVENTS).await;
    portal.record(1, 3).await;
    let once = finished(&["run", "--once"], setup.folder()).await;
    assert_eq!(code(&once), 77, "{}", stderr(&once));
    assert!(stderr(&once).contains("they would take each other's events"), "{}", stderr(&once));
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
}

#[tokio::test]
async fn tap_shows_a_bots_events_and_takes_none() {
    for access in BOTH {
        let (portal, bot) = portal_with_bot(access).await;
        let setup = with_helper(Setup::new().with_file(), &portal, bot, access, USER_EVENTS).await;
        record(&portal, bot, 5).await;
        portal.record(1, 2).await;
        let looked = finished(&["tap", "helper", "--once", "--log-level", "trace"], setup.folder()).await;
        assert_eq!((code(&looked), stdout(&looked).lines().count()), (0, 7), "{}", stderr(&looked));
        assert!(!stderr(&looked).contains(TOKEN), "{}", stderr(&looked));
        for stats in [portal.bot_stats(bot).await, portal.stats(1).await] {
            assert_eq!(stats["confirmed"], 0, "{access:?}: {stats}");
        }
        setup.drain().await;
        assert_eq!(std::fs::read_to_string(setup.path("events.jsonl")).unwrap(), stdout(&looked));
    }
}

#[tokio::test]
async fn tap_follows_a_bot_beside_a_daemon() {
    let (portal, bot) = portal_with_bot(Access::Webhook).await;
    let setup = with_helper(Setup::new().with_file(), &portal, bot, Access::Webhook, "").await;
    let mut tap = command();
    tap.args(["tap", "helper"]).current_dir(setup.folder());
    let mut tap = Relay::start_command(tap, setup.folder(), append(&setup.path("shown")).into());
    until("it has looked", async || portal.requests_of("imbot.v2.Event.get").await > 0).await;
    let mut relay = setup.run();
    for round in 1..=5 {
        record(&portal, bot, 10).await;
        until("all are filed", async || setup.filed_count() >= round * 10).await;
    }
    assert_eq!((relay.stop().await, tap.stop().await), (0, 0), "{}", tap.log());
    assert_exactly_once(&setup.filed_ids(), &portal.bot_ids(bot).await);
    assert_eq!(portal.bot_stats(bot).await["confirmed_unserved"], 0);
}
