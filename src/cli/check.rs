//! `b24relay check`: is the configuration right?
#![expect(clippy::print_stdout, reason = "the answer to the person who asked")]

use clap::Args;

use super::GlobalArgs;
use super::exit::Exit;
use crate::config::TargetConfig;

const EXAMPLES: &str = "\
Examples:
  b24relay check --no-network
  b24relay check --no-network --config /etc/b24relay/b24relay.toml";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CheckArgs {
    /// Look at the configuration only, speak to nobody (required: this version has no other checks)
    #[arg(long, required = true)]
    no_network: bool,
}

/// Loads the configuration and says what it would do.
pub fn run(args: &CheckArgs, global: &GlobalArgs) -> anyhow::Result<Exit> {
    debug_assert!(args.no_network, "required by the command line");
    let config = global.load()?;
    println!("state {}", config.state.display());
    for source in &config.sources {
        println!("source {}: {}", source.name, source.webhook_url);
    }
    for sink in &config.sinks {
        let target = match &sink.target {
            TargetConfig::Stdout(_) => "stdout".to_owned(),
            TargetConfig::File(file) => format!("file {}", file.path.display()),
            TargetConfig::Webhook(webhook) => format!("webhook {}", webhook.url),
        };
        println!("sink {}: {target}", sink.name);
    }
    println!("the configuration is right");
    Ok(Exit::Clean)
}
