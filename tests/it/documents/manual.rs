//! The manual pages: there is one for each command, they contain the text of `--help`, and groff reports no errors.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::process::relay::{code, output, stderr, stdout};

/// All manual pages.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let made = output(&["man", "man"], folder);
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    let entries = std::fs::read_dir(folder.join("man")).unwrap();
    let mut pages: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    assert_eq!(stdout(&made), format!("{} pages in `man`\n", pages.len()));
    pages
}

/// The commands below `command`, as `--help` lists them.
fn commands_of(command: &[&str], folder: &Path) -> Vec<String> {
    let help = stdout(&output(&[command, &["--help"]].concat(), folder));
    let Some((_, listed)) = help.split_once("Commands:\n") else { return Vec::new() };
    let listed = listed.split("\n\n").next().unwrap().lines();
    let names = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .filter(|name| name != "help")
        .collect()
}

/// A page as `man` shows it, and the warnings about it.
fn rendered(page: &Path) -> Option<(String, String)> {
    let mut man = Command::new("man");
    man.args(["--warnings", "-l"]).arg(page).stdin(Stdio::null());
    let shown = man.env("MANWIDTH", "100").env("LC_ALL", "C.UTF-8").output();
    let shown = shown.ok()?;
    Some((stdout(&shown), stderr(&shown)))
}

#[test]
fn every_command_has_a_page_and_no_page_is_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let pages = pages(folder.path());
    let made: BTreeSet<String> =
        pages.iter().map(|page| page.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    let mut expected = BTreeSet::from(["b24relay.1".to_owned()]);
    for command in commands_of(&[], folder.path()) {
        for inner in commands_of(&[&command], folder.path()) {
            expected.insert(format!("b24relay-{command}-{inner}.1"));
        }
        expected.insert(format!("b24relay-{command}.1"));
    }
    assert!(expected.len() > 25 && expected.contains("b24relay-state-check.1"), "{expected:?}");
    assert_eq!(made, expected);
}

#[test]
fn groff_has_nothing_to_object_and_shows_every_section() {
    let folder = tempfile::tempdir().unwrap();
    let pages = pages(folder.path());
    if rendered(&pages[0]).is_none() {
        // This machine has no `man`. Another test checks the content of the pages.
        return;
    }
    for page in pages {
        let (shown, warnings) = rendered(&page).unwrap();
        assert_eq!(warnings, "", "{}", page.display());
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES"] {
            assert!(shown.lines().any(|line| line == section), "no {section} in {}: {shown}", page.display());
        }
    }
}

#[test]
fn a_page_says_what_the_help_says() {
    let folder = tempfile::tempdir().unwrap();
    pages(folder.path());
    let page = |name: &str| {
        let text = std::fs::read_to_string(folder.path().join("man").join(name)).unwrap();
        // Plain text, without the markup of groff.
        text.replace("\\-", "-").replace("\\fB", "").replace("\\fI", "").replace("\\fR", "")
    };
    let run = page("b24relay-run.1");
    for words in [
        ".TH B24RELAY-RUN 1 \"\" \"b24relay ",
        "b24relay-run - Poll every source and deliver its events until stopped",
        "b24relay run [--once] [--forget SINK]... [--new-state] [--webhook-url-file FILE] [--stdout] [--yes] [--dry-run] \
         [options of every command]",
        ".SH SIGNALS\n.EX\nSIGTERM, SIGINT  finish current deliveries",
        ".SH EXAMPLES\n.EX\nb24relay run --config /etc/b24relay/b24relay.toml\n",
        "All exit codes are listed in b24relay(1).",
    ] {
        assert!(run.contains(words), "no `{words}` in {run}");
    }
    let first = page("b24relay.1");
    for words in [
        ".TP\n64\nusage\n",
        ".TP\n75\ntemporary (cut short; state file or port in use)\n",
        "b24relay-status(1)",
    ] {
        assert!(first.contains(words), "no `{words}` in {first}");
    }
    let health = page("b24relay-healthcheck.1");
    for words in [".TP\n69\nnot healthy\n", "[--stalled-after DURATION] [--strict] [--json]", "SEE ALSO"] {
        assert!(health.contains(words), "no `{words}` in {health}");
    }
    assert!(page("b24relay-status.1").contains("[--watch[=SECONDS]]"));
    // Text of a parent command is also on the subcommand's page, if it applies there.
    let check = page("b24relay-state-check.1");
    for words in
        [".SH EXAMPLES\n.EX\nb24relay state check  ", ".TP\n74\ndamaged", "b24relay-state(1), b24relay(1)"]
    {
        assert!(check.contains(words), "no `{words}` in {check}");
    }
    assert!(!check.contains("state backup"), "{check}");
    // Once at the beginning, and not in every section.
    assert_eq!(run.matches(".ie").count(), 1, "{run}");
}

#[test]
fn a_folder_that_cannot_be_made_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let made = output(&["man", "file/man"], folder.path());
    assert_eq!(code(&made), 74, "{}", stderr(&made));
    assert!(stderr(&made).contains("create the folder `file/man`"), "{}", stderr(&made));
}
