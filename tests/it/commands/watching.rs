//! `status` on a terminal and `status --watch`: the output for people and for programs.

use std::fs::File;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, code, command, finished, stderr, stdout};
use crate::support::process::setup::Setup;
use crate::support::process::terminal::Terminal;
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::Receiver;

const GREEN: &str = "\u{1b}[32m";
const RED: &str = "\u{1b}[31m";
const FRAME: &str = "\u{1b}[H";

/// A folder whose relay has delivered and stopped.
async fn used(portal: &Portal) -> Setup {
    let setup = Setup::new().with_source(portal).with_file();
    portal.record(1, 1).await;
    setup.drain().await;
    setup
}

/// The text without colours and cursor movements.
fn bare(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().unwrap().to_owned();
    let behind = |part: &str| part.split_once(|c: char| c.is_ascii_alphabetic()).unwrap().1.to_owned();
    first + &parts.map(behind).collect::<String>()
}

/// Starts `status --watch` with its output in the file `watched`.
fn watch_into_file(setup: &Setup, args: &[&str]) -> Relay {
    let mut command = command();
    command.args(["status", "--watch=0.1"]).args(args).current_dir(setup.folder());
    let file = File::create(setup.path("watched")).unwrap();
    Relay::start_command(command, setup.folder(), Stdio::from(file))
}

fn watched(setup: &Setup) -> String {
    std::fs::read_to_string(setup.path("watched")).unwrap()
}

#[tokio::test]
async fn a_terminal_gets_colours_and_a_table_that_stays_aligned() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup =
        Setup::new().with("delivery.hold = \"0s\"").with_source(&portal).with_file().with_receiver(&receiver);
    receiver.answer_always(Some(401));
    portal.record(1, 1).await;
    let mut relay = setup.run();
    until("one is delivered", async || setup.lane_of("archive").await["delivered"] == 1).await;
    setup.until_crm_is("held").await;

    let terminal = Terminal::open(50, 300);
    let mut status = terminal.start(&["status"], &[], setup.folder());
    assert_eq!(status.exit_code().await, 0);
    until("all is written", async || terminal.written().trim_end().ends_with("/user/1")).await;
    let coloured = terminal.written();
    for word in ["polling", "flowing", "running"] {
        assert!(coloured.contains(&format!("{GREEN}{word}\u{1b}[0m")), "{word}: {coloured:?}");
    }
    assert!(coloured.contains(&format!("{RED}held\u{1b}[0m since")), "{coloured:?}");
    let shown = bare(&coloured);
    let row = |name| shown.lines().find(|line| line.starts_with(name)).unwrap();
    let column = |header| row("SINK ").find(header).unwrap();
    for (sink, state, pending) in [("archive ", "flowing", "0"), ("crm ", "held", "1")] {
        assert!(row(sink)[column("STATE")..].starts_with(state), "{shown}");
        assert!(row(sink)[column("PENDING")..].starts_with(pending), "{shown}");
    }
    relay.stop().await;
}

#[tokio::test]
async fn a_table_stays_whole_on_a_terminal_of_80_columns() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup = Setup::new().with_source(&portal).with_file().with_receiver(&receiver);
    receiver.answer_always(Some(422));
    portal.record(1, 2).await;
    let mut relay = setup.run();
    until("both are buried", async || setup.lane_of("crm").await["dead_letters"] == 2).await;
    receiver.answer_always(Some(401));
    portal.record(1, 1).await;
    setup.until_crm_is("held").await;
    // A sink has a row from its first commit on.
    until("the archive has all", async || setup.lane_of("archive").await["delivered"] == 3).await;
    let terminal = Terminal::open(50, 80);
    let mut status = terminal.start(&["status"], &[], setup.folder());
    assert_eq!(status.exit_code().await, 0);
    until("the last row is written", async || bare(&terminal.written()).contains("support  polling")).await;
    let shown = bare(&terminal.written());
    for name in ["archive ", "crm ", "support "] {
        assert_eq!(shown.lines().filter(|line| line.starts_with(name)).count(), 1, "{shown}");
    }
    let tables: Vec<&str> = shown.lines().skip_while(|line| !line.starts_with("SINK")).collect();
    assert!(tables.iter().all(|line| line.trim_end().chars().count() <= 80), "{shown}");
    for header in ["STATE", "LAST POLL", "PENDING", "DELIVERED"] {
        assert!(tables.iter().any(|line| line.contains(header)), "{header}: {shown}");
    }
    relay.stop().await;
}

