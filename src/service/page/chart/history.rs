//! The past for the charts of the page: the last hour in steps of seconds, the last day in steps of minutes, and the
//! current rates. The steps of minutes survive a restart in the state file. Memory and file are bounded: frames have
//! sums over all sources, and their number and their sinks are limited.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::debug;

use crate::service::metrics::registry::Metrics;
use crate::service::metrics::sink_totals::Counts;
use crate::service::page::chart::frame::{Frame, Levels};
use crate::store::Store;
use crate::wall_clock;

/// The time until a rate is known. After twice this time without an event, the rate is 0.
pub(crate) const RATE_KNOWN_AFTER: Duration = Duration::from_secs(5);

/// The length of a small step, and for how long small steps are kept.
const SMALL: (Duration, i64) = (Duration::from_secs(10), HOUR_S);

/// The same for a large step.
const LARGE: (Duration, i64) = (Duration::from_secs(360), DAY_S);

/// For how long the levels are kept, and after how many seconds they show a trend.
const LEVELS_KEPT: Duration = Duration::from_secs(60);
const FORECAST_AFTER_S: u64 = 10;

const HOUR_S: i64 = 3600;
const DAY_S: i64 = 24 * HOUR_S;

/// The key of the large steps in the state file.
const KEY: &str = "page/history";

/// The largest value in the state file. Above it the older half is left out.
const SAVED_MAX: usize = 512 * 1024;

/// The past. Clones share it.
#[derive(Clone)]
pub(crate) struct History(Arc<Mutex<Past>>);

struct Past {
    /// When it began, by both clocks. Frames follow the one that never jumps.
    began: (Instant, i64),
    small: Steps,
    large: Steps,
    /// Whether the steps of earlier runs are in it. Before that, saving it would lose them.
    is_restored: bool,
    /// What the state file showed in the last minute, with the latest at the end.
    levels: VecDeque<(Instant, Levels)>,
    /// The last two samples.
    samples: VecDeque<(Instant, Counts)>,
}

/// Steps of one length.
struct Steps {
    length: Duration,
    kept_s: i64,
    frames: VecDeque<Frame>,
    /// The end of the last step, and the counters then.
    before: Option<(Instant, Counts, Option<Levels>)>,
}

impl Default for History {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Past {
            began: (Instant::now(), wall_clock::now_ms() / 1000),
            small: Steps::new(SMALL),
            large: Steps::new(LARGE),
            is_restored: false,
            levels: VecDeque::new(),
            samples: VecDeque::new(),
        })))
    }
}

impl History {
    /// Takes a sample every [`RATE_KNOWN_AFTER`]. Never returns.
    pub(crate) async fn record(&self, metrics: &Metrics) {
        let mut ticks = interval(RATE_KNOWN_AFTER);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let now = ticks.tick().await;
            self.past().take(now, metrics.counts());
        }
    }

    /// Restores the steps of earlier runs, then saves the steps now and then. Never returns.
    pub(crate) async fn keep(&self, store: &Store, metrics: &Metrics) {
        match store.value(KEY).await {
            Ok(saved) => self.past().restore(&saved.unwrap_or_default()),
            Err(error) => debug!(%error, "cannot read the history of the page"),
        }
        loop {
            tokio::time::sleep(LARGE.0).await;
            self.save(store, metrics).await;
        }
    }

    /// Saves the large steps and the one that has begun, unless those of earlier runs could not be read.
    pub(crate) async fn save(&self, store: &Store, metrics: &Metrics) {
        let saved = self.past().saved(Instant::now(), &metrics.counts());
        if let Some(text) = saved
            && let Err(error) = store.set_value(KEY, &text).await
        {
            debug!(%error, "cannot save the history of the page");
        }
    }

    /// Takes over what the state file shows.
    pub(crate) fn note(&self, levels: Levels) {
        let (now, mut past) = (Instant::now(), self.past());
        past.levels.push_back((now, levels));
        while past.levels.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > LEVELS_KEPT) {
            past.levels.pop_front();
        }
    }

    /// In how many seconds `sink` will lack nothing, if it goes on as in the last minute. It lacks `pending` now.
    pub(crate) fn caught_up_in(&self, sink: &str, pending: u64) -> Forecast {
        let past = self.past();
        let Some((at, levels)) = past.levels.front() else { return Forecast::Unknown };
        let elapsed_s = Instant::now().saturating_duration_since(*at).as_secs();
        let Some(before) = levels.pending.get(sink).filter(|_| elapsed_s >= FORECAST_AFTER_S) else {
            return Forecast::Unknown;
        };
        match before.checked_sub(pending).filter(|fewer| *fewer > 0) {
            Some(fewer) => Forecast::Seconds((pending.saturating_mul(elapsed_s) / fewer).cast_signed()),
            None => Forecast::Never,
        }
    }

    /// All frames, oldest first, and the time span of the charts in Unix seconds: it begins with the first frame, and
    /// has at least a minute and at most a day.
    pub(crate) fn frames(&self) -> (Vec<Frame>, std::ops::Range<i64>) {
        let past = self.past();
        let now_s = past.now_s(Instant::now());
        let start = |frame: &Frame| frame.end_s - whole(frame.length_s);
        let small_from = past.small.frames.front().map_or(now_s, start);
        let large = past.large.frames.iter().filter(|frame| start(frame) < small_from);
        let frames: Vec<Frame> = large.chain(&past.small.frames).cloned().collect();
        let from = frames.first().map_or(now_s, start).clamp(now_s - DAY_S, now_s - 60);
        (frames, from..now_s)
    }

    /// The events per second that all sources have read, and that this sink has received, in the last seconds; `None`
    /// if not known yet.
    pub(crate) fn rates(&self, metrics: &Metrics) -> Option<Rates> {
        self.past().rates(Instant::now(), metrics.counts())
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a sink will have received everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Forecast {
    /// It is too early to say.
    Unknown,
    /// It lacks no fewer events than before.
    Never,
    /// In so many seconds.
    Seconds(i64),
}

/// The increase of the counters in the last seconds.
pub(crate) struct Rates {
    before: Counts,
    now: Counts,
    elapsed_s: f64,
}

impl Rates {
    /// Events per second that all sources have read.
    pub(crate) fn received(&self) -> f64 {
        self.per_second(self.now.received.saturating_sub(self.before.received))
    }

    /// Events per second that `sink` has received.
    pub(crate) fn of(&self, sink: &str) -> f64 {
        let delivered = |counts: &Counts| counts.sinks.get(sink).map_or(0, |counts| counts.delivered);
        self.per_second(delivered(&self.now).saturating_sub(delivered(&self.before)))
    }

    #[expect(clippy::cast_precision_loss, reason = "it is shown with two digits")]
    fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.elapsed_s
    }
}

