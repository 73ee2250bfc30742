//! The parts of a demo: portal, relay, receiver, and the folder of the relay. All of them end with this value.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use anyhow::Context as _;
use b24_sandbox::{Sandbox, SandboxConfig};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::cli::demo::act::Act;
use crate::cli::demo::count::{Count, Sides};
use crate::cli::demo::receiver::{Receiver, SOURCE};
use crate::cli::demo::relay_process::RelayProcess;
use crate::cli::output::print::remark;
use crate::config::LogLevel;
use crate::shutdown::{Signals, Wake};

/// How long a killed relay stays away, as with a service manager.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// How often the end looks whether everything has arrived.
const SETTLE_TICK: Duration = Duration::from_millis(50);

/// The only user of the portal.
const USER: u64 = 1;

const STATE: &str = "b24relay.db";
const ARCHIVE: &str = "events.jsonl";

/// Everything that takes part.
pub(super) struct Stage {
    // Killed before its folder is removed.
    relay: RelayProcess,
    receiver: Receiver,
    sandbox: Sandbox,
    page_port: u16,
    is_portal_cut: bool,
    folder: TempDir,
}

impl Stage {
    /// Starts everything but the relay.
    pub(super) async fn open(rate: f64, level: LogLevel, signals: &Signals) -> anyhow::Result<Self> {
        let settings = SandboxConfig { users: 1, rate, ..SandboxConfig::default() };
        let sandbox = Sandbox::start(settings).await.context("start the emulated portal")?;
        let receiver = Receiver::start(signals.stop.clone()).await.context("start the receiver")?;
        let folder = tempfile::tempdir().context("create a temporary folder")?;
        let page_port = free_port().context("find a port for the page")?;
        let config = folder.path().join("b24relay.toml");
        let relay = RelayProcess::new(config.clone(), level);
        let stage = Self { relay, receiver, sandbox, page_port, is_portal_cut: false, folder };
        // The folder is private: it may hold the URL.
        fs::write(&config, stage.config()).context("write the configuration")?;
        Ok(stage)
    }

    /// The configuration of the relay. It polls more often than by default, because people watch it.
    fn config(&self) -> String {
        let folder = self.folder.path().display();
        format!(
            "state = \"{folder}/{STATE}\"\n\
             [http]\nlisten = \"127.0.0.1:{port}\"\n\
             [portals.\"{portal}\"]\nplan = \"self-hosted\"\n\
             [sources.{SOURCE}]\nwebhook_url = \"{webhook}\"\n\
             poll = {{ idle = \"500ms\", idle_max = \"500ms\", busy = \"0s\" }}\n\
             [sinks.archive]\ntype = \"file\"\npath = \"{folder}/{ARCHIVE}\"\n\
             [sinks.receiver]\ntype = \"webhook\"\nurl = \"{receiver}\"\n\
             retry = {{ min = \"100ms\", max = \"1s\" }}\n",
            port = self.page_port,
            portal = self.sandbox.address(),
            webhook = self.sandbox.webhook_url(USER),
            receiver = self.receiver.url(),
        )
    }

    pub(super) fn user_name(&self) -> String {
        self.sandbox.user_name(USER)
    }

    pub(super) fn page_url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.page_port)
    }

    /// Starts the relay.
    pub(super) fn start(&mut self) -> anyhow::Result<()> {
        let id = self.relay.start()?;
        remark(&format!("demo: the relay runs as process {id}"));
        Ok(())
    }

    /// Restarts the relay after an unexpected exit.
    pub(super) fn look_after(&mut self) -> anyhow::Result<()> {
        self.relay.look_after()
    }

    pub(super) async fn perform(&mut self, act: Act, signals: &Signals) -> anyhow::Result<()> {
        match act {
            Act::KillRelay => self.kill_relay(signals).await,
            Act::ToggleReceiver if self.receiver.is_running() => {
                self.receiver.stop().await;
                remark("demo: the receiver is stopped; its events wait in the relay");
                Ok(())
            }
            Act::ToggleReceiver => self.restart_receiver().await,
            Act::TogglePortal if self.is_portal_cut => {
                self.reconnect_portal();
                Ok(())
            }
            Act::TogglePortal => {
                self.sandbox.cut();
                self.is_portal_cut = true;
                remark("demo: the portal is cut off; its events wait there");
                Ok(())
            }
            Act::End => Ok(()),
        }
    }

    async fn kill_relay(&mut self, signals: &Signals) -> anyhow::Result<()> {
        if let Some(id) = self.relay.kill().context("kill the relay")? {
            remark(&format!("demo: kill -9 has ended the relay, process {id}"));
        }
        if signals.pause(RESTART_DELAY, signals.nudge_count()).await == Wake::Stopping {
            return Ok(());
        }
        self.start()
    }

    async fn restart_receiver(&mut self) -> anyhow::Result<()> {
        if !self.receiver.is_running() {
            self.receiver.restart().await.context("start the receiver again")?;
            remark("demo: the receiver is back");
        }
        Ok(())
    }

    fn reconnect_portal(&mut self) {
        if self.is_portal_cut {
            self.sandbox.reconnect();
            self.is_portal_cut = false;
            remark("demo: the portal is connected again");
        }
    }

    pub(super) fn count(&self) -> anyhow::Result<Count> {
        Count::of(&Sides {
            sandbox: &self.sandbox,
            user: USER,
            state: &self.folder.path().join(STATE),
            archive: &self.folder.path().join(ARCHIVE),
            receiver: &self.receiver,
        })
    }

    /// Puts everything right, lets no more events happen, and waits until all have arrived, for `patience` at most.
    pub(super) async fn settle(&mut self, patience: Duration, signals: &Signals) -> anyhow::Result<()> {
        self.sandbox.set_rate(0.0);
        self.restart_receiver().await?;
        self.reconnect_portal();
        let begun = Instant::now();
        while begun.elapsed() < patience && !signals.stop.is_cancelled() {
            self.look_after()?;
            // The state file may not be readable while the relay starts.
            if self.count().is_ok_and(|count| count.is_complete()) {
                return Ok(());
            }
            sleep(SETTLE_TICK).await;
        }
        Ok(())
    }

    /// Ends all parts and removes the folder.
    pub(super) async fn close(self) {
        let Self { relay, mut receiver, sandbox, folder, .. } = self;
        drop(relay);
        receiver.stop().await;
        sandbox.stop().await;
        drop(folder);
    }
}

/// A port that no program uses at the moment.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
