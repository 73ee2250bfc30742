//! Tests the rules of a limiter with a paused clock.

use futures_util::FutureExt as _;

use super::*;
use crate::config::{
    FilterConfig, GiveUp, RetryConfig, StartConfig, StdoutConfig, StdoutFormat, TargetConfig,
};
use crate::shutdown::Signals;
use crate::sink;

const SECOND: Duration = Duration::from_secs(1);

fn limiter(flow: ThroughputConfig) -> Arc<DeliveryLimiter> {
    let config = SinkConfig {
        name: "crm".into(),
        target: TargetConfig::Stdout(StdoutConfig { format: StdoutFormat::Json }),
        sources: None,
        events: None,
        filter: FilterConfig::default(),
        retry: RetryConfig { min: SECOND, max: 300 * SECOND, give_up: GiveUp::Never },
        max_event_age: None,
        start: StartConfig::Oldest,
        flow,
    };
    DeliveryLimiter::new(sink::build(&config, &Signals::silent()).unwrap(), &config, &Metrics::default())
}

fn flow(concurrency: u16, breaker_failures: u16) -> ThroughputConfig {
    ThroughputConfig { concurrency, breaker_failures, ..ThroughputConfig::STRICT }
}

fn transient(wait: Option<Duration>) -> DeliverError {
    DeliverError::Transient { reason: "no".into(), wait }
}

/// All permits that are available at this moment.
fn admitted(limiter: &Arc<DeliveryLimiter>) -> Vec<Permit> {
    std::iter::from_fn(|| limiter.admit().now_or_never()).take(100).collect()
}

