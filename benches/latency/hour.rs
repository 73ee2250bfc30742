//! An hour of ten sources on one portal, 50 times as fast: 72 seconds.
//!
//! All durations are divided by 50: the portal and the budget allow 100 requests per second, and sources that find
//! nothing poll again after 100 ms. The burst is a count and is not scaled. Source 1 is never quiet and polls as often
//! as it may. Together the sources would exceed the budget.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::portal::{Asked, Portal};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

use crate::arrivals::Arrivals;
use crate::contest::{BURST, PER_SECOND, until};
use crate::relay::Relay;

/// How much faster than real time the hour passes; the configuration allows no higher rate for a portal.
pub(crate) const SPEED: u32 = 50;
const LENGTH: Duration = Duration::from_secs(3600);

const SOURCES: u64 = 10;

/// The result of the hour.
pub(crate) struct Hour {
    pub asked: Asked,
    /// The polls of each source, first those of the source that is never quiet.
    pub polls: Vec<u64>,
    /// The latencies of the source that is never quiet, in the time of the hour.
    pub noisy: Vec<Duration>,
    /// The latencies of all other sources, in the time of the hour.
    pub others: Vec<Duration>,
    pub lost: usize,
}

/// Runs the hour.
pub(crate) async fn pass(seed: u64) -> Hour {
    let epoch = Instant::now();
    let portal = Portal::start(u32::try_from(SOURCES).unwrap(), BURST, PER_SECOND * SPEED, epoch).await;
    let relay = Relay::start(&configuration(&portal));
    let noisy = RefCell::new(Arrivals::new(epoch));
    let others = RefCell::new(Arrivals::new(epoch));
    let sort = |text: &str| {
        for line in text.lines() {
            let is_noisy = line.contains(r#""source":"s1""#);
            (if is_noisy { &noisy } else { &others }).borrow_mut().note(line);
        }
    };
    let schedule = schedule(seed);
    tokio::select! {
        never = relay.watch(sort) => match never {},
        () = async {
            play(&portal, &schedule).await;
            until(|| noisy.borrow().count() + others.borrow().count() >= schedule.len()).await;
        } => {}
    }
    let of_the_hour = |arrivals: RefCell<Arrivals>| -> Vec<Duration> {
        let latencies = arrivals.into_inner().latencies_from(epoch);
        latencies.into_iter().map(|latency| latency * SPEED).collect()
    };
    let (noisy, others) = (of_the_hour(noisy), of_the_hour(others));
    let lost = schedule.len().saturating_sub(noisy.len() + others.len());
    Hour { asked: portal.asked(), polls: polls(&relay.log()), noisy, others, lost }
}

/// Ten sources at the default pace, but a faster pace for the first one.
fn configuration(portal: &Portal) -> String {
    let mut text = String::from("log = { format = \"json\", level = \"debug\" }\n");
    for user in 1..=SOURCES {
        let idle_ms = if user == 1 { 10 } else { 5000 / SPEED };
        let (idle_max_ms, busy_ms) = (30_000 / SPEED, 2000 / SPEED);
        let url = portal.webhook_url(user);
        writeln!(text, "[sources.s{user}]\nwebhook_url = \"{url}\"").unwrap();
        writeln!(
            text,
            "poll = {{ idle = \"{idle_ms}ms\", idle_max = \"{idle_max_ms}ms\", busy = \"{busy_ms}ms\" }}"
        )
        .unwrap();
    }
    let (authority, rate) = (portal.authority(), PER_SECOND * SPEED);
    writeln!(text, "[portals.\"{authority}\"]\nburst = {BURST}\nrate = {rate}").unwrap();
    text
}

/// The users and times of all events, in real time, ascending.
fn schedule(seed: u64) -> Vec<(Duration, u64)> {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut events = Vec::new();
    for user in 1..=SOURCES {
        let mean_s = if user == 1 { 1.0 } else { 30.0 };
        let mut now_s = 0.0;
        while now_s < LENGTH.as_secs_f64() {
            events.push((Duration::from_secs_f64(now_s) / SPEED, user));
            // Random times that are independent of each other.
            now_s -= mean_s * dice.random_range(f64::EPSILON..1.0).ln();
        }
    }
    events.sort();
    events
}

async fn play(portal: &Portal, schedule: &[(Duration, u64)]) {
    let start = tokio::time::Instant::now();
    for (moment, user) in schedule {
        tokio::time::sleep_until(start + *moment).await;
        portal.record(*user);
    }
    tokio::time::sleep_until(start + LENGTH / SPEED).await;
}

/// How often each source has polled according to the log, in the order of the names.
fn polls(log: &str) -> Vec<u64> {
    let mut polls: BTreeMap<String, u64> = BTreeMap::new();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    for line in lines.filter(|line| line["message"] == "polled") {
        *polls.entry(line["source"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    polls.into_values().collect()
}
