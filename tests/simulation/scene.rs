//! The environment of one process: the configuration file, and the portals and sinks that the engine gets for it.
//!
//! The simulation does not ask the engine for its current configuration. It infers it from the last read, from the
//! settings with which the sources were opened, and from the end of the reload.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use b24relay::config::{Config, ConfigError, SinkConfig, SourceConfig};
use b24relay::event::Queue;
use b24relay::relay::simulation::Host;
use b24relay::relay::{NoClient, PortalClients, Upstream};
use b24relay::service::Telemetry;
use b24relay::shutdown::Signals;
use b24relay::sink::{BuildError, Sink};

use crate::scripted::portal::ScriptedPortal;
use crate::scripted::sinks::{InFlight, ScriptedSink};
use crate::setting::Setting;
use crate::world::{World, Worlds, now_ms, pass};

/// The environment of one process.
pub(crate) struct Scene {
    worlds: Worlds,
    telemetry: Telemetry,
    in_flight: InFlight,
    state: Mutex<State>,
}

struct State {
    in_force: Setting,
    /// The content of the file; `None` if it is invalid.
    written: Option<Setting>,
    /// Whether it was not read since it was written.
    is_unread: bool,
    /// The latest reload of a valid configuration.
    reload: Option<Reload>,
    /// How often the file was read again.
    reads: u64,
}

struct Reload {
    setting: Setting,
    read_ms: u64,
    /// How earlier reloads had ended.
    ends: Ends,
    /// The sources that it stops.
    ended: BTreeSet<&'static str>,
    /// The sources that were opened with it.
    opened: BTreeSet<String>,
    /// Whether it failed: sources restart with the previous settings.
    is_given_up: bool,
}

/// The number of reloads by their result.
#[derive(Clone, Copy)]
struct Ends {
    applied: u64,
    refused: u64,
}

impl Scene {
    /// The environment of a process that starts with `setting`.
    pub(crate) fn new(worlds: &Worlds, setting: &Setting, telemetry: &Telemetry) -> Self {
        let state =
            State { in_force: setting.clone(), written: None, is_unread: false, reload: None, reads: 0 };
        Self {
            worlds: worlds.clone(),
            telemetry: telemetry.clone(),
            in_flight: InFlight::default(),
            state: Mutex::new(state),
        }
    }

    /// Changes the file as the operator; `None` makes it invalid.
    pub(crate) fn write(&self, setting: Option<Setting>) {
        let mut state = self.state();
        (state.written, state.is_unread) = (setting, true);
    }

    /// Whether the engine has read the last content.
    pub(crate) fn is_read(&self) -> bool {
        !self.state().is_unread
    }

    /// The last content, unless it was invalid.
    pub(crate) fn written(&self) -> Option<Setting> {
        self.state().written.clone()
    }

    /// The active settings, as the operator sees them.
    pub(crate) fn in_force(&self) -> Setting {
        let mut state = self.state();
        state.settle(self.ends(), &self.worlds);
        state.in_force.clone()
    }

    /// The shortest grace period of a stop.
    pub(crate) fn least_grace(&self) -> Duration {
        let state = self.state();
        let coming = state.reload.as_ref().map(|reload| reload.setting.grace);
        state.in_force.grace.min(coming.unwrap_or(Duration::MAX))
    }

    /// Counts the results of the reloads after the end of the process.
    pub(crate) fn conclude(&self) {
        let Ends { applied, refused } = self.ends();
        let mut world = self.worlds.first().lock();
        world.count.reloads_applied += applied;
        world.count.reloads_refused += refused;
        world.count.reloads_cut += self.state().reads - applied - refused;
    }