#[tokio::test(start_paused = true)]
async fn no_more_than_allowed_are_under_way() {
    let limiter = limiter(flow(3, 10));
    let mut passes = admitted(&limiter);
    assert_eq!(passes.len(), 3);
    let waiting = tokio::spawn({
        let limiter = Arc::clone(&limiter);
        async move { limiter.admit().await }
    });
    tokio::task::yield_now().await;
    passes.pop();
    waiting.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn repeated_failures_leave_a_single_probe_and_success_opens_gently() {
    let limiter = limiter(flow(8, 3));
    let mut passes = admitted(&limiter);
    assert_eq!(
        passes.pop().unwrap().fail(&transient(None), SECOND, Blame::Sink),
        (SECOND, DeliveryLimiters::Open)
    );
    assert_eq!(
        passes.pop().unwrap().fail(&transient(None), SECOND, Blame::Sink),
        (SECOND, DeliveryLimiters::Open)
    );
    let (delay, limiters) = passes.pop().unwrap().fail(&transient(None), SECOND, Blame::Sink);
    assert_eq!(limiters, DeliveryLimiters::Closed);
    // Attempts that began before it closed change nothing any more.
    for permit in passes {
        assert_eq!(permit.fail(&transient(None), SECOND, Blame::Sink).1, DeliveryLimiters::ClosedBefore);
    }
    assert_eq!(admitted(&limiter).len(), 0);
    tokio::time::advance(delay).await;
    let mut probes = admitted(&limiter);
    assert_eq!(probes.len(), 1);
    let (delay, limiters) = probes.pop().unwrap().fail(&transient(None), SECOND, Blame::Sink);
    assert_eq!((limiters, admitted(&limiter).len()), (DeliveryLimiters::Closed, 0));
    tokio::time::advance(delay).await;
    let mut in_flight = admitted(&limiter);
    assert_eq!(in_flight.len(), 1);
    for expected in [2, 4, 8, 8] {
        in_flight.into_iter().for_each(Permit::succeed);
        in_flight = admitted(&limiter);
        assert_eq!(in_flight.len(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_for_time_gets_it_from_everybody() {
    let limiter = limiter(flow(8, 10));
    let (wait, nearly) = (30 * SECOND, 29 * SECOND);
    let permit = limiter.admit().await;
    assert_eq!(permit.fail(&transient(Some(wait)), SECOND, Blame::Sink), (wait, DeliveryLimiters::Closed));
    tokio::time::advance(nearly).await;
    assert_eq!(admitted(&limiter).len(), 0);
    tokio::time::advance(SECOND).await;
    assert_eq!(admitted(&limiter).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_needs_a_person_is_probed_rarely_or_when_the_person_asks() {
    let limiter = limiter(flow(8, 10));
    let held = DeliverError::Held { reason: "no".into(), wait: None };
    let (soon, limiters) = limiter.admit().await.fail(&held, SECOND, Blame::Sink);
    assert_eq!(limiters, DeliveryLimiters::Closed);
    assert!(soon <= 2 * SECOND, "it may be about one event: another one tells soon, not after {soon:?}");
    tokio::time::advance(soon).await;
    let (delay, limiters) = limiter.admit().await.fail(&held, SECOND, Blame::Sink);
    assert_eq!(limiters, DeliveryLimiters::Closed);
    assert!(delay >= PROBE_MIN * 8 / 10, "{delay:?}");
    let waiting = tokio::spawn({
        let limiter = Arc::clone(&limiter);
        async move { limiter.admit().await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    limiter.retry_now();
    waiting.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn whoever_wants_an_answer_need_not_wait_for_ever() {
    let limiter = limiter(flow(2, 1));
    for trips in 1..=3 {
        assert!(limiter.is_exhausted(3).now_or_never().is_none(), "{trips}");
        let (delay, _) = limiter.admit().await.fail(&transient(None), SECOND, Blame::Sink);
        tokio::time::advance(delay).await;
    }
    assert!(limiter.is_exhausted(3).now_or_never().is_some());
    limiter.admit().await.succeed();
    assert!(limiter.is_exhausted(3).now_or_never().is_none());
    limiter.admit().await.fail(&DeliverError::Held { reason: "no".into(), wait: None }, SECOND, Blame::Sink);
    assert!(limiter.is_exhausted(3).now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn rejections_do_not_close_it() {
    let limiter = limiter(flow(1, 1));
    let rejected = DeliverError::Rejected {
        reason: "no".into(),
        status: Some(422),
        answer: String::new(),
        is_final: false,
    };
    for _ in 0..5 {
        assert_eq!(
            limiter.admit().await.fail(&rejected, SECOND, Blame::Sink),
            (SECOND, DeliveryLimiters::Open)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_keep_to_their_rate() {
    let limiter = limiter(ThroughputConfig { interval: Some(SECOND / 50), ..flow(8, 10) });
    let start = Instant::now();
    for _ in 0..500 {
        limiter.admit().await.succeed();
    }
    let (took, slack) = (start.elapsed(), RATE_SLACK + SECOND / 50);
    assert!(took <= 10 * SECOND && took + slack >= 10 * SECOND, "{took:?}");
}

/// A lane that delivers `count` events one by one, each in a second, and adds `name` to `order` with each.
async fn deliver(mut ticket: Ticket, name: char, count: usize, order: Arc<Mutex<String>>) {
    for _ in 0..count {
        let permit = ticket.admit().await;
        order.lock().unwrap().push(name);
        tokio::time::sleep(SECOND).await;
        permit.succeed();
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_backlog_leaves_every_second_permit_to_another_lane() {
    let (limiter, order) = (limiter(flow(1, 10)), Arc::new(Mutex::new(String::new())));
    tokio::spawn(deliver(limiter.ticket(), 'a', 1000, Arc::clone(&order)));
    tokio::time::sleep(SECOND / 2).await;
    tokio::spawn(deliver(limiter.ticket(), 'b', 5, Arc::clone(&order))).await.unwrap();
    assert_eq!(order.lock().unwrap()[..10], *"ababababab");
}

#[tokio::test(start_paused = true)]
async fn permits_are_given_in_the_order_of_asking() {
    let (limiter, order) = (limiter(flow(2, 10)), Arc::new(Mutex::new(String::new())));
    let passes = admitted(&limiter);
    let mut lanes = tokio::task::JoinSet::new();
    for name in 'a'..='z' {
        lanes.spawn(deliver(limiter.ticket(), name, 2, Arc::clone(&order)));
        tokio::task::yield_now().await;
    }
    drop(passes);
    lanes.join_all().await;
    assert_eq!(*order.lock().unwrap(), "abcdefghijklmnopqrstuvwxyz".repeat(2));
}

#[tokio::test(start_paused = true)]
async fn a_place_is_kept_however_often_asking_is_broken_off() {
    let limiter = limiter(flow(1, 10));
    let permit = limiter.admit().await;
    let mut first = limiter.ticket();
    assert!(first.admit().now_or_never().is_none());
    let mut second = limiter.ticket();
    for _ in 0..10 {
        assert!(second.admit().now_or_never().is_none());
        assert!(first.admit().now_or_never().is_none());
    }
    let waiting = tokio::spawn(async move { second.admit().await });
    let first = tokio::spawn(async move {
        loop {
            tokio::select! {
                biased;
                permit = first.admit() => return permit,
                () = tokio::time::sleep(SECOND / 10) => {}
            }
        }
    });
    tokio::time::sleep(2 * SECOND + SECOND / 20).await;
    permit.succeed();
    let permit = first.await.unwrap();
    assert!(!waiting.is_finished());
    drop(permit);
    waiting.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_stands_still_in_the_queue_blocks_nobody_and_keeps_its_place() {
    let limiter = limiter(flow(1, 10));
    let permit = limiter.admit().await;
    let (mut still, mut busy, mut last) = (limiter.ticket(), limiter.ticket(), limiter.ticket());
    assert!(still.admit().now_or_never().is_none());
    let busy = tokio::spawn(async move {
        for _ in 0..10 {
            busy.admit().await.succeed();
        }
        busy
    });
    tokio::task::yield_now().await;
    permit.succeed();
    let mut busy = busy.await.unwrap();
    let permit = busy.admit().now_or_never().unwrap();
    let last = tokio::spawn(async move { last.admit().await });
    tokio::task::yield_now().await;
    let still = tokio::spawn(async move { still.admit().await });
    tokio::task::yield_now().await;
    permit.succeed();
    let permit = still.await.unwrap();
    assert!(!last.is_finished(), "it asked later");
    drop(permit);
    last.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_ticket_that_is_dropped_frees_its_place() {
    let limiter = limiter(flow(1, 10));
    let permit = limiter.admit().await;
    let (mut first, mut second, mut third) = (limiter.ticket(), limiter.ticket(), limiter.ticket());
    assert!(first.admit().now_or_never().is_none());
    assert!(second.admit().now_or_never().is_none());
    let third = tokio::spawn(async move { third.admit().await });
    tokio::task::yield_now().await;
    second.leave();
    drop(first);
    permit.succeed();
    third.await.unwrap();
    assert!(second.admit().now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn whoever_is_cancelled_after_being_woken_leaves_the_permit_to_the_next() {
    let limiter = limiter(flow(1, 10));
    let permit = limiter.admit().await;
    let (mut first, mut second) = (limiter.ticket(), limiter.ticket());
    let mut asking = Box::pin(first.admit());
    assert!((&mut asking).now_or_never().is_none());
    let second = tokio::spawn(async move { second.admit().await });
    tokio::task::yield_now().await;
    // The first is woken, and is cancelled before it could look.
    permit.succeed();
    drop(asking);
    second.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_rejects_everything_is_held() {
    let limiter = limiter(ThroughputConfig { hold_after_rejections: 3, ..flow(2, 10) });
    let mut early = admitted(&limiter);
    for _ in 0..2 {
        early.pop().unwrap().reject("no such field");
        early.extend(limiter.admit().now_or_never());
    }
    assert_eq!(limiter.status(), BreakerState::Closed);
    let said = early.pop().unwrap().reject("no such field");
    let words = "rejects every event (3 of 3): no such field";
    assert_eq!(said.as_deref(), Some(words));
    // It began before the breaker opened.
    assert_eq!(early.pop().unwrap().reject("no such field"), None);
    let BreakerState::Open { needs_operator: true, reason, until } = limiter.status() else {
        panic!("{:?}", limiter.status())
    };
    assert_eq!((reason.as_str(), admitted(&limiter).len()), (words, 0));
    assert!(limiter.is_exhausted(100).now_or_never().is_some());

    tokio::time::sleep_until(until).await;
    let said = limiter.admit().await.reject("no such field");
    assert_eq!(said.as_deref(), Some("rejects every event (5 of 5): no such field"));
    limiter.retry_now();
    limiter.admit().await.succeed();
    assert_eq!(limiter.status(), BreakerState::Closed);
    assert_eq!(limiter.admit().await.reject("no such field"), None);
}

#[tokio::test(start_paused = true)]
async fn rejections_are_counted_until_one_event_is_delivered() {
    let limiter = limiter(ThroughputConfig { hold_after_rejections: 2, ..flow(1, 10) });
    for _ in 0..5 {
        assert_eq!(limiter.admit().await.reject("no"), None);
        limiter.admit().await.succeed();
    }
    assert_eq!(limiter.admit().await.reject("no"), None);
    // A batch that is sent again in parts counts as neither.
    limiter.admit().await.answer();
    assert!(limiter.admit().await.reject("no").is_some());
}

#[tokio::test(start_paused = true)]
async fn every_lane_sees_why_the_gate_is_closed() {
    let limiter = limiter(flow(1, 1));
    let seen = tokio::spawn({
        let limiter = Arc::clone(&limiter);
        async move { limiter.breaker_other_than(&BreakerState::Closed).await }
    });
    tokio::task::yield_now().await;
    let failure = transient(None);
    let (delay, _) = limiter.admit().await.fail(&failure, SECOND, Blame::Sink);
    let closed = BreakerState::Open {
        needs_operator: false,
        reason: failure.to_string(),
        until: Instant::now() + delay,
    };
    assert_eq!(seen.await.unwrap(), closed);
    assert_eq!(limiter.status(), closed);
    tokio::time::advance(delay).await;
    limiter.admit().await.succeed();
    assert_eq!(limiter.breaker_other_than(&closed).await, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn events_that_fail_while_others_are_delivered_close_nothing() {
    let limiter = limiter(flow(2, 1));
    let before = limiter.successes();
    limiter.admit().await.succeed();
    assert_eq!(limiter.successes(), before + 1);
    let held = DeliverError::Held { reason: "no".into(), wait: None };
    for (failure, least) in
        [(held, PROBE_MIN), (transient(Some(9 * SECOND)), 9 * SECOND), (transient(None), SECOND)]
    {
        let (delay, limiters) = limiter.admit().await.fail(&failure, SECOND, Blame::Events);
        assert_eq!((delay, limiters), (least, DeliveryLimiters::Open));
        assert!(!limiter.is_tripped());
    }
}
