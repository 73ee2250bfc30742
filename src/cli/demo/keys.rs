//! Acts by key, if there is a terminal.

use std::future;
use std::io::{self, IsTerminal as _, Read as _};

use rustix::termios::LocalModes;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::cli::demo::act::Act;
use crate::cli::output::input_mode::InputMode;

/// The keyboard of a terminal, or nothing.
pub(super) struct Keys(Option<Keyboard>);

struct Keyboard {
    pressed: UnboundedReceiver<Act>,
    /// Restored in the end.
    _mode: InputMode,
}

impl Keys {
    pub(super) fn listen() -> io::Result<Self> {
        if !io::stdin().is_terminal() {
            return Ok(Self(None));
        }
        // Each key counts without Enter. Ctrl-C remains a signal.
        let mode = InputMode::without(LocalModes::ICANON | LocalModes::ECHO)?;
        let (press, pressed) = unbounded_channel();
        // A thread that is blocked in this read does not delay the exit: the runtime does not wait for it.
        tokio::task::spawn_blocking(move || {
            for byte in io::stdin().lock().bytes().map_while(Result::ok) {
                if let Some(act) = act(byte)
                    && press.send(act).is_err()
                {
                    return;
                }
            }
        });
        Ok(Self(Some(Keyboard { pressed, _mode: mode })))
    }

    pub(super) fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// The next act. Without a keyboard there is none.
    pub(super) async fn next(&mut self) -> Option<Act> {
        let Some(keyboard) = &mut self.0 else { return future::pending().await };
        match keyboard.pressed.recv().await {
            Some(act) => Some(act),
            // The terminal was closed. A signal says so, too.
            None => future::pending().await,
        }
    }
}

fn act(key: u8) -> Option<Act> {
    match key.to_ascii_lowercase() {
        b'k' => Some(Act::KillRelay),
        b'r' => Some(Act::ToggleReceiver),
        b'p' => Some(Act::TogglePortal),
        b'q' => Some(Act::End),
        _ => None,
    }
}
