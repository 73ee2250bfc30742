//! Generates `docs/reference/cli.md`, the reference of all commands, from the texts of the manual pages.

use std::fmt::Write as _;
use std::path::Path;

use clap::{Arg, Command, CommandFactory as _};
use clap_mangen::roff::Inline;

use crate::cli::Cli;
use crate::cli::man::notes::{Note, parse};
use crate::cli::man::page;
use crate::config::tests::page::renewed;

const RENEW: &str = "RENEW=1 cargo test --lib command_page";
const COLUMNS: usize = 100;

const INTRO: &str = "\
- **Consent.** A command with `--dry-run` can destroy something: it says how much, and asks. `--yes`
  answers, `--dry-run` only reports. Without a terminal and without `--yes` it exits with 64.
- **Portals.** Commands try a call three times if the portal refuses it for a moment.
- **Output.** Errors are a line that begins with `b24relay:`. Only `run` writes the log that `[log]`
  describes. On a terminal, control characters and invisible characters of events are shown escaped.
- **State file.** With `--state`, `status`, `healthcheck`, `state` and `dead-letters list` need no
  configuration.
- **Exit codes.** [One page](exit-codes.md) lists them all; a command below lists those with a
  special meaning.
";

/// Renders the page of a program.
fn reference(root: Command) -> String {
    let mut root = root.disable_help_subcommand(true);
    root.build();
    let commands = below(&root);
    let mut text = format!(
        "# Commands\n\nEvery command with its options. Made from the text of `--help` and of the manual pages.\n\
         Change that text in `src/cli`, then run `{RENEW}`.\n\n"
    );
    text.push_str("| Command | Purpose |\n|---|---|\n");
    for command in commands.iter().filter(|command| !command.has_subcommands()) {
        let (call, anchor) = (call(command), page::name(command));
        writeln!(text, "| [`{call}`](#{anchor}) | {} |", cell(&about(command))).unwrap();
    }
    write!(text, "\n{INTRO}").unwrap();
    write!(text, "\n## Options of every command\n{}", options(root.get_arguments())).unwrap();
    let said = said(&root);
    for part in parse(&said).iter().filter(|part| matches!(part, Note::Block { .. })) {
        note(&mut text, part);
    }
    for command in commands {
        section(&mut text, command, &root);
    }
    text
}

/// The commands and their subcommands, without the hidden ones, in the order of `--help`.
fn below(command: &Command) -> Vec<&Command> {
    let shown = command.get_subcommands().filter(|inner| !inner.is_hide_set());
    shown.flat_map(|inner| [vec![inner], below(inner)].concat()).collect()
}

fn section(text: &mut String, command: &Command, root: &Command) {
    let depth = if call(command).matches(' ').count() > 1 { "###" } else { "##" };
    write!(text, "\n{depth} {}\n\n{}\n", call(command), wrapped(&format!("{}.", about(command)), ""))
        .unwrap();
    if !command.has_subcommands() {
        write!(text, "\n```text\n{}\n```\n", wrapped(&plain(&page::call(command)), "    ")).unwrap();
    }
    text.push_str(&options(command.get_arguments().filter(|arg| !arg.is_global_set())));
    let said = said(command);
    let is_outer =
        |outer: &Command| outer.find_subcommand(command.get_name()).is_some() && self::said(outer) == said;
    if !root.get_subcommands().any(is_outer) {
        for part in parse(&said) {
            note(text, &part);
        }
    }
}

