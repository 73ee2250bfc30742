//! One manual page: the output of `clap_mangen` for a command, and the text that `--help` shows below the options.

use std::io;

use clap::{Arg, ArgAction, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use super::notes::{Note, parse};

/// Environment variables, listed on the first page only.
const ENVIRONMENT: [(&str, &str); 4] = [
    (
        "B24RELAY_...",
        "Keys of the configuration: `B24RELAY_LOG__LEVEL` is `log.level`. Flags win over the environment, the \
         environment over the file.",
    ),
    ("CREDENTIALS_DIRECTORY", "Where secrets are looked for whose file is not where the configuration says."),
    ("HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY", "Proxies to receivers, unless a sink has its own."),
    ("NO_COLOR", "No colours, on terminals either."),
];

const FILES: [(&str, &str); 2] = [
    (
        "./b24relay.toml, /etc/b24relay/b24relay.toml",
        "The configuration; the first that exists, unless `--config` names another.",
    ),
    (
        "/var/lib/b24relay/b24relay.db",
        "The state file, or where `state` says. With `-wal`, `-shm`, `.lock` and `.letters.lock` appended to its name \
         it has others beside it, which belong to it.",
    ),
];

/// The name of the page, such as `b24relay-state-check`.
pub(super) fn name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

/// The page of a command; `above` are its parent commands.
///
/// # Errors
/// None in practice: the page is written to memory.
pub(super) fn page(command: &Command, above: &[&Command]) -> anyhow::Result<String> {
    let said = |command: &Command| command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (own, outer) = (said(command), above.last().map(|outer| said(outer)).unwrap_or_default());
    let mut notes = parse(&own);
    inherit(&mut notes, parse(&outer), command);
    let man = Man::new(command.clone());
    let mut page = String::new();
    add(&mut page, |roff| title(roff, command));
    add_made(&mut page, |writer| man.render_name_section(writer))?;
    add(&mut page, |roff| synopsis(roff, command));
    add_made(&mut page, |writer| man.render_description_section(writer))?;
    add(&mut page, |roff| paragraphs(roff, &notes));
    if command.has_subcommands() {
        add_made(&mut page, |writer| man.render_subcommands_section(writer))?;
    }
    add_made(&mut page, |writer| man.render_options_section(writer))?;
    add(&mut page, |roff| {
        exit_status(roff, &notes, above.is_empty());
        if above.is_empty() {
            definitions(roff, "ENVIRONMENT", &ENVIRONMENT);
            definitions(roff, "FILES", &FILES);
        }
        blocks(roff, &notes);
        see_also(roff, above);
    });
    Ok(page)
}

/// Adds the notes of the parent command that also apply to `command`: exit codes, and examples if it has none.
fn inherit<'a>(notes: &mut Vec<Note<'a>>, outer: Vec<Note<'a>>, command: &Command) {
    const EXAMPLES: &str = "Examples";
    let has_own = notes.iter().any(|note| matches!(note, Note::Block { title: EXAMPLES, .. }));
    let call = command.get_bin_name().unwrap_or_else(|| command.get_name());
    for note in outer {
        match note {
            Note::Block { title: title @ EXAMPLES, lines } if !has_own => {
                let lines: Vec<&str> = lines.into_iter().filter(|line| line.starts_with(call)).collect();
                notes.extend((!lines.is_empty()).then_some(Note::Block { title, lines }));
            }
            Note::ExitCodes { of: Some(of), codes } if of == command.get_name() => {
                notes.push(Note::ExitCodes { of: None, codes });
            }
            Note::Paragraph(_) | Note::Block { .. } | Note::ExitCodes { .. } => {}
        }
    }
}

/// Each part starts with a definition for apostrophes. One definition is enough for a page.
fn add(page: &mut String, write: impl FnOnce(&mut Roff)) {
    let mut roff = Roff::new();
    write(&mut roff);
    let (preamble, text) = (Roff::new().render(), roff.render());
    page.push_str(if page.is_empty() { &text } else { text.strip_prefix(&preamble).unwrap_or(&text) });
}

fn add_made(
    page: &mut String,
    render: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
) -> anyhow::Result<()> {
    let mut text = Vec::new();
    render(&mut text)?;
    let text = String::from_utf8(text)?;
    page.push_str(text.strip_prefix(&Roff::new().render()).unwrap_or(&text));
    Ok(())
}

