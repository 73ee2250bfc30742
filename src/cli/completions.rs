//! `b24relay completions`: prints the completion script for a shell.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::cli::exit_code::Exit;
use crate::cli::output::print::print;

const EXAMPLES: &str = "\
Examples:
  b24relay completions bash > /etc/bash_completion.d/b24relay
  b24relay completions zsh  > \"${fpath[1]}/_b24relay\"";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub(super) fn run(args: &CompletionsArgs) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "b24relay", &mut script);
    print(String::from_utf8(script)?.trim_end())?;
    Ok(Exit::Clean)
}