impl Past {
    fn now_s(&self, now: Instant) -> i64 {
        let elapsed_s = now.saturating_duration_since(self.began.0).as_secs();
        self.began.1.saturating_add_unsigned(elapsed_s)
    }

    fn take(&mut self, now: Instant, counts: Counts) {
        let now_s = self.now_s(now);
        let levels = self.levels.back().map(|(_, levels)| levels);
        self.small.take((now, now_s), &counts, levels);
        self.large.take((now, now_s), &counts, levels);
        if self.samples.len() == 2 {
            self.samples.pop_front();
        }
        self.samples.push_back((now, counts));
    }

    fn rates(&self, now: Instant, counts: Counts) -> Option<Rates> {
        let (at, before) = self.samples.front()?;
        let elapsed = now.saturating_duration_since(*at);
        (elapsed >= RATE_KNOWN_AFTER).then(|| Rates {
            before: before.clone(),
            now: counts,
            elapsed_s: elapsed.as_secs_f64(),
        })
    }

    /// Text that is not ours, or of a clock that was ahead, is left out.
    fn restore(&mut self, saved: &str) {
        self.is_restored = true;
        let frames: Vec<Frame> = serde_json::from_str(saved).unwrap_or_default();
        let (from, until) = (self.began.1 - DAY_S, self.began.1);
        let frames = frames.into_iter().filter(|frame| (from..=until).contains(&frame.end_s));
        let later = std::mem::take(&mut self.large.frames);
        self.large.frames = frames.chain(later).collect();
    }

    fn saved(&self, now: Instant, counts: &Counts) -> Option<String> {
        if !self.is_restored {
            return None;
        }
        let begun = self.large.before.as_ref().map(|(at, before, levels)| {
            let length_s = now.saturating_duration_since(*at).as_secs_f64();
            let frame = Frame::between(before, counts, self.now_s(now), length_s);
            frame.at(self.levels.back().map(|(_, levels)| levels), levels.as_ref())
        });
        let mut frames: Vec<&Frame> = self.large.frames.iter().chain(begun.as_ref()).collect();
        loop {
            let text = serde_json::to_string(&frames).ok()?;
            if text.len() <= SAVED_MAX {
                return Some(text);
            }
            frames.drain(..frames.len().div_ceil(2));
        }
    }
}

impl Steps {
    fn new((length, kept_s): (Duration, i64)) -> Self {
        Self { length, kept_s, frames: VecDeque::new(), before: None }
    }

