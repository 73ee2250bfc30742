//! `b24relay config`: prints the reference of the configuration, or the smallest one.

use clap::Args;

use crate::cli::exit_code::Exit;
use crate::cli::init::template;
use crate::cli::output::print::print;

const REFERENCE: &str = include_str!("../../config/b24relay.toml");

const EXAMPLES: &str = "\
Examples:
  b24relay config | less                   every key, its default and its effect
  b24relay config --minimal > b24relay.toml";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ConfigArgs {
    /// Print the smallest configuration that works
    #[arg(long)]
    minimal: bool,
}

/// Prints it.
pub(super) fn run(args: &ConfigArgs) -> anyhow::Result<Exit> {
    let text = if args.minimal { template::minimal() } else { REFERENCE.to_owned() };
    print(text.trim_end())?;
    Ok(Exit::Clean)
}
