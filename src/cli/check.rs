//! `b24relay check`: is the configuration right?

use clap::Args;

use super::GlobalArgs;
use super::exit::Exit;
use super::output::print;
use crate::config::{AccessConfig, SourceConfig, TargetConfig};

const EXAMPLES: &str = "\
Examples:
  b24relay check --no-network
  b24relay check --no-network --config /etc/b24relay/b24relay.toml && systemctl restart b24relay";

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
    let mut lines = vec![format!("state {}", config.state.display())];
    lines.extend(config.sources.iter().map(|source| format!("source {}: {}", source.name, access(source))));
    lines.extend(config.sinks.iter().map(|sink| format!("sink {}: {}", sink.name, target(&sink.target))));
    lines.push("the configuration is right".to_owned());
    print(&lines.join("\n"))?;
    Ok(Exit::Clean)
}

fn access(source: &SourceConfig) -> String {
    match &source.access {
        AccessConfig::Webhook(webhook) => webhook.to_string(),
        AccessConfig::OAuth(oauth) => format!("{} as application {}", oauth.portal, oauth.client_id),
    }
}

fn target(config: &TargetConfig) -> String {
    match config {
        TargetConfig::Stdout(_) => "stdout".to_owned(),
        TargetConfig::File(file) => format!("file {}", file.path.display()),
        TargetConfig::Webhook(webhook) => format!("webhook {}", webhook.url),
    }
}
