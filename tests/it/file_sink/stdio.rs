//! Standard output and standard error with slow, blocked or non-blocking readers: nothing is lost, and nothing waits
//! for the log.

use std::io::{BufRead as _, BufReader, PipeReader, PipeWriter, Read as _, Write as _, pipe};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use rustix::io::ioctl_fionbio;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::expected::ledger::assert_exactly_once;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, command, finished, stderr};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;

/// A pipe without any room.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    ioctl_fionbio(&writer, true).unwrap();
    while writer.write(b"\n").is_ok() {}
    ioctl_fionbio(&writer, false).unwrap();
    (reader, writer)
}

/// A pipe into which writes do not block.
fn non_blocking_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = pipe().unwrap();
    ioctl_fionbio(&writer, true).unwrap();
    (reader, writer)
}

/// Reads to the end, in small pieces.
fn read_slowly(reader: PipeReader) -> JoinHandle<Vec<u8>> {
    read_counting(reader, Arc::default())
}

/// The same, counting lines.
fn read_counting(reader: PipeReader, lines: Arc<AtomicUsize>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let (mut reader, mut bytes) = (BufReader::with_capacity(100, reader), Vec::new());
        while reader.read_until(b'\n', &mut bytes).unwrap() > 0 {
            lines.fetch_add(1, Ordering::Relaxed);
        }
        bytes
    })
}

/// Reads to the end, line by line.
fn read_into(reader: PipeReader, log: Arc<Mutex<String>>) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(reader).lines() {
            log.lock().unwrap().push_str(&(line.unwrap() + "\n"));
        }
    })
}

/// Starts `b24relay` with `args`; its log goes to `stderr`.
fn start(folder: &Path, args: &[&str], stderr: PipeWriter) -> Relay {
    let mut run = command();
    run.args(args).current_dir(folder).stdout(Stdio::null());
    Relay::start_logging_to(run, folder, stderr.into())
}

/// Enough sinks and events for more log lines than the queue holds, at level `trace`.
const SINKS: usize = 20;
const EVENTS: usize = 2500;

#[tokio::test]
async fn a_log_that_nobody_reads_delays_no_delivery_and_no_stop() {
    let portal = Portal::start().await;
    let mut setup = Setup::new().with_source(&portal);
    for sink in 0..SINKS {
        setup = setup.with(&format!("[sinks.s{sink}]\ntype = \"file\"\npath = \"s{sink}.jsonl\""));
    }
    portal.record(1, EVENTS).await;
    let (reader, writer) = full_pipe();
    let mut relay = start(setup.folder(), &["--log-level", "trace", "run"], writer);
    let filed =
        |sink: usize| std::fs::read_to_string(setup.path(&format!("s{sink}.jsonl"))).unwrap_or_default();
    until("all is filed", async || (0..SINKS).all(|sink| filed(sink).lines().count() == EVENTS)).await;

    // The reader continues: the kept lines are complete, and a line reports how many are missing.
    let log = Arc::new(Mutex::new(String::new()));
    let reading = read_into(reader, Arc::clone(&log));
    until("it is told of a gap", async || log.lock().unwrap().contains("log lines were dropped")).await;
    assert_eq!(relay.stop().await, 0);
    reading.join().unwrap();
    let log = log.lock().unwrap();
    let notice = log.lines().find(|line| line.contains("log lines were dropped")).unwrap();
    let dropped: usize = notice.rsplit_once("lines=").unwrap().1.parse().unwrap();
    let delivered = log.lines().filter(|line| line.contains(" delivered ")).count();
    assert!(dropped > 0 && delivered + dropped >= SINKS * EVENTS, "{delivered} and {dropped}");
    assert!(log.lines().last().unwrap().contains("b24relay stopped"), "the last line comes, too");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_log_that_nobody_reads() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 3).await;
    let (_reader, writer) = full_pipe();
    let mut relay = start(setup.folder(), &["run"], writer);
    until("all three are filed", async || setup.filed_count() == 3).await;
    assert_eq!(relay.stop().await, 0);
}

#[tokio::test]
async fn an_end_by_an_error_says_why() {
    let setup = Setup::new().with("surplus = 1");
    for _ in 0..10 {
        let output = finished(&["run"], setup.folder()).await;
        assert!(stderr(&output).contains("surplus"), "{output:?}");
    }
}

