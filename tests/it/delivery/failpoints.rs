//! I1, I3 and I6, step by step: kill -9 at each point between the receipt of an event and its confirmation.

use std::os::unix::process::ExitStatusExt as _;

use crate::support::expected::ledger::{assert_at_least_once, assert_exactly_once};
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{command, finished_command};
use crate::support::process::setup::Setup;
use crate::support::receivers::receiver::{Answer, Receiver};

/// In the order in which an event passes them.
const PLACES: [&str; 9] = [
    "confirming",
    "received",
    "appending",
    "appended",
    "attempting",
    "answered",
    "settled",
    "committing",
    "committed",
];

/// The visits to a point at which the process is killed.
const VISITS: [u32; 4] = [1, 2, 3, 12];

/// The events of two users, delivered to a file and to a receiver that refuses every tenth attempt.
struct Scene {
    portal: Portal,
    receiver: Receiver,
    setup: Setup,
}

impl Scene {
    async fn of(hold: &str) -> Self {
        let (portal, receiver) = (Portal::start().await, Receiver::start().await);
        for user in [1, 2] {
            portal.record(user, 30).await;
        }
        let refusals = (1..=60).map(|number| Answer::Status(if number % 10 == 0 { 503 } else { 200 }));
        receiver.script(refusals);
        let setup = Setup::new()
            .with(&format!("[delivery]\nhold = \"{hold}\""))
            .with_user(&portal, "support", 1, 20)
            .with_user(&portal, "sales", 2, 20)
            .with_file()
            .with_receiver(&receiver);
        Self { portal, receiver, setup }
    }

    /// Drains with a failpoint, and returns whether it killed the process.
    async fn dies_at(&self, place: &str, visit: u32) -> bool {
        let mut run = command();
        run.args(["run", "--once"]).current_dir(self.setup.folder());
        run.env("FAILPOINT", format!("{place}:{visit}"));
        finished_command(run).await.status.signal() == Some(9)
    }

    /// Every sink has all events of both users, and the portal deleted no event before the relay had read it.
    async fn assert_nothing_lost(&self, kills: usize) {
        for user in [1, 2] {
            let recorded = self.portal.ids(user).await;
            let is_ours = |id: &u64| recorded.contains(id);
            let filed: Vec<u64> = self.setup.filed_ids().into_iter().filter(is_ours).collect();
            assert_exactly_once(&filed, &recorded);
            let accepted: Vec<u64> = self.receiver.accepted_ids().into_iter().filter(is_ours).collect();
            assert_at_least_once(&accepted, &recorded, kills, 65);
            self.portal.assert_nothing_confirmed_unseen(user).await;
        }
    }
}

async fn die_everywhere(hold: &str) {
    for place in PLACES {
        let scene = Scene::of(hold).await;
        let mut kills = 0;
        for visit in VISITS {
            kills += usize::from(scene.dies_at(place, visit).await);
        }
        assert!(kills > 0, "nobody came by `{place}`");
        scene.setup.drain().await;
        scene.assert_nothing_lost(kills).await;
    }
}

#[tokio::test]
async fn death_at_any_step_loses_nothing_while_the_portal_holds() {
    die_everywhere("forever").await;
}

#[tokio::test]
async fn death_at_any_step_loses_nothing_without_hold() {
    die_everywhere("0s").await;
}