#[tokio::test]
async fn colours_are_for_terminals_alone_and_not_for_those_who_want_none() {
    let portal = Portal::start().await;
    let setup = used(&portal).await;
    let elsewhere = stdout(&finished(&["status"], setup.folder()).await);
    assert!(elsewhere.contains("stopped") && !elsewhere.contains('\u{1b}'), "{elsewhere:?}");
    for (environment, is_coloured) in
        [([("NO_COLOR", "1")], false), ([("TERM", "dumb")], false), ([("A", "b")], true)]
    {
        let terminal = Terminal::open(50, 300);
        let mut status = terminal.start(&["status"], &environment, setup.folder());
        assert_eq!(status.exit_code().await, 69);
        until("all is written", async || bare(&terminal.written()).matches("stopped").count() == 2).await;
        assert_eq!(terminal.written().contains('\u{1b}'), is_coloured, "{environment:?}");
    }
}

#[tokio::test]
async fn a_watched_status_is_drawn_in_place_until_somebody_ends_it() {
    let portal = Portal::start().await;
    let setup = used(&portal).await;
    let terminal = Terminal::open(50, 300);
    let mut watching = terminal.start(&["status", "--watch=0.1"], &[], setup.folder());
    let last = || {
        let written = terminal.written();
        let frames: Vec<&str> = written.split(FRAME).collect();
        // The last one may be incomplete.
        (frames.len().saturating_sub(3), bare(frames.get(frames.len().wrapping_sub(2)).unwrap_or(&"")))
    };
    until("it is drawn again", async || last().0 >= 2 && last().1.contains("not running")).await;
    let mut relay = setup.run();
    until("a daemon is seen", async || last().1.contains("daemon  running: process")).await;
    assert!(last().1.contains("again every 0.1 s; Ctrl-C ends"), "{}", last().1);
    relay.stop().await;
    until("its end is seen", async || last().1.contains("not running")).await;
    watching.signal(Signal::INT);
    assert_eq!(watching.exit_code().await, 0, "{}", watching.log());
    let written = terminal.written();
    assert_eq!(written.matches("\u{1b}[2J").count(), 1, "the screen is wiped once");
    assert!(!written.contains("?1049") && !written.contains("?25"), "nothing has to be restored");
}

#[tokio::test]
async fn what_a_small_terminal_has_no_room_for_is_left_out() {
    let portal = Portal::start().await;
    let setup = used(&portal).await;
    let terminal = Terminal::open(5, 300);
    let mut watching = terminal.start(&["status", "--watch=0.1"], &[], setup.folder());
    let is_drawn = async || terminal.written().matches("\u{1b}[J").count() >= 2;
    until("two frames", is_drawn).await;
    watching.signal(Signal::INT);
    assert_eq!(watching.exit_code().await, 0);
    let written = terminal.written();
    let frame = bare(written.split(FRAME).nth(2).unwrap());
    assert_eq!(frame.lines().count(), 4, "{frame}");
    assert!(frame.starts_with("not running") && frame.contains("more lines"), "{frame}");
}

#[tokio::test]
async fn elsewhere_reports_follow_each_other_and_json_is_a_document_a_line() {
    let portal = Portal::start().await;
    let setup = used(&portal).await;
    let mut watching = watch_into_file(&setup, &[]);
    until("three reports", async || watched(&setup).matches("state   ").count() >= 3).await;
    watching.signal(Signal::TERM);
    assert_eq!(watching.exit_code().await, 0);
    let text = watched(&setup);
    assert!(!text.contains('\u{1b}') && text.starts_with("not running\n\nstate   "), "{text}");
    assert!(text.matches("\n\nnot running\n").count() >= 2 && !text.contains("\n\n\n"), "{text}");
    assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{text}");

    let mut watching = watch_into_file(&setup, &["--json"]);
    until("three documents", async || watched(&setup).lines().count() >= 3).await;
    watching.signal(Signal::INT);
    assert_eq!(watching.exit_code().await, 0);
    for line in watched(&setup).lines() {
        let report: Value = serde_json::from_str(line).unwrap();
        assert_eq!(report["sources"][0]["name"], "support");
    }
}

#[tokio::test]
async fn a_watch_ends_with_its_reader_and_says_what_is_wrong() {
    let portal = Portal::start().await;
    let setup = used(&portal).await;
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = command();
    command.args(["status", "--watch=0.1"]).current_dir(setup.folder());
    let mut watching = Relay::start_command(command, setup.folder(), Stdio::from(writer));
    assert_eq!(watching.exit_code().await, 0, "{}", watching.log());

    for period in ["0", "soon", "-1"] {
        let refused = finished(&["status", &format!("--watch={period}")], setup.folder()).await;
        assert_eq!(code(&refused), 64, "{}", stderr(&refused));
    }
    let missing = finished(&["status", "--watch", "--state", "nothing.db"], setup.folder()).await;
    let plainly = finished(&["status", "--state", "nothing.db"], setup.folder()).await;
    assert_eq!((code(&missing), stderr(&missing)), (code(&plainly), stderr(&plainly)));
}
