//! Tests the rules of a gate with a paused clock.

use futures_util::FutureExt as _;

use super::*;
use crate::config::{GiveUp, RetryConfig, StartConfig, StdoutConfig, StdoutFormat, TargetConfig};
use crate::shutdown::Signals;
use crate::sink;

const SECOND: Duration = Duration::from_secs(1);

fn gate(flow: FlowConfig) -> Arc<Gate> {
    let config = SinkConfig {
        name: "crm".into(),
        target: TargetConfig::Stdout(StdoutConfig { format: StdoutFormat::Json }),
        sources: None,
        events: None,
        retry: RetryConfig { min: SECOND, max: 300 * SECOND, give_up: GiveUp::Never },
        max_event_age: None,
        start: StartConfig::Oldest,
        flow,
    };
    Gate::new(sink::build(&config, &Signals::silent()).unwrap(), &config, &Figures::default())
}

fn flow(concurrency: u16, breaker_failures: u16) -> FlowConfig {
    FlowConfig { concurrency, breaker_failures, ..FlowConfig::STRICT }
}

fn transient(wait: Option<Duration>) -> DeliverError {
    DeliverError::Transient { reason: "no".into(), wait }
}

/// All permits that are available at this moment.
fn admitted(gate: &Arc<Gate>) -> Vec<Pass> {
    std::iter::from_fn(|| gate.admit().now_or_never()).take(100).collect()
}

