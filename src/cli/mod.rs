//! What a person types: one file per verb, each thin; errors end up here as a line and an exit code.

mod bots;
mod check;
mod completions;
mod consent;
mod dead_letters;
mod demo;
mod exit;
mod exit_code;
mod handlers;
mod healthcheck;
mod login;
mod loss;
mod man;
mod offset;
mod output;
mod palette;
mod peek;
mod portal;
mod refused;
mod replay;
mod resume;
mod run;
mod sandbox;
mod secret;
mod source;
mod state;
mod status;
mod subscription;
mod table;
mod tap;
mod watch;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use exit_code::Exit;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use tokio::runtime::Runtime;

use crate::config::{self, Config, Loaded, LogConfig, LogFormat, LogLevel, Overrides};
use crate::service::Troubles;
use crate::shutdown::Signals;
use crate::spelling;
use crate::stdio::stderr;
use crate::telemetry;

const EXAMPLES: &str = "\
Examples:
  b24relay demo                            see it work, no portal needed
  b24relay check                           is everything ready?
  b24relay run                             poll and deliver until stopped
  b24relay run --once                      deliver what is waiting, then leave
  b24relay status                          how far is each sink?
  b24relay dead-letters list               what has a sink rejected?

Exit codes: 0 clean, 64 usage, 69 unavailable, 70 internal, 74 I/O, 75 temporary (cut short; \
state file or port in use), 77 credentials refused (not `run`, which keeps trying), 78 configuration.";

/// Reads a Bitrix24 user's event queue and hands every event to sinks without losing one.
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
    /// The configuration [default: ./b24relay.toml, then /etc/b24relay/b24relay.toml]
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The state file, instead of the configuration's `state`
    #[arg(long, global = true, value_name = "FILE")]
    state: Option<PathBuf>,
    /// error, warn, info, debug or trace [default: `log.level` where events are delivered, else warn]
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<LogLevel>,
    /// text or json [default: `log.format` for `run`, else text]
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

impl GlobalArgs {
    /// The state file. One that is named outright needs no configuration.
    fn state(&self) -> anyhow::Result<PathBuf> {
        match &self.state {
            Some(state) => Ok(state.clone()),
            None => Ok(config::state_path(&self.overrides())?),
        }
    }

    /// How a person at the keyboard sees what goes on inside, by default from `level` on: what the configuration says is
    /// meant for whoever collects the daemon's log.
    fn log(&self, level: LogLevel) -> LogConfig {
        LogConfig {
            format: self.log_format.unwrap_or(LogFormat::Text),
            level: self.log_level.unwrap_or(level),
        }
    }

    fn load(&self) -> anyhow::Result<Config> {
        Ok(config::load(&self.overrides())?.config)
    }

