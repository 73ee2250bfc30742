//! The first minutes: a configuration from a webhook's URL, a run without one, and the demo.

mod asking;
mod demo;
mod fileless;
mod init;
mod systemd;