fn title(roff: &mut Roff, command: &Command) {
    let version = concat!("b24relay ", env!("CARGO_PKG_VERSION"));
    // No date, because it would make every build's page different.
    roff.control("TH", [name(command).to_uppercase().as_str(), "1", "\"\"", version, "b24relay manual"]);
}

fn synopsis(roff: &mut Roff, command: &Command) {
    let mut line = call(command);
    line.push(roman(" [options of every command]"));
    roff.control("SH", ["SYNOPSIS"]).text(line);
}

/// A command with its own arguments, as it is typed.
pub(super) fn call(command: &Command) -> Vec<Inline> {
    let mut line = vec![bold(command.get_bin_name().unwrap_or_else(|| command.get_name()))];
    let own = |arg: &&Arg| !arg.is_global_set() && !arg.is_hide_set() && !is_built_in(arg);
    let (positional, flags): (Vec<&Arg>, Vec<&Arg>) =
        command.get_arguments().filter(own).partition(|arg| arg.is_positional());
    for arg in flags.into_iter().chain(positional) {
        line.push(roman(" "));
        if arg.is_required_set() {
            line.extend(usage(arg));
        } else {
            line.extend([roman("[")].into_iter().chain(usage(arg)).chain([roman("]")]));
        }
        if matches!(arg.get_action(), ArgAction::Append) {
            line.push(roman("..."));
        }
    }
    if command.has_subcommands() {
        line.extend([roman(" "), italic("COMMAND")]);
    }
    line
}

/// Whether clap adds this argument to every command.
pub(super) fn is_built_in(arg: &Arg) -> bool {
    matches!(
        arg.get_action(),
        ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
    )
}

/// An argument as it is typed.
pub(super) fn usage(arg: &Arg) -> Vec<Inline> {
    let values = arg.get_value_names().map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>());
    let value = values.map_or_else(|| arg.get_id().to_string().to_uppercase(), |values| values.join(" "));
    let takes_value = arg.get_num_args().is_some_and(|count| count.takes_values());
    match arg.get_long() {
        None => vec![italic(value)],
        Some(long) if !takes_value => vec![bold(format!("--{long}"))],
        Some(long) if arg.is_require_equals_set() => {
            vec![bold(format!("--{long}")), roman("[="), italic(value), roman("]")]
        }
        Some(long) => vec![bold(format!("--{long}")), roman(" "), italic(value)],
    }
}

fn paragraphs(roff: &mut Roff, notes: &[Note<'_>]) {
    for note in notes {
        if let Note::Paragraph(text) = note {
            roff.control("PP", []).text(marked_up(text));
        }
    }
}

fn exit_status(roff: &mut Roff, notes: &[Note<'_>], is_first: bool) {
    roff.control("SH", ["EXIT STATUS"]);
    for note in notes {
        let Note::ExitCodes { of, codes } = note else { continue };
        if let Some(of) = of {
            roff.text([roman("Of "), bold(*of), roman(":")]);
        }
        for (code, meaning) in codes {
            roff.control("TP", []).text([bold(*code)]);
            roff.text(marked_up(&meaning.replace('\n', " ")));
        }
    }
    if !is_first {
        roff.control("PP", []);
        roff.text([roman("All exit codes are listed in "), bold("b24relay"), roman("(1).")]);
    }
}

fn definitions(roff: &mut Roff, title: &str, definitions: &[(&str, &str)]) {
    roff.control("SH", [title]);
    for (word, meaning) in definitions {
        roff.control("TP", []).text([bold(*word)]).text(marked_up(meaning));
    }
}

fn blocks(roff: &mut Roff, notes: &[Note<'_>]) {
    for note in notes {
        let Note::Block { title, lines } = note else { continue };
        roff.control("SH", [title.to_uppercase().as_str()]).control("EX", []);
        for line in lines {
            roff.text([roman(*line)]);
        }
        roff.control("EE", []);
    }
}

fn see_also(roff: &mut Roff, above: &[&Command]) {
    let mut pages = above.iter().rev().map(|command| name(command));
    let Some(first) = pages.next() else { return };
    let mut line = vec![bold(first), roman("(1)")];
    line.extend(pages.flat_map(|page| [roman(", "), bold(page), roman("(1)")]));
    roff.control("SH", ["SEE ALSO"]).text(line);
}

/// Text in backticks becomes bold.
fn marked_up(text: &str) -> Vec<Inline> {
    let parts = text.split('`').enumerate();
    parts.map(|(at, part)| if at % 2 == 1 { bold(part) } else { roman(part) }).collect()
}
