//! Tokens that expire during operation: one refresh for all sources with the same login, and nothing is lost.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::portal::logins::{BOT, Office, is_parked};
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{code, finished, stderr};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;

#[tokio::test]
async fn one_refresh_serves_all_who_share_the_login() {
    let office = Office::open().await;
    office.record_and_await("a live pair").await;
    assert_eq!(office.portal.token_requests().await, 0, "no refresh without a 401");
    office.relay.signal(Signal::STOP);
    office.portal.post("clock", json!({"advance_s": 3600})).await;
    office.record().await;
    office.relay.signal(Signal::CONT);
    office.await_all("expiry by the clock").await;
    assert_eq!(office.portal.token_requests().await, 1);
    office.break_pair("expire", json!({})).await;
    office.record_and_await("expiry by decree").await;
    assert_eq!(office.portal.token_requests().await, 2);
    office.break_pair("forget", json!({})).await;
    office.record_and_await("an unknown token").await;
    assert_eq!(office.portal.token_requests().await, 3);
    let log = office.relay.log();
    // The relay reports that the portal's clock is an hour ahead now.
    let mut troubles = log.lines().filter(|line| line.contains(" ERROR ") || line.contains(" WARN "));
    assert!(troubles.all(|line| line.contains("clock and the portal's differ")), "{log}");
    office.end().await;
}

#[tokio::test]
async fn a_restart_goes_on_with_the_pair_on_record() {
    let mut office = Office::open().await;
    office.break_pair("expire", json!({})).await;
    office.record_and_await("expiry").await;
    office.relay.kill();
    office.relay = office.setup.run();
    office.record_and_await("a crash").await;
    assert_eq!(office.portal.token_requests().await, 1);
    office.end().await;
}

#[tokio::test]
async fn what_is_refused_right_after_its_refresh_is_not_refreshed_again() {
    let office = Office::open().await;
    for method in ["im.v2.Event.get", "imbot.v2.Event.get"] {
        let fault =
            json!({"kind": "error", "status": 401, "code": "expired_token", "method": method, "times": 1000});
        office.portal.post("faults", fault).await;
    }
    for round in 1..=4 {
        office.until_parked(round).await;
        let polls = office.portal.polls().await;
        office.relay.signal(Signal::HUP);
        until("another poll", async || office.portal.polls().await > polls).await;
    }
    assert_eq!(office.portal.token_requests().await, 1, "{}", office.relay.log());
    office.portal.control(reqwest::Method::DELETE, "faults", Value::Null).await;
    office.until_healed().await;
    office.record_and_await("the portal has come to its senses").await;
    office.end().await;
}

#[tokio::test]
async fn what_befalls_a_refresh_is_waited_out() {
    let office = Office::open().await;
    // If an answer is lost after the server has rotated the tokens, the relay retries with the old token.
    office.portal.set_app(json!({"grace_s": 600})).await;
    for fault in [
        json!({"kind": "error", "status": 500, "code": "INTERNAL_SERVER_ERROR"}),
        json!({"kind": "error", "status": 400, "code": "never_seen"}),
        json!({"kind": "html", "status": 502}),
        json!({"kind": "html", "status": 200}),
        json!({"kind": "empty", "status": 503}),
        json!({"kind": "empty", "status": 200}),
        json!({"kind": "close_before"}),
        json!({"kind": "close_after"}),
        json!({"kind": "truncate", "at": 0.5}),
        json!({"kind": "wrong_length"}),
        json!({"kind": "gzip_cut"}),
        json!({"kind": "rewrite", "pointer": "/refresh_token", "remove": true}),
        json!({"kind": "rewrite", "pointer": "/access_token", "value": ""}),
        json!({"kind": "raw", "status": 200, "body": "[]"}),
        json!({"kind": "redirect", "status": 302, "location": "/login/"}),
    ] {
        let before = office.portal.token_requests().await;
        office.portal.token_fault(fault.clone()).await;
        office.break_pair("expire", json!({})).await;
        office.record_and_await(&fault.to_string()).await;
        let asked = office.portal.token_requests().await - before;
        assert_eq!(asked, 2, "the one that failed and the one that did not: {fault}");
    }
    assert!(!office.relay.log().contains(" ERROR "), "{}", office.relay.log());
    office.end().await;
}

#[tokio::test]
async fn a_page_in_the_authorization_servers_place_ends_no_daemon_at_its_start() {
    let mut office = Office::open().await;
    assert_eq!(office.relay.stop().await, 0);
    office.portal.token_fault(json!({"kind": "html", "status": 403, "times": 1_000_000})).await;
    office.portal.expire().await;
    office.relay = office.setup.run();
    let page = "`oauth/token`: a web page instead of the authorization server's answer (HTTP 403, text/html)";
    office.relay.until_logged(page).await;
    until("it is parked", async || {
        office.relay.signal(Signal::HUP);
        office.relay.log().lines().any(|line| is_parked(line) && line.contains(page))
    })
    .await;
    assert!(office.relay.is_running(), "{}", office.relay.log());
    office.portal.control(reqwest::Method::DELETE, "faults", Value::Null).await;
    office.until_healed().await;
    office.record_and_await("the server is back").await;
    office.end().await;
}

