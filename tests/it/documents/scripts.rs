//! Every script under `tests/` explains itself with `--help`, and refuses an unknown flag.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::process::relay::{code, stderr, stdout};

/// The program that runs the script at `path`; `None` for a file that is no script.
fn interpreter(path: &Path) -> Option<&'static str> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("sh") => Some("bash"),
        Some("py") => Some("python3"),
        Some("mjs" | "js") => Some("node"),
        Some(_) => None,
        None => fs::read(path).unwrap().starts_with(b"#!/usr/bin/env bash\n").then_some("bash"),
    }
}

/// Every script under `folder`, with its program.
fn scripts(folder: &Path) -> Vec<(PathBuf, &'static str)> {
    let mut scripts = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            scripts.extend(self::scripts(&path));
        } else if let Some(program) = interpreter(&path) {
            scripts.push((path, program));
        }
    }
    scripts
}

/// Runs a script with one argument; `None` if its program is missing.
fn outcome(program: &str, script: &Path, argument: &str) -> Option<Output> {
    let mut command = Command::new(program);
    command.arg(script).arg(argument).stdin(Stdio::null()).env("PYTHONDONTWRITEBYTECODE", "1");
    match command.output() {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        output => Some(output.unwrap()),
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "tells what was not tested")]
fn every_script_explains_itself_and_refuses_an_unknown_flag() {
    let scripts = scripts(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"));
    assert!(scripts.len() >= 13, "{scripts:#?}");
    for (script, program) in scripts {
        let name = script.display();
        let Some(help) = outcome(program, &script, "--help") else {
            eprintln!("skipped: {name} needs {program}");
            continue;
        };
        assert_eq!(code(&help), 0, "{name}: {}", stderr(&help));
        let text = stdout(&help);
        for word in ["usage: ", "Needs ", "--help", "Example: "] {
            assert!(text.contains(word), "{name}: no `{word}` in: {text}");
        }
        let refused = outcome(program, &script, "--no-such-flag").unwrap();
        assert_eq!(code(&refused), 2, "{name}: {}", stderr(&refused));
        assert!(stderr(&refused).contains("usage: "), "{name}: {}", stderr(&refused));
        assert_eq!(stdout(&refused), "", "{name}");
    }
}
