//! The operator's changes while the daemon runs, each followed by SIGHUP.

use std::time::Duration;

use b24relay::config::{Hold, StdoutFormat};
use b24relay::shutdown::Signals;
use fastrand::Rng;
use tokio::time::sleep;

use crate::plan::{KINDS, Plan, draw_flow, one_in};
use crate::scene::Scene;
use crate::setting::{Setting, SourceSetting, owner};
use crate::world::{SOURCES, Worlds};

/// The calls that a SIGHUP can cause, because it ends every pause.
const CALLS_PER_NUDGE: u64 = 4;

/// A user whose queue no source has ever read.
const STRANGER: u64 = 9;

/// Reloads the configuration of `scene` again and again, until this future is dropped.
pub(crate) async fn operate(worlds: &Worlds, scene: &Scene, signals: &Signals) {
    let reload_ms = worlds.first().lock().plan.reload_ms;
    let Some(reload_ms) = reload_ms else { return std::future::pending().await };
    loop {
        let pause_ms = {
            let mut world = worlds.first().lock();
            // Sometimes during the previous reload.
            let longest_ms = if one_in(&mut world.dice, 3) { 100 } else { 2 * reload_ms };
            world.dice.u64(0..=longest_ms)
        };
        sleep(Duration::from_millis(pause_ms)).await;
        let in_force = scene.in_force();
        let written = {
            let mut world = worlds.first().lock();
            if world.is_quiet() {
                continue;
            }
            let world = &mut *world;
            world.count.reloads += 1;
            if one_in(&mut world.dice, 4) {
                world.fuse = Some(world.dice.u64(1..20));
            }
            let is_known = world.life > 0;
            let written = (!one_in(&mut world.dice, 12))
                .then(|| change(&in_force, &world.plan, is_known, &mut world.dice));
            world.tell("operator: reload");
            written
        };
        for shared in worlds.all() {
            shared.lock().calls.justify(crate::world::now_ms(), CALLS_PER_NUDGE);
        }
        scene.write(written);
        signals.nudge();
    }
}

/// A setting that usually differs from `setting`.
fn change(setting: &Setting, plan: &Plan, is_known: bool, dice: &mut Rng) -> Setting {
    let mut changed = setting.clone();
    // This undoes a change that was applied while the state file was unreadable.
    changed.sources[0].user = owner(0);
    for _ in 0..dice.u64(1..=2) {
        change_once(&mut changed, plan, is_known, dice);
    }
    changed
}

fn change_once(setting: &mut Setting, plan: &Plan, is_known: bool, dice: &mut Rng) {
    match dice.u64(..20) {
        0..3 => {
            let hold = setting.delivery.hold;
            setting.delivery.hold = other_hold(hold);
        }
        3 => setting.delivery.journal.keep = Duration::from_secs(dice.u64(0..20)),
        4 => setting.grace = Duration::from_secs([0, 2, 30][dice.usize(..3)]),
        5 => setting.is_enterprise = !setting.is_enterprise,
        6 | 7 if plan.has_sales => setting.sources[1].is_there = !setting.sources[1].is_there,
        8..11 => {
            let number = dice.usize(..SOURCES.len());
            change_source(&mut setting.sources[number], plan, dice);
        }
        // Another user's queue: refused.
        11 if is_known => setting.sources[0].user = STRANGER,
        12 => {}
        _ => change_sink(setting, plan, dice),
    }
}

fn change_source(source: &mut SourceSetting, plan: &Plan, dice: &mut Rng) {
    match dice.u64(..5) {
        0 => source.code = ["secret", "another"][dice.usize(..2)],
        1 => source.idle = plan.idle * dice.u32(1..=2),
        2 => source.busy = Duration::from_millis(dice.u64(0..1000)),
        3 => source.limit = [1, 2, 10, 100][dice.usize(..4)],
        _ if plan.lag.is_zero() => {}
        _ => source.lag = plan.lag + Duration::from_millis(dice.u64(0..=1000)),
    }
}

fn change_sink(setting: &mut Setting, plan: &Plan, dice: &mut Rng) {
    let number = dice.usize(..setting.sinks.len());
    let sink = &mut setting.sinks[number];
    match dice.u64(..12) {
        0..4 if number > 0 => sink.is_there = !sink.is_there,
        4 if number > 0 && plan.has_sales => {
            sink.only = [None, Some(SOURCES[0]), Some(SOURCES[1])][dice.usize(..3)];
        }
        5 => sink.plan.kinds = dice.bool().then(|| KINDS[..dice.usize(1..3)].to_vec()),
        6 => sink.plan.retry_max = Duration::from_secs([1, 10, 60][dice.usize(..3)]),
        7 => sink.format = [StdoutFormat::Json, StdoutFormat::Text][dice.usize(..2)],
        _ => sink.plan.flow = draw_flow(dice, sink.plan.attempt_max),
    }
}

pub(crate) fn other_hold(hold: Hold) -> Hold {
    match hold {
        Hold::Forever => Hold::For(Duration::ZERO),
        Hold::For(Duration::ZERO) => Hold::For(Duration::from_secs(20)),
        Hold::For(_) => Hold::Forever,
    }
}
