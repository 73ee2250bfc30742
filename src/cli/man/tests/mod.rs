//! The reference of all commands, which a test holds.

mod markdown; // makes `docs/reference/cli.md`