#[tokio::test]
async fn an_end_by_an_error_does_not_wait_for_a_log_that_nobody_reads() {
    let setup = Setup::new().with("surplus = 1");
    let (_reader, writer) = full_pipe();
    assert_eq!(start(setup.folder(), &["run"], writer).exit_code().await, 78);
    let portal = Portal::start().await;
    portal.record(1, 3).await;
    let setup = Setup::new().with_source(&portal).with_stdout();
    let (_reader, writer) = full_pipe();
    let mut run = command();
    let (gone, stdout) = pipe().unwrap();
    drop(gone);
    run.arg("run").current_dir(setup.folder()).stdout(stdout);
    assert_eq!(Relay::start_logging_to(run, setup.folder(), writer.into()).exit_code().await, 74);
}

#[tokio::test]
async fn a_log_that_does_not_block_loses_no_line_and_tears_none() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.record(1, 3000).await;
    let (reader, writer) = non_blocking_pipe();
    let mut relay = start(setup.folder(), &["--log-level", "trace", "--log-format", "json", "run"], writer);
    until("all is filed", async || setup.filed_count() == 3000).await;
    let lines = Arc::default();
    let reading = read_counting(reader, Arc::clone(&lines));
    // The time limit for a slow reader at the exit is another test.
    until("all is read", async || lines.load(Ordering::Relaxed) > 3000).await;
    assert_eq!(relay.stop().await, 0);
    let log = String::from_utf8(reading.join().unwrap()).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let delivered = lines.filter(|line| line["message"] == "delivered");
    let ids: Vec<u64> = delivered.map(|line| line["event_id"].as_u64().unwrap()).collect();
    assert_exactly_once(&ids, &portal.ids(1).await);
}

#[tokio::test]
async fn a_standard_output_that_does_not_block_loses_no_event_and_tears_no_line() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_stdout();
    portal.record(1, 3000).await;
    let (reader, writer) = non_blocking_pipe();
    let reading = read_slowly(reader);
    let mut relay = Relay::start_with(setup.folder(), &["--once"], writer.into());
    assert_eq!(relay.exit_code().await, 0, "{}", relay.log());
    let printed = String::from_utf8(reading.join().unwrap()).unwrap();
    let ids =
        printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["eventId"].as_u64().unwrap());
    assert_exactly_once(&ids.collect::<Vec<_>>(), &portal.ids(1).await);
}

#[tokio::test]
async fn a_full_standard_output_that_does_not_block_leaves_a_stop_alone() {
    let portal = Portal::start().await;
    let setup = Setup::new().with("shutdown_grace = \"0s\"").with_source(&portal).with_stdout();
    portal.record(1, 3).await;
    let (reader, writer) = full_pipe();
    ioctl_fionbio(&writer, true).unwrap();
    let mut relay = Relay::start_with(setup.folder(), &[], writer.into());
    until("the batch is read", async || portal.polls().await > 0).await;
    // Remaining events are in the state file. With an attempt in flight there is no time to count them.
    assert!([0, 75].contains(&relay.stop().await), "{}", relay.log());
    drop(reader);
    let mut relay = setup.run();
    until("all three are printed", async || setup.printed_ids().len() == 3).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
}

#[tokio::test]
async fn what_a_command_answers_is_whole_on_a_standard_output_that_does_not_block() {
    for args in [&["completions", "bash"][..], &["run", "--help"]] {
        let (mut expected, mut out) = (Vec::new(), command());
        let (mut reader, writer) = pipe().unwrap();
        let mut child = out.args(args).stdout(writer).spawn().unwrap();
        drop(out);
        reader.read_to_end(&mut expected).unwrap();
        assert!(child.wait().unwrap().success());

        let (reader, writer) = non_blocking_pipe();
        let reading = read_slowly(reader);
        let mut out = command();
        let mut child = out.args(args).stdout(writer).spawn().unwrap();
        drop(out);
        assert!(child.wait().unwrap().success());
        assert!(reading.join().unwrap() == expected, "{args:?}");
    }
}

#[tokio::test]
async fn a_crash_leaves_no_core_and_no_other_process_reads_the_memory() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    let mut run = command();
    run.arg("run").current_dir(setup.folder());
    if rustix::process::geteuid().is_root() {
        // Root may read all memory; another user shows the difference.
        const NOBODY: u32 = 65534;
        std::os::unix::fs::chown(setup.folder(), Some(NOBODY), None).unwrap();
        std::os::unix::fs::chown(setup.path("b24relay.toml"), Some(NOBODY), None).unwrap();
        std::os::unix::process::CommandExt::uid(&mut run, NOBODY);
    }
    let mut relay = Relay::start_command(run, setup.folder(), Stdio::null());
    relay.until_logged("source started").await;
    let owner = |file: &str| {
        let path = format!("/proc/{}/{file}", relay.id());
        std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(path).unwrap())
    };
    assert_eq!(owner("environ"), 0, "the kernel gives the files of such a process to root");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", relay.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    relay.signal(Signal::QUIT);
    assert!(!relay.ended().await.core_dumped());
}
