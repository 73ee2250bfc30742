//! `b24relay state`: checks the state file or copies it.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, stderr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use b24_client::foreign_text::plain;
use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::GlobalArgs;
use crate::cli::exit_code::Exit;
use crate::cli::output::print::{print, print_json, remark};
use crate::cli::output::table::{aligned, table};
use crate::store::{Inspection, Soundness, Store, Verdict};

pub(in crate::cli) const NOTES: &str = "\
Examples:
  b24relay state check                                         changes nothing; the daemon may run
  b24relay state check --state /var/backups/b24relay.db        needs no configuration
  b24relay state backup /var/backups/b24relay-$(date +%F).db   from cron; the daemon may run

To restore: stop the daemon, move away the state file with its `-wal` and `-shm` files, copy the backup to its \
place, and start the daemon. On another host the backup is the only file that you need.

`backup` also copies a damaged state file; it then reports the damage and exits with 74.

Exit codes of `check`: 0 sound, 74 damaged or unreadable, 78 it belongs to another program or a newer version.";

/// A backup that takes longer than this shows its progress.
const QUIET: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(in crate::cli) struct StateArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check the whole state file and report damage
    Check(CheckArgs),
    /// Copy a consistent snapshot of the state file
    Backup(BackupArgs),
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct BackupArgs {
    /// The file to create; it must not exist yet
    file: PathBuf,
}

/// Checks or copies the state file.
pub(in crate::cli) fn run(args: &StateArgs, global: &GlobalArgs) -> anyhow::Result<Exit> {
    let state = global.state()?;
    match &args.action {
        Action::Check(args) => check(args, &state),
        Action::Backup(args) => backup(args, &state),
    }
}

fn check(args: &CheckArgs, state: &Path) -> anyhow::Result<Exit> {
    let inspection = Store::inspect(state)?;
    let hint = hint(&inspection, state);
    if args.json {
        let shown = json!({ "state": state, "inspection": inspection, "hint": hint });
        print_json(&shown)?;
    } else {
        print(&format!("{}{}", shown(&inspection, state), hint.unwrap_or_default()))?;
    }
    Ok(match inspection.soundness {
        Soundness::Sound => Exit::Clean,
        Soundness::Damaged => Exit::Io,
        Soundness::Foreign => Exit::Config,
    })
}

fn shown(inspection: &Inspection, state: &Path) -> String {
    let daemon = match &inspection.holder {
        Some(holder) => format!("running: {holder}"),
        None => "not running".to_owned(),
    };
    let mut findings = table(&["LOOKED AT", "FOUND", "VERDICT"]);
    for finding in &inspection.findings {
        let verdict = match &finding.verdict {
            Verdict::Ok => "ok".to_owned(),
            Verdict::Noted(note) => format!("ok; {note}"),
            Verdict::Wrong(trouble) => format!("WRONG: {}", plain(trouble)),
        };
        findings.add_row([plain(&finding.what), plain(&finding.found), verdict]);
    }
    format!("state   {}\ndaemon  {daemon}\n\n{}\n", state.display(), aligned(findings))
}

/// What to do with a damaged file.
fn hint(inspection: &Inspection, state: &Path) -> Option<String> {
    let state = state.display();
    match inspection.soundness {
        Soundness::Sound => None,
        Soundness::Foreign => Some(format!(
            "\n`{state}` cannot be used by this program: point `state` to a file of its own, or run the newer version\n\
             that wrote it. It was left as it is.\n"
        )),
        Soundness::Damaged => {
            let mut text = format!(
                "\n`{state}` is damaged and was left as it is. Stop the daemon, and move it away with its `-wal` and `-shm`\n\
                 (keep them: what cannot be used may still be read). Then either\n\
                 - restore: copy the newest file that `b24relay state backup` made to `{state}`. What was delivered since\n\
                 then and is still at the portal comes again, with the same ids; or\n\
                 - start anew: `b24relay run --new-state` makes a new file, and every sink gets what the portal still has, 24 hours at most\n\
                 and without what was confirmed. Lost are the events that only this file had (the journal, dead letters) and\n\
                 logins (`b24relay login`).\n"
            );
            for (source, offset) in &inspection.offsets {
                // Writing to a string cannot fail.
                writeln!(
                    text,
                    "  To go on where `{0}` was: `b24relay offset set {0} {offset}`",
                    plain(source)
                )
                .ok();
            }
            Some(text)
        }
    }
}

fn backup(args: &BackupArgs, state: &Path) -> anyhow::Result<Exit> {
    let (started, is_watched) = (Instant::now(), stderr().is_terminal());
    let mut told_at = started + QUIET;
    let copied = Store::backup(state, &args.file, |left, pages| {
        if is_watched && Instant::now() >= told_at {
            told_at = Instant::now() + QUIET;
            let percent = u64::from(pages - left.min(pages)) * 100 / u64::from(pages.max(1));
            remark(&format!("{percent} % of {pages} pages copied"));
        }
    })?;
    let made = format!("{} bytes in `{}`", copied.bytes, args.file.display());
    if copied.suspicions.is_empty() {
        print(&format!("{made}: checked, and on the disk"))?;
        return Ok(Exit::Clean);
    }
    print(&format!("{made}: on the disk, but damaged as the state file is"))?;
    for suspicion in &copied.suspicions {
        remark(&format!("b24relay: the state file `{}` is damaged ({})", state.display(), plain(suspicion)));
    }
    remark("b24relay: keep older backups; `b24relay state check` shows what to do");
    Ok(Exit::Io)
}
