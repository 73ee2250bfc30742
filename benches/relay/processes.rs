//! The other processes of a run, and the commands of the contenders. All end when they are dropped.

use std::fs;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A process that is killed when it is dropped.
pub(crate) struct Background(pub Child);

impl Drop for Background {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Background {
    /// Starts `command` and waits for the first line of its output in which `find` finds a URL.
    fn start(
        mut command: Command,
        find: impl Fn(&str) -> Option<String>,
    ) -> (Self, BufReader<ChildStdout>, String) {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let url = lines.by_ref().lines().find_map(|line| find(&line.unwrap())).expect("no URL in the output");
        (Self(child), lines, url)
    }
}

/// An emulated portal with one user and a filled queue.
pub(crate) struct Portal {
    process: Background,
    _output: BufReader<ChildStdout>,
    pub url: String,
}

impl Portal {
    pub(crate) fn start(backlog: u32) -> Self {
        Self::start_with(backlog, &[])
    }

    /// The same with more arguments for `b24relay sandbox`.
    pub(crate) fn start_with(backlog: u32, args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_b24relay"));
        command.args(["sandbox", "--listen", "127.0.0.1:0", "--users", "1", "--rate", "0", "--subscribed"]);
        command.args(["--backlog", &backlog.to_string()]).args(args);
        let webhook = |line: &str| {
            Some(line.trim().split(' ').next()?.to_owned()).filter(|word| word.starts_with("http"))
        };
        let (process, output, url) = Background::start(command, webhook);
        Self { process, _output: output, url }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.0.id()
    }

    /// Asserts that a contender has neither left nor lost any event, because otherwise the result is invalid. The end
    /// of the queue may still be there, because `delivery.hold` keeps it.
    pub(crate) fn assert_drained(&self, events: u32) {
        let stats = &self.stats()["users"]["1"];
        assert_eq!((&stats["served"], &stats["confirmed_unserved"]), (&events.into(), &0.into()), "{stats}");
    }

    pub(crate) fn stats(&self) -> Value {
        self.ask("GET /sandbox/stats", "")
    }

    /// The answer of its control API.
    pub(crate) fn ask(&self, request: &str, body: &str) -> Value {
        let address = self.url.split('/').nth(2).unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let length = body.len();
        let head = format!("{request} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }
}

/// A webhook receiver.
pub(crate) struct Receiver {
    _process: Background,
    pub url: String,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let (process, _output, url) = Background::start(myself(&["receiver"]), |line| Some(line.to_owned()));
        Self { _process: process, url }
    }
}

/// This program in another role.
pub(crate) fn myself(role: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("--role").args(role);
    command
}

/// The configuration of the file sink.
pub(crate) const FILE: &str = "type = \"file\"\npath = \"events.jsonl\"";

/// Appended to a sink's lines: the portal may delete events that are in the journal.
pub(crate) const NO_HOLD: &str = "[delivery]\nhold = \"0s\"";

/// A source that polls as often as it may.
pub(crate) const EAGER: &str = "poll = { idle = \"10ms\", busy = \"0s\" }";

/// Appended to these lines: the source does not wait for late events, which a drain would wait for.
pub(crate) const PROMPT: &str = "confirm_lag = \"0s\"";

/// Starts `b24relay run` in `folder`, with one source and the sink in these lines. Its log is in `log`.
pub(crate) fn relay(folder: &Path, webhook_url: &str, sink: &str) -> Command {
    relay_with(folder, webhook_url, &format!("{EAGER}\n{PROMPT}"), &format!("[sinks.bench]\n{sink}"))
}

/// The same with more `lines` about the source, and `sections` of the configuration instead of a sink's lines.
///
/// The portal is configured without a rate limit: with the limit of a cloud portal, only the limit would be measured.
pub(crate) fn relay_with(folder: &Path, webhook_url: &str, lines: &str, sections: &str) -> Command {
    let authority = webhook_url.split('/').nth(2).unwrap();
    let config = format!(
        "state = \"b24relay.db\"\n\
         [sources.bench]\nwebhook_url = \"{webhook_url}\"\n{lines}\n\
         {sections}\n\
         [portals.\"{authority}\"]\nplan = \"self-hosted\"\n"
    );
    fs::write(folder.join("b24relay.toml"), config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_b24relay"));
    command.env_clear().arg("run").current_dir(folder).stderr(File::create(folder.join("log")).unwrap());
    command
}

/// A new folder on the disk of the build: on a memory disk `fdatasync` would cost nothing.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}