    /// What flags say of the configuration.
    fn overrides(&self) -> Overrides {
        Overrides {
            config: self.config.clone(),
            state: self.state.clone(),
            log_level: self.log_level,
            log_format: self.log_format,
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Poll every source and deliver until stopped
    Run(run::RunArgs),
    /// Tell whether the configuration is right and everything in it answers
    Check(check::CheckArgs),
    /// Ask the portal to record events for a source's user
    Subscribe(subscription::SubscribeArgs),
    /// Deliver what is left, then ask the portal to stop recording
    Unsubscribe(subscription::UnsubscribeArgs),
    /// Let an OAuth application read a user's queue
    Login(login::LoginArgs),
    /// Show where each sink stands in a source's queue, or put it elsewhere
    #[command(after_help = offset::NOTES)]
    Offset(offset::OffsetArgs),
    /// Forget where a portal has moved to
    #[command(after_help = portal::NOTES)]
    Portal(portal::PortalArgs),
    /// Let a sink have again what the journal keeps
    #[command(after_help = replay::NOTES)]
    Replay(replay::ReplayArgs),
    /// Show how far each sink is and what keeps it
    Status(status::StatusArgs),
    /// Tell whether the daemon does its work: one line and an exit code
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Let a sink go on that is paused because its receiver wanted nothing more
    Resume(resume::ResumeArgs),
    /// Show what sinks have rejected, send it again, or let it go
    #[command(after_help = dead_letters::NOTES)]
    DeadLetters(dead_letters::DeadLettersArgs),
    /// Say whether the state file is sound, or copy it
    #[command(after_help = state::NOTES)]
    State(state::StateArgs),
    /// Look at a source's events without taking them away from anybody
    Tap(tap::TapArgs),
    /// Show or remove the push handlers of a source's application
    Handlers(handlers::HandlersArgs),
    /// Show the portal's bots, or remove one
    Bots(bots::BotsArgs),
    /// Make a secret that webhook deliveries are signed with
    Secret(secret::SecretArgs),
    /// Run an emulated portal to develop against
    Sandbox(sandbox::SandboxArgs),
    /// Show the relay at work against an emulated portal, with nothing to set up
    Demo(demo::DemoArgs),
    /// Print the completion script of a shell
    Completions(completions::CompletionsArgs),
    /// Write the manual pages into a folder
    Man(man::ManArgs),
}

impl Command {
    /// Whether what it writes to stderr is a log, which somebody collects.
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
            output::explain(&error);
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

/// A core dump holds secrets, and so does the memory that a debugger of the same user reads. The limit alone does not
/// do: the kernel hands a dump to a program such as systemd-coredump whatever it is.
fn forbid_core_dumps() {
    // Neither is refused by any kernel that runs this; and if one did, nothing else would depend on it.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).ok();
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).ok();
}

fn dispatch(cli: Cli) -> anyhow::Result<Exit> {
    match cli.command {
        Command::Run(args) => with_runtime(async |signals| run::run(&args, &cli.global, &signals).await),
        Command::Check(args) => {
            with_runtime(async |signals| check::run(&args, &configure_fully(&cli.global)?, &signals).await)
        }
        Command::Subscribe(args) => {
            with_runtime(async |_| subscription::subscribe(&args, &configure(&cli.global)?).await)
        }
        Command::Unsubscribe(args) => {
            with_runtime(async |signals| subscription::unsubscribe(&args, &cli.global, &signals).await)
        }
        Command::Login(args) => {
            with_runtime(async |signals| login::run(&args, &configure(&cli.global)?, &signals).await)
        }
        Command::Offset(args) => {
            with_runtime(async |signals| offset::run(&args, &configure(&cli.global)?, &signals).await)
        }
        Command::Portal(args) => with_runtime(async |_| portal::run(&args, &cli.global).await),
        Command::Status(args) => match args.watch {
            None => status::run(&args, &cli.global),
            Some(period) => {
                with_runtime(async |signals| status::watch(&args, period, &cli.global, &signals).await)
            }
        },
        Command::Healthcheck(args) => healthcheck::run(&args, &cli.global),
        Command::DeadLetters(args) => {
            with_runtime(async |signals| dead_letters::run(&args, &cli.global, &signals).await)
        }
        Command::State(args) => state::run(&args, &cli.global),
        Command::Tap(args) => {
            with_runtime(async |signals| tap::run(&args, &configure(&cli.global)?, &signals).await)
        }
        Command::Replay(args) => with_runtime(async |_| replay::run(&args, &configure(&cli.global)?).await),
        Command::Resume(args) => with_runtime(async |_| resume::run(&args, &cli.global).await),
        Command::Handlers(args) => {
            with_runtime(async |signals| handlers::run(&args, &configure(&cli.global)?, &signals).await)
        }
        Command::Bots(args) => {
            with_runtime(async |signals| bots::run(&args, &configure(&cli.global)?, &signals).await)
        }
        Command::Sandbox(args) => with_runtime(async |signals| {
            sandbox::run(args, signals.stop.clone()).await?;
            Ok(Exit::Clean)
        }),
        Command::Demo(args) => with_runtime(async |signals| demo::run(&args, &cli.global, &signals).await),
        Command::Secret(args) => secret::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}

/// Loads the configuration of a command that is not the daemon, and lets it say what goes wrong meanwhile.
fn configure(global: &GlobalArgs) -> anyhow::Result<Config> {
    Ok(configure_fully(global)?.config)
}

/// The same, with where it comes from.
fn configure_fully(global: &GlobalArgs) -> anyhow::Result<Loaded> {
    let loaded = config::load(&global.overrides())?;
    telemetry::init(global.log(LogLevel::Warn), &Troubles::default());
    Ok(loaded)
}

/// Signals are listened to before anything else is done: one that comes early must not kill.
fn with_runtime(command: impl AsyncFnOnce(Signals) -> anyhow::Result<Exit>) -> anyhow::Result<Exit> {
    let signals = Signals::install().context("listen to signals")?;
    let runtime = Runtime::new().context("start the runtime")?;
    let exit = runtime.block_on(command(signals));
    // A write that hangs on a dead disk or a full pipe must not keep the process from leaving.
    runtime.shutdown_background();
    exit
}

#[cfg(test)]
mod tests;