    fn ends(&self) -> Ends {
        let count = |outcome| self.telemetry.metrics.reloads(outcome);
        Ends { applied: count("applied"), refused: count("refused") }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Records the result of the latest reload, after the numbers in `ends` have changed.
    fn settle(&mut self, ends: Ends, worlds: &Worlds) {
        let is_over =
            |reload: &mut Reload| reload.ends.applied < ends.applied || reload.ends.refused < ends.refused;
        let Some(reload) = self.reload.take_if(is_over) else { return };
        if reload.ends.applied < ends.applied {
            worlds.all().for_each(|shared| judge_applied(&reload, &self.in_force, &shared.lock()));
            self.in_force = reload.setting;
        } else {
            worlds.all().for_each(|shared| judge_refused(&reload, &shared.lock()));
        }
    }

    /// The settings with which `source`, called `name`, is being opened.
    fn setting_for(&mut self, name: &str, source: &SourceConfig, worlds: &Worlds) -> Setting {
        let Some(reload) = &mut self.reload else { return self.in_force.clone() };
        // A source that waited for the disk opens later, with the settings of its start.
        if tokio::task::try_id().is_some() {
            return self.in_force.clone();
        }
        if !self.in_force.concerns(&reload.setting, name) {
            return self.in_force.clone();
        }
        let is_its = reload.setting.config().sources.contains(source);
        // Sources are opened one after the other.
        let mut earlier = worlds.all().take_while(|shared| shared.lock().source != name);
        let is_refused = earlier.any(|shared| reload.is_refused(&self.in_force, &shared.lock()));
        reload.is_given_up |= !is_its || is_refused || !reload.opened.insert(name.to_owned());
        if reload.is_given_up { self.in_force.clone() } else { reload.setting.clone() }
    }
}

/// Checks an applied reload: changed sources have restarted or are removed.
fn judge_applied(reload: &Reload, before: &Setting, world: &World) {
    let source = world.source;
    if !before.concerns(&reload.setting, source) {
        return;
    }
    if reload.setting.has(source) {
        let is_opened = reload.opened.contains(source) || reload.lacks_disk(world);
        assert!(is_opened, "`{source}` goes on with what is not in force any more");
    } else {
        assert!(!world.is_read, "`{source}` is removed, and goes on");
    }
}

/// Checks a refused reload: sources that it stopped have restarted.
fn judge_refused(reload: &Reload, world: &World) {
    let source = world.source;
    let is_back = !reload.ended.contains(source) || !world.must_begin || reload.lacks_disk(world);
    assert!(is_back, "`{source}` has ended for a reload that was refused");
}

impl Reload {
    /// Whether the source of `world` should have been opened by now, and was not.
    fn is_refused(&self, before: &Setting, world: &World) -> bool {
        let is_open = self.opened.contains(world.source) && world.is_read;
        let is_due = self.setting.has(world.source) && before.concerns(&self.setting, world.source);
        is_due && !is_open && !self.lacks_disk(world)
    }

    /// Whether a source cannot be opened because the disk fails; then it waits.
    fn lacks_disk(&self, world: &World) -> bool {
        world.disk_failed_ms.is_some_and(|failed_ms| failed_ms >= self.read_ms)
    }
}

#[async_trait]
impl Host for Scene {
    async fn load(&self) -> Result<Config, ConfigError> {
        let delay = self.worlds.first().lock().delay(50);
        pass(delay).await;
        let ends = self.ends();
        let mut state = self.state();
        state.settle(ends, &self.worlds);
        state.reads += 1;
        state.is_unread = false;
        let Some(setting) = state.written.clone() else {
            state.reload = None;
            self.worlds.first().lock().tell("reload: nonsense");
            let looked_at = vec![PathBuf::from("b24relay.toml")];
            return Err(ConfigError::NoFile { looked_at, misspelled: Vec::new() });
        };
        let config = setting.config();
        let mut ended = BTreeSet::new();
        for shared in self.worlds.all() {
            let mut world = shared.lock();
            if state.in_force.concerns(&setting, world.source) {
                world.must_begin = true;
                ended.extend(world.is_read.then_some(world.source));
            }
            world.tell(format_args!("reload: {}", setting.summary()));
        }
        let (opened, read_ms) = (BTreeSet::new(), now_ms());
        state.reload = Some(Reload { setting, read_ms, ends, ended, opened, is_given_up: false });
        Ok(config)
    }

    fn upstream(
        &self,
        source: &SourceConfig,
        queue: Arc<Queue>,
        _callers: &PortalClients,
    ) -> Result<Box<dyn Upstream>, NoClient> {
        let setting = {
            let mut state = self.state();
            state.settle(self.ends(), &self.worlds);
            state.setting_for(&source.name, source, &self.worlds)
        };
        let shared = self.worlds.of(&source.name);
        let mut world = shared.lock();
        assert!(
            world.calls.in_life == 0 || world.must_begin,
            "`{}` was disturbed by a reload that does not concern it",
            source.name
        );
        world.turn(&setting);
        drop(world);
        Ok(Box::new(ScriptedPortal::new(shared, &queue, setting.delivery.hold)))
    }

    fn sink(&self, config: &SinkConfig, _signals: &Signals) -> Result<Arc<dyn Sink>, BuildError> {
        let state = self.state();
        let coming = state.reload.as_ref().and_then(|reload| reload.setting.plan_of(config));
        let plan = coming.or_else(|| state.in_force.plan_of(config)).expect("a sink of ours");
        Ok(Arc::new(ScriptedSink::new(&self.worlds, config, plan, &self.in_flight)))
    }
}
