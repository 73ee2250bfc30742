//! A daemon whose login is missing or no longer valid: it waits, and continues after a login.

use serde_json::json;

use crate::support::expected::ledger::assert_exactly_once;
use crate::support::portal::sandbox::Portal;
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;

/// A healthy source `support` of user 1 beside `office`, which has no login yet.
async fn pair() -> (Portal, Setup) {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_login(&portal, "office").with_file();
    (portal, setup)
}

async fn recorded(portal: &Portal) -> Vec<u64> {
    let mut ids = [portal.ids(1).await, portal.ids(2).await].concat();
    ids.sort_unstable();
    ids
}

async fn until_all_filed(portal: &Portal, setup: &Setup) {
    let recorded = recorded(portal).await;
    until("everything is filed", async || setup.filed_count() >= recorded.len()).await;
    let mut filed = setup.filed_ids();
    filed.sort_unstable();
    assert_exactly_once(&filed, &recorded);
}

#[tokio::test]
async fn without_any_login_the_daemon_waits_and_says_how_to_get_one() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_login(&portal, "office").with_bot("porter", "office").with_file();
    let log = setup.assert_refused(77, &["run `b24relay login office`"]).await;
    assert!(!log.contains("login porter"), "{log}");
    assert_eq!((portal.token_requests().await, portal.requests("profile").await), (0, 0));
}

#[tokio::test]
async fn a_login_beside_a_waiting_daemon_is_picked_up() {
    let (portal, setup) = pair().await;
    let mut relay = setup.run();
    relay.until_logged("nobody has logged in for `office` yet").await;
    portal.record(1, 3).await;
    until("the other source goes on", async || setup.filed_count() == 3).await;
    portal.record(2, 4).await;
    setup.log_in(&portal, "office", 2).await;
    until_all_filed(&portal, &setup).await;
    assert!(relay.log().contains("the source can be polled now"), "{}", relay.log());
    assert_eq!(relay.stop().await, 0);
}

#[tokio::test]
async fn a_latecomer_that_is_refused_ends_nobody_else() {
    let (portal, setup) = pair().await;
    let mut relay = setup.run();
    relay.until_logged("nobody has logged in for `office` yet").await;
    setup.log_in(&portal, "office", 2).await;
    portal.set_app(json!({"scopes": ["crm"]})).await;
    relay.until_logged("tick the scopes").await;
    portal.record(1, 3).await;
    until("the other source goes on", async || setup.filed_count() == 3).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
}

#[tokio::test]
async fn a_login_after_the_application_was_reinstalled_is_picked_up() {
    let (portal, setup) = pair().await;
    setup.log_in(&portal, "office", 2).await;
    let mut relay = setup.run();
    portal.record(2, 3).await;
    until_all_filed(&portal, &setup).await;
    portal.set_app(json!({"installed": false})).await;
    portal.forget().await;
    portal.record(2, 3).await;
    relay.until_logged("the portal refuses this source").await;
    assert!(relay.log().contains("install the application on the portal again"), "{}", relay.log());
    portal.set_app(json!({"installed": true})).await;
    // After a reinstallation, the application's previous tokens are invalid.
    portal.post(&format!("apps/{}/expire", portal.sandbox.client_id()), json!({"refresh": true})).await;
    setup.log_in(&portal, "office", 2).await;
    until_all_filed(&portal, &setup).await;
    assert_eq!(relay.stop().await, 0);
}

#[tokio::test]
async fn a_login_that_is_over_is_mended_without_a_restart() {
    let (portal, setup) = pair().await;
    setup.log_in(&portal, "office", 2).await;
    let mut relay = setup.run();
    portal.record(2, 3).await;
    until_all_filed(&portal, &setup).await;
    portal.post(&format!("apps/{}/expire", portal.sandbox.client_id()), json!({"refresh": true})).await;
    portal.record(2, 3).await;
    relay.until_logged("invalid_grant").await;
    relay.until_logged("log in again: `b24relay login office`").await;
    assert_eq!(portal.token_requests().await, 1, "no second try with what is dead");
    setup.log_in(&portal, "office", 2).await;
    until_all_filed(&portal, &setup).await;
    assert_eq!(relay.stop().await, 0);
}
