//! The command line: one thin file per command. Errors end here as a line on stderr and an exit code.

mod bots;
mod check;
mod completions;
mod config;
mod dead_letters;
pub(crate) mod delivery;
mod demo;
mod exit; // the last line on stderr
mod exit_code;
mod healthcheck;
mod init;
mod man;
mod offset;
pub(crate) mod output;
pub(crate) mod portal;
mod run;
mod sandbox;
mod secret;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use exit_code::Exit;
use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::runtime::Runtime;

use crate::config::{Config, Loaded, LogConfig, LogFormat, LogLevel, Overrides};
use crate::service::RecentProblems;
use crate::shutdown::Signals;
use crate::stdio::stderr;
use crate::telemetry;

const EXAMPLES: &str = "\
First steps:
  b24relay init                            set up: a webhook, a destination, the configuration
  b24relay check                           is everything ready?
  b24relay run                             poll and deliver until stopped

Examples:
  b24relay demo                            see it work, no portal needed
  b24relay run --once                      deliver the waiting events, then exit
  b24relay status                          what has each sink received?
  b24relay dead-letters list               which events were rejected?

Exit codes: 0 clean, 64 usage, 69 unavailable, 70 internal, 74 I/O, 75 temporary (cut short; \
state file or port in use), 77 credentials refused (not `run`, which keeps trying), 78 configuration.";

/// Reads a Bitrix24 user's event queue and delivers every event to sinks without losing one
#[derive(Debug, Parser)]
#[command(name = "b24relay", version, after_help = EXAMPLES, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: GlobalArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Every command")]
struct GlobalArgs {
    /// Configuration file [default: ./b24relay.toml, then /etc/b24relay/b24relay.toml]
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// State file, instead of the configuration's `state`
    #[arg(long, global = true, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Log level: error, warn, info, debug or trace [default: `log.level` where events are delivered, else warn]
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<LogLevel>,
    /// Log format: text or json [default: `log.format` for `run`, else text]
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

impl GlobalArgs {
    /// The path of the state file. With `--state` no configuration is needed.
    fn state(&self) -> anyhow::Result<PathBuf> {
        match &self.state {
            Some(state) => Ok(state.clone()),
            None => Ok(crate::config::state_path(&self.overrides())?),
        }
    }

    /// The log settings of an interactive command, by default from `level` on. The configured ones are for the daemon's
    /// log, which other programs collect.
    fn log(&self, level: LogLevel) -> LogConfig {
        LogConfig {
            format: self.log_format.unwrap_or(LogFormat::Text),
            level: self.log_level.unwrap_or(level),
        }
    }

    fn load(&self) -> anyhow::Result<Config> {
        Ok(crate::config::load(&self.overrides())?.config)
    }

    /// The settings that flags override.
    fn overrides(&self) -> Overrides {
        Overrides {
            config: self.config.clone(),
            state: self.state.clone(),
            log_level: self.log_level,
            log_format: self.log_format,
            webhook_url_file: None,
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Set up: ask for a webhook and a destination, write the configuration
    Init(init::InitArgs),
    /// Poll every source and deliver its events until stopped
    Run(run::RunArgs),
    /// Check the configuration, and that everything in it answers
    Check(check::CheckArgs),
    /// Print the configuration reference, or the smallest configuration
    Config(config::ConfigArgs),
    /// Ask the portal to record events for a source's user
    Subscribe(portal::subscription::SubscribeArgs),
    /// Deliver the remaining events, then ask the portal to stop recording
    Unsubscribe(portal::subscription::UnsubscribeArgs),
    /// Authorize an OAuth application to read a user's queue
    Login(portal::login::LoginArgs),
    /// Show or change the position of each sink in a source's queue
    #[command(after_help = offset::NOTES)]
    Offset(offset::OffsetArgs),
    /// Forget the new address of a portal that has moved
    #[command(after_help = portal::moved::NOTES)]
    Portal(portal::moved::PortalArgs),
    /// Re-deliver events kept in the journal to a sink
    #[command(after_help = delivery::replay::NOTES)]
    Replay(delivery::replay::ReplayArgs),
    /// Send a sample event to a sink, or show which events its filter takes
    #[command(after_help = delivery::test::NOTES)]
    Test(delivery::test::TestArgs),
    /// Show each sink's progress and what is blocking it
    Status(delivery::status::StatusArgs),
    /// Check whether the daemon is working: one line and an exit code
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Resume a sink that is paused because its receiver refused further events
    Resume(delivery::resume::ResumeArgs),
    /// Show events that sinks have rejected, re-send them, or discard them
    #[command(after_help = dead_letters::NOTES)]
    DeadLetters(dead_letters::DeadLettersArgs),
    /// Check the state file, or back it up
    #[command(after_help = delivery::state::NOTES)]
    State(delivery::state::StateArgs),
    /// Show a source's events without confirming them
    Tap(portal::tap::TapArgs),
    /// Show or remove the push handlers of a source's application
    Handlers(portal::handlers::HandlersArgs),
    /// List the portal's bots, or remove one
    Bots(bots::BotsArgs),
    /// Create a secret for signing webhook deliveries
    Secret(secret::SecretArgs),
    /// Run an emulated portal for development
    Sandbox(sandbox::SandboxArgs),
    /// Show the relay at work with an emulated portal; needs no setup
    Demo(demo::DemoArgs),
    /// Print the completion script for a shell
    Completions(completions::CompletionsArgs),
    /// Write the manual pages to a folder
    Man(man::ManArgs),
}

impl Command {
    /// Whether its stderr is a log, which other programs collect.
    fn keeps_log(&self) -> bool {
        matches!(self, Self::Run(_))
    }
}

/// Runs the command of this process's arguments.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Clean };
            output::print::explain(&error);
            return exit.into();
        }
    };
    forbid_core_dumps();
    let complain = if cli.command.keeps_log() { exit::log_end } else { exit::complain };
    let exit = dispatch(cli).unwrap_or_else(|error| {
        complain(&error);
        Exit::of(&error)
    });
    stderr::finish();
    exit.into()
}

