//! `b24relay man`: writes the manual pages, one for each command, from the texts of `--help`.

mod notes; // the text below the options
mod page; // one manual page
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Command, CommandFactory as _};

use crate::cli::Cli;
use crate::cli::exit_code::Exit;
use crate::cli::output::print::print;

const EXAMPLES: &str = "\
Replaces pages of an older version; changes no other files.

Examples:
  b24relay man /usr/local/share/man/man1
  b24relay man man && man -l man/b24relay.1";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ManArgs {
    /// The folder to write to; created if it does not exist
    folder: PathBuf,
}

/// Writes the pages.
pub(super) fn run(args: &ManArgs) -> anyhow::Result<Exit> {
    let folder = &args.folder;
    fs::create_dir_all(folder).with_context(|| format!("create the folder `{}`", folder.display()))?;
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let count = write(&command, &[], folder)?;
    print(&format!("{count} pages in `{}`", folder.display()))?;
    Ok(Exit::Clean)
}

/// Writes the page of `command` and of its subcommands; `above` are its parent commands. Returns the number of pages.
fn write(command: &Command, above: &[&Command], folder: &Path) -> anyhow::Result<usize> {
    let path = folder.join(format!("{}.1", page::name(command)));
    let text = page::page(command, above)?;
    fs::write(&path, text).with_context(|| format!("write `{}`", path.display()))?;
    let path_to: Vec<&Command> = above.iter().copied().chain([command]).collect();
    let mut count = 1;
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        count += write(inner, &path_to, folder)?;
    }
    Ok(count)
}