#[tokio::test]
async fn a_lost_answer_without_grace_parks_the_source_and_asks_no_more() {
    let office = Office::open().await;
    office.portal.token_fault(json!({"kind": "close_after"})).await;
    office.break_pair("expire", json!({})).await;
    office.record().await;
    office.until_parked(1).await;
    office.relay.until_logged("invalid_grant").await;
    office.relay.until_logged("log in again: `b24relay login office`").await;
    for _ in 0..5 {
        office.probe().await;
    }
    assert_eq!(office.portal.token_requests().await, 2, "{}", office.relay.log());
    office.setup.log_in(&office.portal, "office", 1).await;
    office.await_all("the new login").await;
    assert_eq!(office.portal.token_requests().await, 2);
    office.end().await;
}

#[tokio::test]
async fn every_refusal_of_the_authorization_server_says_what_to_do() {
    let office = Office::open().await;
    for (status, error, words) in [
        (400, "invalid_request", "please report it"),
        (400, "invalid_client", "`client_id`, `client_secret` and `server`"),
        (401, "INVALID_CLIENT", "`client_id`, `client_secret` and `server`"),
        (200, "wrong_client", "`client_id`, `client_secret` and `server`"),
        (403, "invalid_scope", "correct the scopes in the application's card, then `b24relay login office`"),
        (401, "insufficient_scope", "correct the scopes"),
        (401, "PAYMENT_REQUIRED", "paid period is over"),
        (401, "NOT_INSTALLED", "install the application on the portal again, then `b24relay login office`"),
    ] {
        let fault = json!({"kind": "error", "status": status, "code": error});
        office.is_parked_by(fault, &[error, words]).await;
    }
    let gone = json!({"kind": "html", "status": 404});
    office.is_parked_by(gone, &["does not know this portal", "`portal` and `server`"]).await;
    // The only error for which only a new login helps.
    office.portal.token_fault(json!({"kind": "error", "status": 400, "code": "INVALID_GRANT"})).await;
    office.break_pair("expire", json!({})).await;
    office.relay.until_logged("INVALID_GRANT").await;
    office.setup.log_in(&office.portal, "office", 1).await;
    office.record_and_await("the new login").await;
    office.end().await;
}

#[tokio::test]
async fn a_doubtful_refusal_that_stays_calls_a_person() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_login(&portal, "office").with_file();
    setup.log_in(&portal, "office", 1).await;
    let mut relay = setup.run();
    until("the relay is let in", async || portal.polls().await > 0).await;
    let fault = json!({"kind": "error", "status": 400, "code": "never_seen", "times": 6});
    portal.token_fault(fault).await;
    portal.expire().await;
    until("a person is called", async || {
        relay.signal(Signal::HUP);
        relay.log().contains("the portal refuses this source")
    })
    .await;
    // A SIGHUP may have come after the one that caused a call.
    assert!((6..=8).contains(&portal.token_requests().await));
    relay.signal(Signal::HUP);
    portal.record(1, 3).await;
    until("all is filed", async || setup.filed_count() == 3).await;
    assert_eq!(relay.stop().await, 0);
}

#[tokio::test]
async fn the_queue_of_another_user_is_never_read_with_these_offsets() {
    let office = Office::open().await;
    office.portal.record(2, 5).await;
    office.portal.next_refresh(json!({"user_id": 2})).await;
    office.break_pair("expire", json!({})).await;
    office.record().await;
    office.until_parked(1).await;
    office.relay.until_logged("those of user 2, and this source reads the queue of user 1").await;
    office.relay.until_logged("log in as the user of before: `b24relay login office`").await;
    let polls = office.portal.polls().await;
    office.probe().await;
    assert_eq!(office.portal.polls().await, polls, "no poll without knowing for whom");
    assert_eq!(office.portal.token_requests().await, 1, "it is not asked again");
    assert_eq!(office.portal.stats(2).await["confirmed"], 0);
    office.setup.log_in(&office.portal, "office", 1).await;
    office.await_all("the right login").await;
    assert_eq!(office.portal.stats(2).await["served"], 0);
    office.end().await;
}

