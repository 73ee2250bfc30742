//! Modes of the terminal on standard input, which are restored in the end.

use std::io;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// The terminal lacks some modes until this is dropped.
pub(in crate::cli) struct InputMode {
    before: Termios,
}

impl InputMode {
    /// Takes away `modes`, such as the echo.
    pub(in crate::cli) fn without(modes: LocalModes) -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut changed = before.clone();
        changed.local_modes.remove(modes);
        // `Drain` keeps early input.
        tcsetattr(io::stdin(), OptionalActions::Drain, &changed)?;
        Ok(Self { before })
    }
}

impl Drop for InputMode {
    fn drop(&mut self) {
        // If it fails, the terminal is gone.
        tcsetattr(io::stdin(), OptionalActions::Drain, &self.before).ok();
    }
}