#[tokio::test(start_paused = true)]
async fn no_more_than_allowed_are_under_way() {
    let gate = gate(flow(3, 10));
    let mut passes = admitted(&gate);
    assert_eq!(passes.len(), 3);
    let waiting = tokio::spawn({
        let gate = Arc::clone(&gate);
        async move { gate.admit().await }
    });
    tokio::task::yield_now().await;
    passes.pop();
    waiting.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn repeated_failures_leave_a_single_probe_and_success_opens_gently() {
    let gate = gate(flow(8, 3));
    let mut passes = admitted(&gate);
    assert_eq!(passes.pop().unwrap().fail(&transient(None), SECOND, Blame::Sink), (SECOND, Gates::Open));
    assert_eq!(passes.pop().unwrap().fail(&transient(None), SECOND, Blame::Sink), (SECOND, Gates::Open));
    let (delay, gates) = passes.pop().unwrap().fail(&transient(None), SECOND, Blame::Sink);
    assert_eq!(gates, Gates::Closed);
    // Attempts that began before it closed change nothing any more.
    for pass in passes {
        assert_eq!(pass.fail(&transient(None), SECOND, Blame::Sink).1, Gates::ClosedBefore);
    }
    assert_eq!(admitted(&gate).len(), 0);
    tokio::time::advance(delay).await;
    let mut probes = admitted(&gate);
    assert_eq!(probes.len(), 1);
    let (delay, gates) = probes.pop().unwrap().fail(&transient(None), SECOND, Blame::Sink);
    assert_eq!((gates, admitted(&gate).len()), (Gates::Closed, 0));
    tokio::time::advance(delay).await;
    let mut under_way = admitted(&gate);
    assert_eq!(under_way.len(), 1);
    for expected in [2, 4, 8, 8] {
        under_way.into_iter().for_each(Pass::succeed);
        under_way = admitted(&gate);
        assert_eq!(under_way.len(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_for_time_gets_it_from_everybody() {
    let gate = gate(flow(8, 10));
    let (wait, nearly) = (30 * SECOND, 29 * SECOND);
    let pass = gate.admit().await;
    assert_eq!(pass.fail(&transient(Some(wait)), SECOND, Blame::Sink), (wait, Gates::Closed));
    tokio::time::advance(nearly).await;
    assert_eq!(admitted(&gate).len(), 0);
    tokio::time::advance(SECOND).await;
    assert_eq!(admitted(&gate).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_needs_a_person_is_probed_rarely_or_when_the_person_asks() {
    let gate = gate(flow(8, 10));
    let held = DeliverError::Held { reason: "no".into(), wait: None };
    let (soon, gates) = gate.admit().await.fail(&held, SECOND, Blame::Sink);
    assert_eq!(gates, Gates::Closed);
    assert!(soon <= 2 * SECOND, "it may be about one event: another one tells soon, not after {soon:?}");
    tokio::time::advance(soon).await;
    let (delay, gates) = gate.admit().await.fail(&held, SECOND, Blame::Sink);
    assert_eq!(gates, Gates::Closed);
    assert!(delay >= PROBE_MIN * 8 / 10, "{delay:?}");
    let waiting = tokio::spawn({
        let gate = Arc::clone(&gate);
        async move { gate.admit().await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    gate.hasten();
    waiting.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn whoever_wants_an_answer_need_not_wait_for_ever() {
    let gate = gate(flow(2, 1));
    for closings in 1..=3 {
        assert!(gate.is_hopeless(3).now_or_never().is_none(), "{closings}");
        let (delay, _) = gate.admit().await.fail(&transient(None), SECOND, Blame::Sink);
        tokio::time::advance(delay).await;
    }
    assert!(gate.is_hopeless(3).now_or_never().is_some());
    gate.admit().await.succeed();
    assert!(gate.is_hopeless(3).now_or_never().is_none());
    gate.admit().await.fail(&DeliverError::Held { reason: "no".into(), wait: None }, SECOND, Blame::Sink);
    assert!(gate.is_hopeless(3).now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn rejections_do_not_close_it() {
    let gate = gate(flow(1, 1));
    let rejected = DeliverError::Rejected {
        reason: "no".into(),
        status: Some(422),
        answer: String::new(),
        is_final: false,
    };
    for _ in 0..5 {
        assert_eq!(gate.admit().await.fail(&rejected, SECOND, Blame::Sink), (SECOND, Gates::Open));
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_keep_to_their_rate() {
    let gate = gate(FlowConfig { interval: Some(SECOND / 50), ..flow(8, 10) });
    let start = Instant::now();
    for _ in 0..500 {
        gate.admit().await.succeed();
    }
    let (took, slack) = (start.elapsed(), RATE_SLACK + SECOND / 50);
    assert!(took <= 10 * SECOND && took + slack >= 10 * SECOND, "{took:?}");
}

/// A lane that delivers `count` events one by one, each in a second, and adds `name` to `order` with each.
async fn deliver(mut ticket: Ticket, name: char, count: usize, order: Arc<Mutex<String>>) {
    for _ in 0..count {
        let pass = ticket.admit().await;
        order.lock().unwrap().push(name);
        tokio::time::sleep(SECOND).await;
        pass.succeed();
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_backlog_leaves_every_second_permit_to_another_lane() {
    let (gate, order) = (gate(flow(1, 10)), Arc::new(Mutex::new(String::new())));
    tokio::spawn(deliver(gate.ticket(), 'a', 1000, Arc::clone(&order)));
    tokio::time::sleep(SECOND / 2).await;
    tokio::spawn(deliver(gate.ticket(), 'b', 5, Arc::clone(&order))).await.unwrap();
    assert_eq!(order.lock().unwrap()[..10], *"ababababab");
}

#[tokio::test(start_paused = true)]
async fn permits_are_given_in_the_order_of_asking() {
    let (gate, order) = (gate(flow(2, 10)), Arc::new(Mutex::new(String::new())));
    let passes = admitted(&gate);
    let mut lanes = tokio::task::JoinSet::new();
    for name in 'a'..='z' {
        lanes.spawn(deliver(gate.ticket(), name, 2, Arc::clone(&order)));
        tokio::task::yield_now().await;
    }
    drop(passes);
    lanes.join_all().await;
    assert_eq!(*order.lock().unwrap(), "abcdefghijklmnopqrstuvwxyz".repeat(2));
}

#[tokio::test(start_paused = true)]
async fn a_place_is_kept_however_often_asking_is_broken_off() {
    let gate = gate(flow(1, 10));
    let pass = gate.admit().await;
    let mut first = gate.ticket();
    assert!(first.admit().now_or_never().is_none());
    let mut second = gate.ticket();
    for _ in 0..10 {
        assert!(second.admit().now_or_never().is_none());
        assert!(first.admit().now_or_never().is_none());
    }
    let waiting = tokio::spawn(async move { second.admit().await });
    let first = tokio::spawn(async move {
        loop {
            tokio::select! {
                biased;
                pass = first.admit() => return pass,
                () = tokio::time::sleep(SECOND / 10) => {}
            }
        }
    });
    tokio::time::sleep(2 * SECOND + SECOND / 20).await;
    pass.succeed();
    let pass = first.await.unwrap();
    assert!(!waiting.is_finished());
    drop(pass);
    waiting.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_stands_still_in_the_queue_blocks_nobody_and_keeps_its_place() {
    let gate = gate(flow(1, 10));
    let pass = gate.admit().await;
    let (mut still, mut busy, mut last) = (gate.ticket(), gate.ticket(), gate.ticket());
    assert!(still.admit().now_or_never().is_none());
    let busy = tokio::spawn(async move {
        for _ in 0..10 {
            busy.admit().await.succeed();
        }
        busy
    });
    tokio::task::yield_now().await;
    pass.succeed();
    let mut busy = busy.await.unwrap();
    let pass = busy.admit().now_or_never().unwrap();
    let last = tokio::spawn(async move { last.admit().await });
    tokio::task::yield_now().await;
    let still = tokio::spawn(async move { still.admit().await });
    tokio::task::yield_now().await;
    pass.succeed();
    let pass = still.await.unwrap();
    assert!(!last.is_finished(), "it asked later");
    drop(pass);
    last.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_ticket_that_is_dropped_frees_its_place() {
    let gate = gate(flow(1, 10));
    let pass = gate.admit().await;
    let (mut first, mut second, mut third) = (gate.ticket(), gate.ticket(), gate.ticket());
    assert!(first.admit().now_or_never().is_none());
    assert!(second.admit().now_or_never().is_none());
    let third = tokio::spawn(async move { third.admit().await });
    tokio::task::yield_now().await;
    second.leave();
    drop(first);
    pass.succeed();
    third.await.unwrap();
    assert!(second.admit().now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn whoever_is_cancelled_after_being_woken_leaves_the_permit_to_the_next() {
    let gate = gate(flow(1, 10));
    let pass = gate.admit().await;
    let (mut first, mut second) = (gate.ticket(), gate.ticket());
    let mut asking = Box::pin(first.admit());
    assert!((&mut asking).now_or_never().is_none());
    let second = tokio::spawn(async move { second.admit().await });
    tokio::task::yield_now().await;
    // The first is woken, and is cancelled before it could look.
    pass.succeed();
    drop(asking);
    second.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_rejects_everything_is_held() {
    let gate = gate(FlowConfig { hold_after_rejections: 3, ..flow(2, 10) });
    let mut early = admitted(&gate);
    for _ in 0..2 {
        early.pop().unwrap().reject("no such field");
        early.extend(gate.admit().now_or_never());
    }
    assert_eq!(gate.condition(), GateCondition::Open);
    let said = early.pop().unwrap().reject("no such field");
    let words = "rejects every event (3 of 3): no such field";
    assert_eq!(said.as_deref(), Some(words));
    // It began before the gate closed.
    assert_eq!(early.pop().unwrap().reject("no such field"), None);
    let GateCondition::Closed { needs_person: true, reason, until } = gate.condition() else {
        panic!("{:?}", gate.condition())
    };
    assert_eq!((reason.as_str(), admitted(&gate).len()), (words, 0));
    assert!(gate.is_hopeless(100).now_or_never().is_some());

    tokio::time::sleep_until(until).await;
    let said = gate.admit().await.reject("no such field");
    assert_eq!(said.as_deref(), Some("rejects every event (5 of 5): no such field"));
    gate.hasten();
    gate.admit().await.succeed();
    assert_eq!(gate.condition(), GateCondition::Open);
    assert_eq!(gate.admit().await.reject("no such field"), None);
}

#[tokio::test(start_paused = true)]
async fn rejections_are_counted_until_one_event_is_delivered() {
    let gate = gate(FlowConfig { hold_after_rejections: 2, ..flow(1, 10) });
    for _ in 0..5 {
        assert_eq!(gate.admit().await.reject("no"), None);
        gate.admit().await.succeed();
    }
    assert_eq!(gate.admit().await.reject("no"), None);
    // A batch that is sent again in parts counts as neither.
    gate.admit().await.answer();
    assert!(gate.admit().await.reject("no").is_some());
}

#[tokio::test(start_paused = true)]
async fn every_lane_sees_why_the_gate_is_closed() {
    let gate = gate(flow(1, 1));
    let seen = tokio::spawn({
        let gate = Arc::clone(&gate);
        async move { gate.condition_other_than(&GateCondition::Open).await }
    });
    tokio::task::yield_now().await;
    let failure = transient(None);
    let (delay, _) = gate.admit().await.fail(&failure, SECOND, Blame::Sink);
    let closed = GateCondition::Closed {
        needs_person: false,
        reason: failure.to_string(),
        until: Instant::now() + delay,
    };
    assert_eq!(seen.await.unwrap(), closed);
    assert_eq!(gate.condition(), closed);
    tokio::time::advance(delay).await;
    gate.admit().await.succeed();
    assert_eq!(gate.condition_other_than(&closed).await, GateCondition::Open);
}

#[tokio::test(start_paused = true)]
async fn events_that_fail_while_others_are_delivered_close_nothing() {
    let gate = gate(flow(2, 1));
    let before = gate.successes();
    gate.admit().await.succeed();
    assert_eq!(gate.successes(), before + 1);
    let held = DeliverError::Held { reason: "no".into(), wait: None };
    for (failure, least) in
        [(held, PROBE_MIN), (transient(Some(9 * SECOND)), 9 * SECOND), (transient(None), SECOND)]
    {
        let (delay, gates) = gate.admit().await.fail(&failure, SECOND, Blame::Events);
        assert_eq!((delay, gates), (least, Gates::Open));
        assert!(!gate.is_closed());
    }
}
