//! A terminal for one command: it keeps the output, has a given size, and sets the given environment.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::support::process::relay::{Relay, command};
use crate::support::process::waiting::until;

/// The two sides of a terminal. The terminal is closed with the first; programs get the second.
pub(crate) fn pair() -> (OwnedFd, OwnedFd) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let slave = open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    (master, slave)
}

pub(crate) struct Terminal {
    written: Arc<Mutex<Vec<u8>>>,
    slave: OwnedFd,
    keyboard: File,
    reader: JoinHandle<()>,
}

impl Terminal {
    pub(crate) fn open(rows: u16, columns: u16) -> Self {
        let (master, slave) = pair();
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).unwrap();
        let written = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&written);
        let keyboard = File::from(master.try_clone().unwrap());
        // Ends after the last writer has closed it.
        let reader = thread::spawn(move || {
            let (mut master, mut bytes) = (File::from(master), [0; 4096]);
            while let Ok(count @ 1..) = master.read(&mut bytes) {
                kept.lock().unwrap().extend_from_slice(&bytes[..count]);
            }
        });
        Self { written, slave, keyboard, reader }
    }

    /// Starts a command with this terminal as its standard output.
    pub(crate) fn start(&self, args: &[&str], environment: &[(&str, &str)], folder: &Path) -> Relay {
        let mut command = command();
        command.args(args).current_dir(folder).env("TERM", "xterm").envs(environment.iter().copied());
        Relay::start_command(command, folder, Stdio::from(self.slave.try_clone().unwrap()))
    }

    /// Starts a command with this terminal as its standard input, output and error.
    pub(crate) fn start_asking(&self, args: &[&str], folder: &Path) -> Relay {
        let side = || Stdio::from(self.slave.try_clone().unwrap());
        let mut command = command();
        command.args(args).current_dir(folder).env("TERM", "xterm").stdin(side()).stdout(side());
        Relay::start_logging_to(command, folder, side())
    }

    /// Types `text`, once `question` was shown.
    pub(crate) async fn answer(&self, question: &str, text: &str) {
        until(question, async || self.written().contains(question)).await;
        (&self.keyboard).write_all(text.as_bytes()).unwrap();
    }

    /// Whether the terminal shows what is typed.
    pub(crate) fn shows_input(&self) -> bool {
        tcgetattr(&self.slave).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    /// The same, after the last writer has closed it.
    pub(crate) fn ended(self) -> String {
        drop(self.slave);
        self.reader.join().unwrap();
        String::from_utf8_lossy(&self.written.lock().unwrap()).replace("\r\n", "\n")
    }

    /// All output, with the line ends that the command wrote.
    pub(crate) fn written(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap()).replace("\r\n", "\n")
    }
}
