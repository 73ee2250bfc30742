//! Rules for the help of every command.

use clap::{Command, CommandFactory as _};

use crate::cli::Cli;

/// The help wraps at this width, or at the terminal's width if that is smaller.
const WIDTH: usize = 100;

/// All commands and subcommands, each with the words that call it.
fn commands() -> Vec<(String, Command)> {
    fn collect(call: &str, command: &Command, all: &mut Vec<(String, Command)>) {
        all.push((call.to_owned(), command.clone()));
        for inner in command.get_subcommands() {
            collect(&format!("{call} {}", inner.get_name()), inner, all);
        }
    }
    let mut all = Vec::new();
    collect("b24relay", &Cli::command().disable_help_subcommand(true), &mut all);
    all
}

/// The lines of `text` that would be wrapped twice or would not fit on a terminal. A paragraph must be one line, which
/// is wrapped when it is shown, and the lines of a block must fit.
fn ragged(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for part in text.split("\n\n") {
        let is_block = part.contains(":\n  ");
        let is_fine = |(at, line): &(usize, &str)| {
            if is_block { line.chars().count() <= WIDTH } else { *at == 0 }
        };
        found.extend(part.lines().enumerate().filter(|line| !is_fine(line)).map(|(_, line)| line));
    }
    found
}

#[test]
fn no_help_is_wrapped_twice() {
    let mut found = Vec::new();
    for (call, command) in commands() {
        let texts = [command.get_long_about(), command.get_after_help(), command.get_before_help()];
        for text in texts.into_iter().flatten().map(ToString::to_string) {
            found.extend(ragged(&text).into_iter().map(|line| format!("{call}: {line}")));
        }
    }
    assert!(
        found.is_empty(),
        "one line for each paragraph, {WIDTH} columns for others:\n{}",
        found.join("\n")
    );
}

/// Every user of a machine can see the command lines of its processes.
#[test]
fn no_flag_takes_a_secret() {
    let is_secret = |name: &str| {
        ["token", "secret", "password", "client", "key", "code"].iter().any(|word| name.contains(word))
    };
    let mut found = Vec::new();
    for (call, command) in commands() {
        for flag in command.get_arguments().filter(|flag| flag.get_action().takes_values()) {
            let is_file = flag.get_value_names().is_some_and(|names| names.iter().all(|name| name == "FILE"));
            if is_secret(flag.get_id().as_str()) && !is_file {
                found.push(format!("{call} --{}", flag.get_id()));
            }
        }
    }
    assert!(found.is_empty(), "these take a secret: {found:?}");
}

#[test]
fn what_is_ragged_is_found() {
    assert_eq!(ragged("One.\n\nExamples:\n  b24relay x\n    more"), [""; 0]);
    assert_eq!(ragged("One\ntwo.\n\nThree."), ["two."]);
    let long = format!("Examples:\n  {}", "x".repeat(WIDTH - 1));
    assert_eq!(ragged(&long).len(), 1);
}

/// The commands that can destroy data, with the flag that does so, if one is needed. Each of them asks first.
const DESTROYING: [(&str, &str); 10] = [
    ("offset set", "beyond"),
    ("run", "forget"),
    ("login", "new_queue"),
    ("unsubscribe", "discard"),
    ("offset set", "offset"),
    ("offset set", "new_queue"),
    ("offset skip", ""),
    ("dead-letters discard", ""),
    ("handlers unbind", ""),
    ("bots unregister", ""),
];

/// The commands that destroy nothing with any flag. `replay` and `dead-letters replay` deliver again, `resume` and
/// `subscribe` start deliveries, `init`, `state backup` and `man` write new files.
const SPARING: [&str; 24] = [
    "init",
    "config",
    "check",
    "subscribe",
    "offset show",
    "portal forget",
    "replay",
    "status",
    "healthcheck",
    "resume",
    "dead-letters list",
    "dead-letters show",
    "dead-letters replay",
    "state check",
    "state backup",
    "tap",
    "test",
    "handlers list",
    "bots list",
    "secret new",
    "sandbox",
    "demo",
    "completions",
    "man",
];

/// The flags of destroying commands that do not destroy anything.
const HARMLESS: [&str; 20] = [
    "with_parent",
    "webhook_url_file",
    "stdout",
    "new_state",
    "once",
    "tokens",
    "source",
    "bot_id",
    "client_id",
    "client_id_file",
    "v2",
    "bot_token",
    "bot_token_file",
    "event",
    "handler",
    "auth_type",
    "event_type",
    "connector",
    "yes",
    "dry_run",
];

#[test]
fn every_command_that_can_destroy_asks_and_a_new_command_must_say_which_it_is() {
    for (call, command) in commands().iter().filter(|(_, command)| !command.has_subcommands()) {
        let call = call.strip_prefix("b24relay ").unwrap();
        let destroys = DESTROYING.iter().any(|(other, _)| *other == call);
        assert_ne!(destroys, SPARING.contains(&call), "can `{call}` destroy? Put it into one of the lists");
        let ids: Vec<&str> = command.get_arguments().map(|arg| arg.get_id().as_str()).collect();
        for flag in ["yes", "dry_run"] {
            // `init` asks as well, before it writes files that are not there yet.
            let asks = destroys || (call, flag) == ("init", "yes");
            assert_eq!(
                ids.contains(&flag),
                asks,
                "`{call}` and `{flag}`: what can destroy uses `ConsentArgs`"
            );
        }
        for id in ids.iter().filter(|_| destroys) {
            let is_known = HARMLESS.contains(id)
                || DESTROYING.contains(&(call, *id))
                || DESTROYING.contains(&(call, ""))
                || ["config", "state", "log_level", "log_format", "help", "version"].contains(id);
            assert!(is_known, "can `{call} --{id}` destroy? Put it into one of the lists");
        }
    }
}
