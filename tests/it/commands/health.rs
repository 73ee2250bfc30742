//! `healthcheck`: the exit code for a container, and the messages for an operator.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{code, finished, stderr, stdout};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::Receiver;

/// The exit code and the line of the output.
async fn checked(setup: &Setup, args: &[&str]) -> (i32, String) {
    let check = finished(&[&["healthcheck"], args].concat(), setup.folder()).await;
    let line = stdout(&check);
    assert_eq!((line.lines().count(), stderr(&check).as_str()), (1, ""), "{line}");
    (code(&check), line.trim_end().to_owned())
}

/// Waits until the line contains all of `words` and the exit code is `expected`.
async fn until_checked(setup: &Setup, args: &[&str], expected: i32, words: &[&str]) {
    let mut last = (0, String::new());
    let is_so = async || {
        last = checked(setup, args).await;
        last.0 == expected && words.iter().all(|word| last.1.contains(word))
    };
    until(&format!("{expected} and {words:?} from healthcheck {args:?}"), is_so).await;
}

/// Repeats until an event is delivered.
async fn until_delivered(setup: &Setup, portal: &Portal, sink: &str) {
    portal.record(1, 1).await;
    until("something is delivered", async || setup.lane_of(sink).await["delivered"].as_u64() > Some(0)).await;
}

#[tokio::test]
async fn a_daemon_that_polls_is_healthy_and_one_that_is_gone_is_not() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    let gone = format!("unhealthy: no daemon runs on `{}`", "b24relay.db");
    let never = format!("{gone}: there is no such file");
    assert_eq!(checked(&setup, &[]).await, (69, never), "before the first start");

    let mut relay = setup.run();
    until_delivered(&setup, &portal, "archive").await;
    until_checked(&setup, &[], 0, &["healthy: 1 source, heard of "]).await;
    // Neither a configuration nor its secrets are needed.
    std::fs::rename(setup.path("b24relay.toml"), setup.path("elsewhere.toml")).unwrap();
    assert_eq!(checked(&setup, &["--state", "b24relay.db", "--strict"]).await.0, 0);
    let check = finished(&["healthcheck"], setup.folder()).await;
    assert_eq!(code(&check), 78, "{}", stderr(&check));
    std::fs::rename(setup.path("elsewhere.toml"), setup.path("b24relay.toml")).unwrap();

    relay.kill();
    assert_eq!(checked(&setup, &[]).await, (69, gone));
    std::fs::write(setup.path("b24relay.db"), "cut").unwrap();
    let (exit, line) = checked(&setup, &["--json"]).await;
    let shown: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((exit, &shown["healthy"]), (69, &json!(false)), "{shown}");
    assert_eq!(shown["findings"][0]["kind"], "unreadable", "{shown}");
}

#[tokio::test]
async fn a_daemon_that_hangs_is_ill_until_it_goes_on() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    let mut relay = setup.run();
    until_delivered(&setup, &portal, "archive").await;
    relay.signal(Signal::STOP);
    let words = ["unhealthy: `support` was last polled", "nothing tells why"];
    until_checked(&setup, &["--stalled-after", "1s"], 69, &words).await;
    assert_eq!(checked(&setup, &["--stalled-after", "1h"]).await.0, 0);
    relay.signal(Signal::CONT);
    // A healthy source reports every ten seconds.
    until_checked(&setup, &["--stalled-after", "10s"], 0, &["healthy: "]).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
}

#[tokio::test]
async fn a_dead_sink_is_told_of_and_is_no_illness_of_the_daemon() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup = Setup::new().with_source(&portal).with_receiver(&receiver);
    let mut relay = setup.run();
    until_delivered(&setup, &portal, "crm").await;
    receiver.answer_always(Some(401));
    portal.record(1, 1).await;
    setup.until_crm_is("held").await;
    let words = ["healthy, but sink `crm` for `support` is held since 20", "answered 401"];
    until_checked(&setup, &[], 0, &words).await;
    let (exit, line) = checked(&setup, &["--strict"]).await;
    assert!(exit == 69 && line.starts_with("unhealthy: sink `crm` for `support` is held"), "{exit} {line}");
    let (exit, line) = checked(&setup, &["--json"]).await;
    let shown: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((exit, &shown["healthy"]), (0, &json!(true)), "{shown}");
    let finding = &shown["findings"][0];
    assert_eq!(finding["source"], "support", "{shown}");
    assert_eq!((&finding["sink"], &finding["is_ill"]), (&json!("crm"), &json!(false)), "{shown}");
    assert!(shown["daemon"].as_str().unwrap().starts_with("process "), "{shown}");
    relay.stop().await;
}

#[tokio::test]
async fn a_sink_that_is_tried_in_quick_succession_is_known_to_be_tried_still() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup = Setup::new().with_source(&portal).with_receiver(&receiver);
    receiver.answer_always(Some(503));
    portal.record(1, 1).await;
    let mut relay = setup.run();
    // Its delays are too short for a report of each of them.
    let first = setup.until_crm_is("retrying").await["next_ms"].as_i64().unwrap();
    let is_renewed = async || setup.lane_of("crm").await["next_ms"].as_i64().unwrap() > first + 5000;
    until("its word is renewed", is_renewed).await;
    relay.stop().await;
}

#[tokio::test]
async fn a_portal_that_refuses_is_told_of_and_counts_where_everything_does() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    let mut relay = setup.run();
    until_delivered(&setup, &portal, "archive").await;
    portal.fault(json!({"kind": "error", "code": "ACCESS_DENIED", "status": 403, "times": 1_000_000})).await;
    until_checked(&setup, &[], 0, &["healthy, but source `support` is refused: ", "ACCESS_DENIED"]).await;
    assert_eq!(checked(&setup, &["--strict"]).await.0, 69);
    relay.stop().await;
}

#[tokio::test]
async fn a_bound_that_no_daemon_can_keep_is_refused() {
    let setup = Setup::new();
    for bound in ["0s", "999ms", "-5m", "soon"] {
        let check = finished(&["healthcheck", "--stalled-after", bound], setup.folder()).await;
        assert_eq!(code(&check), 64, "{bound}: {}", stderr(&check));
    }
}