    /// Ends a step if it is time.
    fn take(&mut self, (now, now_s): (Instant, i64), counts: &Counts, levels: Option<&Levels>) {
        let Some((at, before, levels_before)) = &self.before else {
            self.before = Some((now, counts.clone(), levels.cloned()));
            return;
        };
        let passed = now.saturating_duration_since(*at);
        // A sample may be a little early.
        if passed + RATE_KNOWN_AFTER / 2 < self.length {
            return;
        }
        let frame =
            Frame::between(before, counts, now_s, passed.as_secs_f64()).at(levels, levels_before.as_ref());
        self.frames.push_back(frame);
        self.before = Some((now, counts.clone(), levels.cloned()));
        while self.frames.front().is_some_and(|frame| frame.end_s < now_s - self.kept_s) {
            self.frames.pop_front();
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "no step is longer than a day")]
fn whole(length_s: f32) -> i64 {
    length_s.ceil() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::page::chart::frame::SinkFrame;

    fn counts(received: u64) -> Counts {
        Counts { received, ..Counts::default() }
    }

    /// A history with a sample every five seconds, with ten events each.
    fn history(samples: u32) -> (History, Instant) {
        let history = History::default();
        let began = history.past().began.0;
        for sample in 0..=samples {
            let at = began + sample * RATE_KNOWN_AFTER;
            history.past().take(at, counts(u64::from(sample) * 10));
        }
        (history, began + samples * RATE_KNOWN_AFTER)
    }

    #[test]
    fn the_first_minute_has_steps_and_a_day_is_bounded() {
        let (short, _) = history(12);
        let past = short.past();
        assert_eq!((past.small.frames.len(), past.large.frames.len()), (6, 0));
        assert!(
            past.small.frames.iter().all(|frame| (frame.received - 2.0).abs() < 0.01),
            "{:?}",
            past.small.frames
        );
        let (long, _) = history(2 * 24 * 720);
        let past = long.past();
        assert!((360..=361).contains(&past.small.frames.len()), "{}", past.small.frames.len());
        assert!((240..=241).contains(&past.large.frames.len()), "{}", past.large.frames.len());
    }

    #[test]
    fn a_late_sample_makes_a_longer_step_of_the_same_rate() {
        let history = History::default();
        let began = history.past().began.0;
        for (seconds, received) in [(0, 0), (10, 20), (43, 86), (53, 106)] {
            history.past().take(began + Duration::from_secs(seconds), counts(received));
        }
        let past = history.past();
        let rates: Vec<f32> = past.small.frames.iter().map(|frame| frame.received).collect();
        assert_eq!(rates, [2.0, 2.0, 2.0]);
    }

    #[test]
    fn a_rate_falls_to_nothing_within_two_samples_of_the_last_event() {
        let history = History::default();
        let began = history.past().began.0;
        let at = |samples| began + samples * RATE_KNOWN_AFTER;
        let rate = |samples, received| {
            history.past().rates(at(samples), counts(received)).map(|rates| rates.received())
        };
        assert_eq!(rate(0, 0), None);
        history.past().take(at(0), counts(0));
        assert_eq!(rate(0, 0), None);
        history.past().take(at(1), counts(50));
        assert!(rate(1, 50).is_some_and(|rate| (9.9..=10.1).contains(&rate)));
        history.past().take(at(2), counts(50));
        assert_eq!(rate(2, 50), Some(0.0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_backlog_that_shrinks_has_an_end() {
        let history = History::default();
        let levels = |pending| Levels { pending: [("crm".into(), pending)].into(), ..Levels::default() };
        assert_eq!(history.caught_up_in("crm", 900), Forecast::Unknown);
        history.note(levels(1000));
        assert_eq!(history.caught_up_in("crm", 900), Forecast::Unknown, "too early");
        tokio::time::advance(Duration::from_secs(20)).await;
        history.note(levels(900));
        assert_eq!(history.caught_up_in("crm", 900), Forecast::Seconds(180));
        assert_eq!(history.caught_up_in("crm", 1000), Forecast::Never);
        assert_eq!(history.caught_up_in("other", 1), Forecast::Unknown);
        tokio::time::advance(Duration::from_secs(50)).await;
        history.note(levels(900));
        assert_eq!(history.caught_up_in("crm", 900), Forecast::Never, "what was a minute ago counts no more");
    }

    #[test]
    fn a_restart_keeps_the_large_steps_and_the_one_that_had_begun() {
        let (before, now) = history(100);
        assert_eq!(before.past().saved(now, &counts(1000)), None, "it would replace that of earlier runs");
        before.past().restore("");
        let saved = before.past().saved(now, &counts(1000)).unwrap();
        let after = History::default();
        after.past().began.1 = before.past().now_s(now) + 60;
        after.past().restore(&saved);
        let frames = after.past().large.frames.clone();
        assert_eq!(frames.len(), 2, "{saved}");
        assert!(frames.iter().all(|frame| (frame.received - 2.0).abs() < 0.01), "{saved}");
        for other in ["", "not ours", "[{\"t\":9999999999999}]"] {
            after.past().restore(other);
            assert_eq!(after.past().large.frames, frames, "{other}");
        }
    }

    #[test]
    fn the_state_file_keeps_a_bounded_text() {
        let history = History::default();
        let sinks = (0..64).map(|sink| (format!("{sink}-{}", "x".repeat(200)).into(), SinkFrame::default()));
        let frame = Frame { end_s: history.past().began.1, sinks: sinks.collect(), ..Frame::default() };
        history.past().restore("");
        history.past().large.frames = vec![frame; 240].into();
        let saved = history.past().saved(Instant::now(), &counts(0)).unwrap();
        assert!((SAVED_MAX / 4..=SAVED_MAX).contains(&saved.len()), "{}", saved.len());
    }
}
