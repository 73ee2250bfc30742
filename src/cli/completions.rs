//! `b24relay completions`: the completion script of a shell.

use std::io;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::Cli;
use super::exit::Exit;

const EXAMPLES: &str = "\
Examples:
  b24relay completions bash > /etc/bash_completion.d/b24relay
  b24relay completions zsh  > \"${fpath[1]}/_b24relay\"";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Prints the script to standard output.
pub fn run(args: &CompletionsArgs) -> Exit {
    clap_complete::generate(args.shell, &mut Cli::command(), "b24relay", &mut io::stdout());
    Exit::Clean
}