/// A core dump contains secrets, and so does the memory that a debugger of the same user can read. `RLIMIT_CORE` alone
/// is not enough: the kernel still passes a dump to a program such as systemd-coredump.
fn forbid_core_dumps() {
    // No supported kernel refuses either call. If one did, everything else would still work.
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable).ok();
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).ok();
}

fn dispatch(cli: Cli) -> anyhow::Result<Exit> {
    match cli.command {
        Command::Init(args) => with_runtime(async |signals| init::run(&args, &cli.global, &signals).await),
        Command::Run(args) => with_runtime(async |signals| run::run(&args, &cli.global, &signals).await),
        Command::Check(args) => {
            with_runtime(async |signals| check::run(&args, &configure_fully(&cli.global)?, &signals).await)
        }
        Command::Subscribe(args) => {
            with_runtime(async |_| portal::subscription::subscribe(&args, &configure(&cli.global)?).await)
        }
        Command::Unsubscribe(args) => with_runtime(async |signals| {
            portal::subscription::unsubscribe(&args, &cli.global, &signals).await
        }),
        Command::Login(args) => {
            with_runtime(async |signals| portal::login::run(&args, &configure(&cli.global)?, &signals).await)
        }
        Command::Offset(args) => {
            with_runtime(async |signals| offset::run(&args, &configure(&cli.global)?, &signals).await)
        }
        Command::Portal(args) => with_runtime(async |_| portal::moved::run(&args, &cli.global).await),
        Command::Status(args) => match args.watch {
            None => delivery::status::run(&args, &cli.global),
            Some(period) => with_runtime(async |signals| {
                delivery::status::watch(&args, period, &cli.global, &signals).await
            }),
        },
        Command::Healthcheck(args) => healthcheck::run(&args, &cli.global),
        Command::DeadLetters(args) => {
            with_runtime(async |signals| dead_letters::run(&args, &cli.global, &signals).await)
        }
        Command::State(args) => delivery::state::run(&args, &cli.global),
        Command::Tap(args) => {
            with_runtime(async |signals| portal::tap::run(&args, &configure(&cli.global)?, &signals).await)
        }
        Command::Replay(args) => {
            with_runtime(async |_| delivery::replay::run(&args, &configure(&cli.global)?).await)
        }
        Command::Test(args) => {
            with_runtime(async |signals| delivery::test::run(&args, &configure(&cli.global)?, &signals).await)
        }
        Command::Resume(args) => with_runtime(async |_| delivery::resume::run(&args, &cli.global).await),
        Command::Handlers(args) => with_runtime(async |signals| {
            portal::handlers::run(&args, &configure(&cli.global)?, &signals).await
        }),
        Command::Bots(args) => {
            with_runtime(async |signals| bots::run(&args, &configure(&cli.global)?, &signals).await)
        }
        Command::Sandbox(args) => with_runtime(async |signals| {
            sandbox::run(args, signals.stop.clone()).await?;
            Ok(Exit::Clean)
        }),
        Command::Demo(args) => with_runtime(async |signals| demo::run(&args, &cli.global, &signals).await),
        Command::Config(args) => config::run(&args),
        Command::Secret(args) => secret::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}

/// Loads the configuration and starts logging, for a command other than the daemon.
fn configure(global: &GlobalArgs) -> anyhow::Result<Config> {
    Ok(configure_fully(global)?.config)
}

/// The same, with the origin of the configuration.
fn configure_fully(global: &GlobalArgs) -> anyhow::Result<Loaded> {
    let loaded = crate::config::load(&global.overrides())?;
    telemetry::init(global.log(LogLevel::Warn), &RecentProblems::default());
    Ok(loaded)
}

/// Listens for signals before anything else, so that an early signal does not kill the process.
fn with_runtime(command: impl AsyncFnOnce(Signals) -> anyhow::Result<Exit>) -> anyhow::Result<Exit> {
    let signals = Signals::install().context("listen to signals")?;
    let runtime = Runtime::new().context("start the runtime")?;
    let exit = runtime.block_on(command(signals));
    // A write that hangs on a dead disk or a full pipe must not delay the exit.
    runtime.shutdown_background();
    exit
}

#[cfg(test)]
mod tests;
