//! G1, G2 and I6: the state after kill -9 at moments that are unlikely to occur by chance. The other moments are in
//! `kills`.

use std::fs::File;
use std::io::Write as _;

use crate::support::expected::ledger::assert_exactly_once;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::Relay;
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::{Answer, Receiver};

#[tokio::test]
async fn what_a_crash_left_in_the_file_is_not_written_again() {
    let portal = Portal::start().await;
    portal.record(1, 100).await;
    // With a lag, events that are old enough at the first poll would be confirmed and not come again.
    let setup = Setup::new().with_lag("0s").with_source(&portal).with_file();
    let mut relay = Relay::start(setup.folder(), &["--once"]);
    assert_eq!(relay.exit_code().await, 0);
    let whole = std::fs::read(setup.path("events.jsonl")).unwrap();
    // Simulates a kill at each kind of moment between the first byte and the commit.
    for cut in [0, 1, 5, whole.len() / 3, whole.len() / 2, whole.len() - 1, whole.len()] {
        std::fs::remove_file(setup.path("b24relay.db")).unwrap();
        std::fs::write(setup.path("events.jsonl"), &whole[..cut]).unwrap();
        let mut relay = Relay::start(setup.folder(), &["--once", "--new-state"]);
        assert_eq!(relay.exit_code().await, 0);
        assert_eq!(std::fs::read(setup.path("events.jsonl")).unwrap(), whole, "cut at {cut}");
    }
}

#[tokio::test]
async fn text_of_somebody_else_in_the_file_is_left_alone() {
    let portal = Portal::start().await;
    portal.record(1, 10).await;
    let setup = Setup::new().with_source(&portal).with_file();
    let mut file = File::create(setup.path("events.jsonl")).unwrap();
    file.write_all(b"# a note\n\n{\"id\":\"other\"} without an end").unwrap();
    let mut relay = Relay::start(setup.folder(), &["--once"]);
    assert_eq!(relay.exit_code().await, 0);

    let text = std::fs::read_to_string(setup.path("events.jsonl")).unwrap();
    let events = text.strip_prefix("# a note\n\n{\"id\":\"other\"} without an end\n").unwrap();
    assert_eq!(events.lines().count(), 10);
}

#[tokio::test]
async fn a_crash_after_the_receivers_answer_repeats_no_more_than_the_uncommitted() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    portal.record(1, 500).await;
    // The 300th request is never answered, so that all earlier events are settled and time passes.
    receiver.script(std::iter::repeat_n(Answer::Status(200), 299).chain([Answer::Hang]));
    // The attempt may take longer than this test waits. So a commit must happen while the attempt runs.
    let sink = format!(
        "[sinks.crm]\ntype = \"webhook\"\nurl = \"{}\"\ntimeout = \"5m\"\nordering = \"strict\"",
        receiver.url()
    );
    let setup = Setup::new().with_source(&portal).with(&sink);
    let mut relay = setup.run();
    until("300 requests", async || receiver.count() == 300).await;
    // The hanging attempt does not delay the commit of earlier settled events.
    let recorded = portal.ids(1).await;
    until("the commit", async || setup.committed_offset("support", "crm") == recorded[298] + 1).await;
    relay.kill();

    let mut relay = Relay::start(setup.folder(), &["--once"]);
    assert_eq!(relay.exit_code().await, 0);
    assert_exactly_once(&receiver.accepted_ids(), &recorded);
}
