//! b24relay reads a Bitrix24 user's event queue and delivers every event to sinks without losing one.
//!
//! One call of the portal both reads the queue and deletes everything below the given offset. So the relay asks for a
//! later offset only after every sink has stored all events below it durably:
//!
//! ```text
//!  portal queue ──poll(offset)──▶ source ──Batch──▶ dispatcher ──▶ lane ──▶ sink     one lane per sink
//!       ▲                                                           │
//!       └────────── next poll's offset ◀── store.checkpoint ◀───────┘  commit, only after settle
//! ```
//!
//! Invariants, each kept by the file that names it:
//! - I1 A checkpoint covers an event only after that sink settled it ([`relay`], lane).
//! - I2 The offset sent upstream is never above the lowest checkpoint of the source's sinks ([`relay`], source).
//! - I3 Durable before confirmed: fsync, then commit, then confirm upstream ([`store`]).
//! - I4 Checkpoints never move back ([`store`]).
//! - I5 `data` passes through byte for byte ([`event`]).
//! - I6 kill -9 is always safe: it costs duplicates, never events ([`relay`]).
//! - I7 Cancellation is checked only at points where the code waits ([`shutdown`], [`relay`]).
//!
//! In reading order:
//! - [`event`]: the vocabulary: event, offset, batch, queue; [`checkpoint`]: which events a lane has settled.
//! - [`relay`]: the engine: the source's loop, its pace, the lanes.
//! - [`portal`]: all communication with Bitrix24, and the meaning of each answer.
//! - [`sink`]: the destinations: standard output, file, webhook.
//! - [`store`]: the state file.
//! - [`config`]: the validated configuration.
//! - [`health`]: the state of each source and each lane; [`service`]: metrics and the status page for the operator's
//!   tools.
//! - [`cli`]: the commands.
//! - [`http_client`], [`foreign_text`], [`retry`], [`shutdown`], [`spelling`], [`stdio`], [`telemetry`],
//!   [`wall_clock`], [`failpoint`]: small modules with one purpose each, used by all of the above.

mod blocking;
pub mod chat;
pub mod checkpoint;
pub mod cli;
pub mod config;
pub mod event;
pub mod failpoint;
pub mod foreign_text;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod health;
pub mod http_client;
mod log_code;
pub mod portal;
pub mod relay;
pub mod retry;
pub mod service;
pub mod shutdown;
pub mod sink;
pub mod spelling;
pub mod stdio;
pub mod store;
pub mod telemetry;
pub mod wall_clock;