#[tokio::test]
async fn another_user_whom_nobody_names_is_found_out_by_the_source_that_did_not_refresh() {
    let portal = Portal::start().await;
    portal.add_bot().await;
    // The user's source pauses so long that the bot's source is the one to refresh.
    let setup =
        Setup::new().with_login_and_idle(&portal, "office", "5m").with_bot("porter", "office").with_file();
    setup.log_in(&portal, "office", 1).await;
    let mut relay = setup.run();
    until("both are let in", async || {
        portal.polls().await > 0 && portal.requests("imbot.v2.Event.get").await > 0
    })
    .await;
    portal.record_as(json!({"user": 2, "count": 5})).await;
    relay.signal(Signal::STOP);
    portal.expire().await;
    let stranger = portal.tokens(2).await;
    let edits = json!([
        {"pointer": "/access_token", "value": stranger["access_token"]},
        {"pointer": "/refresh_token", "value": stranger["refresh_token"]},
        {"pointer": "/user_id", "remove": true},
    ]);
    portal.token_fault(json!({"kind": "rewrite", "edits": edits})).await;
    let polls = portal.polls().await;
    relay.signal(Signal::CONT);
    relay.until_logged("tokens refreshed").await;
    assert_eq!(portal.polls().await, polls, "the bot's source was the one to refresh");
    relay.signal(Signal::HUP);
    relay.until_logged("the credential is that of user 2 now").await;
    let stats = portal.stats(2).await;
    assert_eq!((&stats["served"], &stats["confirmed"]), (&json!(0), &json!(0)), "{stats}");
    assert_eq!(relay.stop().await, 0);
}

#[tokio::test]
async fn another_process_that_refreshes_takes_nothing_away() {
    let office = Office::open().await;
    office.relay.signal(Signal::STOP);
    office.portal.expire().await;
    let check = finished(&["check"], office.setup.folder()).await;
    assert_eq!(office.portal.token_requests().await, 1, "{}", stderr(&check));
    office.relay.signal(Signal::CONT);
    office.record_and_await("a refresh beside it").await;
    assert_eq!(office.portal.token_requests().await, 1, "the daemon takes what is on record");
    office.end().await;
}

#[tokio::test]
async fn two_processes_that_refresh_at_once_both_go_on() {
    let office = Office::open().await;
    office.relay.signal(Signal::STOP);
    office.portal.expire().await;
    // The server has rotated the tokens, and its answer to the other process takes a while.
    office.portal.token_fault(json!({"kind": "stall", "seconds": 1})).await;
    let (folder, portal) = (office.setup.folder().to_owned(), &office.portal);
    let check = tokio::spawn(async move { finished(&["check"], &folder).await });
    until("the other process has asked", async || portal.token_requests().await == 1).await;
    office.record().await;
    office.relay.signal(Signal::CONT);
    office.await_all("a refresh at the same time").await;
    let check = check.await.unwrap();
    assert!([0, 69].contains(&code(&check)), "{}", stderr(&check));
    assert!(!office.relay.log().contains("the portal refuses"), "{}", office.relay.log());
    assert_eq!(office.portal.token_requests().await, 2);
    office.end().await;
}

#[tokio::test]
async fn a_kill_between_refresh_and_record_is_healed_by_the_servers_grace() {
    let mut office = Office::open().await;
    office.portal.set_app(json!({"grace_s": 600})).await;
    office.kill_in_refresh().await;
    office.relay = office.setup.run();
    office.await_all("a crash in a refresh").await;
    office.end().await;
}

#[tokio::test]
async fn a_kill_between_refresh_and_record_without_grace_calls_for_a_login() {
    let mut office = Office::open().await;
    office.kill_in_refresh().await;
    let asked = office.portal.token_requests().await;
    office.relay = office.setup.run();
    office.relay.until_logged("log in again: `b24relay login office`").await;
    assert_eq!(office.portal.token_requests().await, asked + 1);
    // The source continues without a restart.
    office.setup.log_in(&office.portal, "office", 1).await;
    office.await_all("the new login").await;
    office.end().await;
}

async fn a_stop_waits_for_the_refresh(grace: &str) {
    let mut office = Office::open_with(grace).await;
    office.portal.token_fault(json!({"kind": "stall", "seconds": 1})).await;
    office.portal.expire().await;
    office.record().await;
    until("the refresh is under way", async || office.portal.token_requests().await == 1).await;
    office.relay.stop().await;
    assert!(office.relay.log().contains("tokens refreshed"), "{}", office.relay.log());
    office.relay = office.setup.run();
    office.await_all("a stop in a refresh").await;
    assert_eq!(office.portal.token_requests().await, 1, "the pair was kept");
    office.end().await;
}

#[tokio::test]
async fn a_stop_waits_for_the_refresh_that_is_under_way() {
    a_stop_waits_for_the_refresh("").await;
}

#[tokio::test]
async fn a_stop_without_grace_waits_for_the_refresh_as_well() {
    a_stop_waits_for_the_refresh("shutdown_grace = \"0s\"").await;
}

#[tokio::test]
async fn a_portal_that_moves_is_followed_with_its_tokens() {
    let mut office = Office::open().await;
    office.relay.signal(Signal::STOP);
    office.portal.post("move", json!({})).await;
    office.portal.expire().await;
    office.record().await;
    office.relay.signal(Signal::CONT);
    office.await_all("the move").await;
    office.relay.until_logged("the portal has a new address").await;
    assert_eq!(office.portal.token_requests().await, 1);
    assert_eq!(office.relay.stop().await, 0);
    office.relay = office.setup.run();
    office.break_pair("expire", json!({})).await;
    office.record_and_await("a restart after the move").await;
    assert_eq!(office.portal.stats_of_bot(BOT).await["confirmed_unserved"], 0);
    office.end().await;
}
