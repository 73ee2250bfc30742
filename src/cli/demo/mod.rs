//! `b24relay demo`: shows the promise. A relay in a separate process reads an emulated portal. Keys kill it, stop its
//! receiver and cut off its portal, and both sides count the events.

mod act; // kills, stops, cuts
mod count; // happened, delivered, lost, twice
mod keys; // acts by key
mod receiver; // takes webhooks, knows their ids
mod relay_process; // the relay
mod stage; // all parts together

use std::future;
use std::time::Duration;

use act::{Act, Script};
use clap::Args;
use count::Count;
use keys::Keys;
use stage::Stage;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::cli::exit_code::Exit;
use crate::cli::output::print::remark;
use crate::cli::{GlobalArgs, sandbox};
use crate::config::LogLevel;
use crate::human::{TimeError, duration};
use crate::service::RecentProblems;
use crate::shutdown::Signals;
use crate::telemetry;

/// The default length without a terminal.
const LENGTH: Duration = Duration::from_secs(20);

/// The interval of the summary line.
const SUMMARY_INTERVAL: Duration = Duration::from_secs(5);

/// How long the end waits for the events that are on their way. The relay may have to wait out a retry delay.
const SETTLE_MAX: Duration = Duration::from_secs(60);

/// How often it looks at the parts.
const TICK: Duration = Duration::from_millis(100);

const NOTES: &str = "\
An emulated portal with one user, a relay in a process of its own, a file, and a receiver of webhooks that prints what \
it gets. On a terminal, keys kill the relay (kill -9), stop the receiver and cut off the portal, and `q` or Ctrl-C \
ends it. Without one, it ends by itself. Nothing stays behind.

An event is lost if the portal has deleted it and it is neither delivered nor in the relay's state file. The file gets \
each event once. A receiver gets some again after a kill, or if it was stopped before it answered. They have the same \
id, by which it knows them: the summary counts these.

Exit codes: 0 nothing was lost; 69 no event was shown; 70 an event was lost, or was in the file twice; 75 events had \
not arrived a minute after the end.

Examples:
  b24relay demo
  b24relay demo --drama                    every failure, one after the other, in 20 seconds
  b24relay demo --for 10s --rate 20
  b24relay demo 2>/dev/null                only the events";

#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub(super) struct DemoArgs {
    /// End after this time [default: 20 s with --drama or without a terminal, else never]
    #[arg(long = "for", visible_alias = "seconds", value_name = "DURATION", value_parser = length)]
    length: Option<Duration>,
    /// Events per second on the whole portal
    #[arg(long, default_value_t = 4.0, value_name = "EVENTS", value_parser = sandbox::rate)]
    rate: f64,
    /// Kill the relay, stop the receiver and cut off the portal, one after the other
    #[arg(long)]
    drama: bool,
}

/// A duration, or a number of seconds.
fn length(text: &str) -> Result<Duration, TimeError> {
    match text.parse::<u32>() {
        Ok(seconds) => Ok(Duration::from_secs(seconds.into())),
        Err(_) => duration(text),
    }
}

/// Starts all parts, plays, and counts.
pub(super) async fn run(args: &DemoArgs, global: &GlobalArgs, signals: &Signals) -> anyhow::Result<Exit> {
    telemetry::init(global.log(LogLevel::Warn), &RecentProblems::default());
    let mut keys = Keys::listen()?;
    let is_endless = keys.is_there() && !args.drama;
    let length = args.length.or((!is_endless).then_some(LENGTH));
    let mut stage = Stage::open(args.rate, global.log(LogLevel::Error).level, signals).await?;
    introduce(args, length, &stage, &keys);
    stage.start()?;
    let script = if args.drama { Script::of(length.unwrap_or(LENGTH)) } else { Script::default() };
    let is_over = play(&mut stage, length, script, &mut keys, signals).await?;
    if is_over {
        remark("demo: the end: everything is put right, and what is on its way may arrive");
        stage.settle(SETTLE_MAX, signals).await?;
    }
    let count = stage.count();
    stage.close().await;
    let count = match count {
        Ok(count) => count,
        Err(error) if is_over => return Err(error),
        // It was interrupted while the relay made its files.
        Err(_) => return Ok(Exit::Unavailable),
    };
    remark(&format!("demo: {count}"));
    Ok(conclude(&count, is_over))
}

fn introduce(args: &DemoArgs, length: Option<Duration>, stage: &Stage, keys: &Keys) {
    remark(&format!(
        "demo: an emulated Bitrix24 portal, where {} chats, {} events a second;\n\
         demo: a relay in a process of its own, which reads that user's queue;\n\
         demo: a file and a receiver, to which it delivers. The receiver prints what it gets.\n\
         demo: the promise: no event is lost, whatever fails.\n\
         demo: the relay's page: {}",
        stage.user_name(),
        args.rate,
        stage.page_url()
    ));
    if args.drama {
        remark(
            "demo: the relay will be killed twice (kill -9), the receiver stopped, and the portal cut off",
        );
    }
    if keys.is_there() {
        remark(
            "demo: keys: k kill -9 the relay, r stop or start the receiver, p cut off the portal or connect it, q end",
        );
    }
    match length {
        Some(length) => {
            remark(&format!(
                "demo: ends by itself after {} s; Ctrl-C ends it sooner\n",
                length.as_secs_f64()
            ));
        }
        None => remark(""),
    }
}

/// Plays until the end. Returns false after a stop signal.
async fn play(
    stage: &mut Stage,
    length: Option<Duration>,
    mut script: Script,
    keys: &mut Keys,
    signals: &Signals,
) -> anyhow::Result<bool> {
    let begun = Instant::now();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut summed_up = begun;
    loop {
        let end = async {
            match length {
                Some(length) => sleep_until(begun + length).await,
                None => future::pending().await,
            }
        };
        let act = tokio::select! {
            biased;
            () = signals.stop.cancelled() => return Ok(false),
            act = keys.next() => act,
            () = end => return Ok(true),
            _ = ticks.tick() => script.due(begun.elapsed()),
        };
        match act {
            Some(Act::End) => return Ok(true),
            Some(act) => stage.perform(act, signals).await?,
            None => stage.look_after()?,
        }
        if summed_up.elapsed() >= SUMMARY_INTERVAL {
            summed_up = Instant::now();
            // If the state cannot be read now, the next round reads it.
            if let Ok(count) = stage.count() {
                remark(&format!("demo: {count}"));
            }
        }
    }
}

fn conclude(count: &Count, is_over: bool) -> Exit {
    if count.delivered() == 0 {
        remark("demo: no event was shown");
        return Exit::Unavailable;
    }
    if count.is_broken() {
        remark("demo: the promise is broken: please report this");
        return Exit::Internal;
    }
    if is_over && !count.is_complete() {
        remark("demo: some events did not arrive in time; none of them is lost");
        return Exit::Temporary;
    }
    remark("demo: done. Next: `b24relay init` sets up a real portal");
    Exit::Clean
}