/// The table of the arguments that `--help` shows, or nothing if there are none.
fn options<'a>(args: impl Iterator<Item = &'a Arg>) -> String {
    let shown = args.filter(|arg| !arg.is_hide_set() && !page::is_built_in(arg));
    let (mut rows, flags): (Vec<&Arg>, Vec<&Arg>) = shown.partition(|arg| arg.is_positional());
    rows.extend(flags);
    let mut table = String::new();
    for arg in rows {
        let short = arg.get_short().map(|short| format!("`-{short}`, ")).unwrap_or_default();
        let mut meaning = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let values = arg.get_possible_values();
        if arg.get_action().takes_values() && !values.is_empty() {
            let names: Vec<&str> = values.iter().map(clap::builder::PossibleValue::get_name).collect();
            write!(meaning, " [possible values: {}]", names.join(", ")).unwrap();
        }
        if let ([default, ..], true) = (arg.get_default_values(), arg.get_action().takes_values()) {
            write!(meaning, " [default: {}]", default.display()).unwrap();
        }
        writeln!(table, "| {short}`{}` | {} |", cell(&plain(&page::usage(arg))), cell(&meaning)).unwrap();
    }
    if table.is_empty() { table } else { format!("\n| Option | Meaning |\n|---|---|\n{table}") }
}

fn note(text: &mut String, note: &Note<'_>) {
    match note {
        Note::Paragraph(said) => write!(text, "\n{}\n", wrapped(said, "")),
        Note::Block { title, lines } => write!(text, "\n{title}:\n\n```text\n{}\n```\n", lines.join("\n")),
        Note::ExitCodes { of, codes } => {
            let of = of.map(|of| format!(" of `{of}`")).unwrap_or_default();
            let codes: Vec<String> = codes.iter().map(|(code, said)| format!("**{code}** {said}")).collect();
            write!(text, "\n{}\n", wrapped(&format!("Exit codes{of}: {}.", codes.join("; ")), ""))
        }
    }
    .unwrap();
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

/// The text below the options.
fn said(command: &Command) -> String {
    command.get_after_help().map(ToString::to_string).unwrap_or_default()
}

/// The words that call a command, such as `b24relay offset show`.
fn call(command: &Command) -> &str {
    command.get_bin_name().unwrap_or_else(|| command.get_name())
}

fn plain(parts: &[Inline]) -> String {
    let parts = parts.iter().map(|part| match part {
        Inline::Roman(said) | Inline::Italic(said) | Inline::Bold(said) => said.as_str(),
        Inline::LineBreak => " ",
    });
    parts.collect()
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Wraps a paragraph; every line but the first begins with `indent`.
fn wrapped(text: &str, indent: &str) -> String {
    let (mut lines, mut line) = (String::new(), String::new());
    for word in text.split_whitespace() {
        if !line.trim().is_empty() && line.len() + word.len() >= COLUMNS {
            writeln!(lines, "{line}").unwrap();
            indent.clone_into(&mut line);
        } else if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines + &line
}

#[test]
fn the_command_page_says_what_the_commands_say() {
    let made = reference(Cli::command());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/cli.md");
    assert!(renewed(&path, &made) == made, "docs/reference/cli.md is out of date; renew it with:\n  {RENEW}");
}

#[test]
fn the_command_page_leaves_out_hidden_commands_and_options() {
    let open = Command::new("open").about("Open it").arg(Arg::new("secret").long("secret").hide(true));
    let open =
        open.arg(Arg::new("speed").long("speed").value_name("A|B").default_value("A").help("How fast"));
    let open = open.after_help("Why.\n\nExamples:\n  x open    now\n\nExit codes: 0 yes, 1 no.");
    let made = reference(Command::new("x").subcommand(open).subcommand(Command::new("hidden").hide(true)));
    for part in [
        "\n| [`x open`](#x-open) | Open it |\n",
        "\n## x open\n\nOpen it.\n\n```text\nx open [--speed A|B]\n```\n",
        "\n| `--speed A\\|B` | How fast [default: A] |\n",
        "\nWhy.\n\nExamples:\n\n```text\nx open    now\n```\n\nExit codes: **0** yes; **1** no.\n",
    ] {
        assert!(made.contains(part), "no {part} in {made}");
    }
    assert!(!made.contains("hidden") && !made.contains("secret"), "{made}");
}
