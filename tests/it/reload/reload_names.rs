//! Which source reads which queue after a reload changes the names: a queue moves from one source to another, and no
//! source gets a queue other than the recorded one.

use crate::reload::reloading::{apply, refuse};
use crate::support::expected::ledger::{assert_complete, assert_exactly_once};
use crate::support::portal::sandbox::Portal;
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;

/// Sources with these names and users, and a file for each.
fn named(setup: Setup, portal: &Portal, mode: &str, sources: [(&str, u64); 2]) -> Setup {
    let setup = setup.with(&format!("[delivery]\nmode = \"{mode}\""));
    sources
        .into_iter()
        .fold(setup, |setup, (name, user)| setup.with_user(portal, name, user, 1000).with_file_of(name))
}

/// Waits until the portal has no recorded events of both users left.
async fn until_all_is_confirmed(portal: &Portal) {
    until("all is confirmed", async || {
        portal.stats(1).await["pending"] == 0 && portal.stats(2).await["pending"] == 0
    })
    .await;
}

#[tokio::test]
async fn sources_that_are_renamed_hand_their_queues_over() {
    for mode in ["direct", "journal"] {
        let portal = Portal::start().await;
        let before = [("support", 1), ("sales", 2)];
        let setup = named(Setup::new(), &portal, mode, before);
        portal.record(1, 5).await;
        portal.record(2, 5).await;
        let mut relay = setup.run();
        until_all_is_confirmed(&portal).await;

        let setup = named(setup.anew(), &portal, mode, [("desk", 1), ("shop", 2)]);
        let said = apply(&relay).await;
        for change in ["support: removed", "sales: removed", "desk: added", "shop: added"] {
            assert!(said.contains(&format!("sources.{change}")), "no `{change}` in: {said}");
        }
        portal.record(1, 5).await;
        portal.record(2, 5).await;
        until("the new names have what came since", async || {
            setup.filed_ids_of("desk").len() == 5 && setup.filed_ids_of("shop").len() == 5
        })
        .await;
        until_all_is_confirmed(&portal).await;

        // After the change back, they continue at their positions.
        let setup = named(setup.anew(), &portal, mode, before);
        apply(&relay).await;
        portal.record(1, 5).await;
        portal.record(2, 5).await;
        until("the old names have the rest", async || {
            setup.filed_ids_of("support").len() == 10 && setup.filed_ids_of("sales").len() == 10
        })
        .await;
        assert_eq!(relay.stop().await, 0, "{}", relay.log());
        assert!(!relay.log().contains("reads the queue"), "{}", relay.log());
        for (user, old, new) in [(1, "support", "desk"), (2, "sales", "shop")] {
            let ids = portal.ids(user).await;
            assert_exactly_once(&setup.filed_ids_of(new), &ids[5..10]);
            assert_exactly_once(&setup.filed_ids_of(old), &[&ids[..5], &ids[10..]].concat());
            portal.assert_nothing_confirmed_unseen(user).await;
        }
    }
}

#[tokio::test]
async fn a_source_that_is_renamed_in_the_middle_of_its_work_loses_nothing() {
    let portal = Portal::start().await;
    let one = |setup: Setup, name: &str| setup.with_user(&portal, name, 1, 3).with_file_of(name);
    let mut setup = one(Setup::new(), "one");
    portal.record(1, 50).await;
    let mut relay = setup.run();
    let names = ["one", "two", "three", "four"];
    for pair in names.windows(2) {
        until("some are filed", async || setup.filed_ids_of(pair[0]).len() >= 6).await;
        setup = one(setup.anew(), pair[1]);
        apply(&relay).await;
        portal.record(1, 20).await;
    }
    let ids = portal.ids(1).await;
    until("the last is filed", async || setup.filed_ids_of("four").last() == ids.last()).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
    let all: Vec<u64> = names.iter().flat_map(|name| setup.filed_ids_of(name)).collect();
    assert_complete(&all, &ids);
    portal.assert_nothing_confirmed_unseen(1).await;
}

#[tokio::test]
async fn two_sources_that_swap_their_webhooks_are_refused_and_both_go_on() {
    for mode in ["direct", "journal"] {
        let portal = Portal::start().await;
        let setup = named(Setup::new(), &portal, mode, [("support", 1), ("sales", 2)]);
        portal.record(1, 5).await;
        portal.record(2, 5).await;
        let mut relay = setup.run();
        let filed = |name: &str| setup.filed_ids_of(name).len();
        until("both have five", async || filed("support") == 5 && filed("sales") == 5).await;

        let setup = named(setup.anew(), &portal, mode, [("support", 2), ("sales", 1)]);
        for count in [10, 15] {
            let said = refuse(&relay).await;
            assert!(said.contains("another name"), "{said}");
            portal.record(1, 5).await;
            portal.record(2, 5).await;
            let filed = |name: &str| setup.filed_ids_of(name).len();
            until("both have five more", async || filed("support") == count && filed("sales") == count).await;
        }
        assert_eq!(relay.stop().await, 0, "{}", relay.log());
        assert!(!relay.log().contains("reads the queue"), "{}", relay.log());
        assert_exactly_once(&setup.filed_ids_of("support"), &portal.ids(1).await);
        assert_exactly_once(&setup.filed_ids_of("sales"), &portal.ids(2).await);
    }
}
