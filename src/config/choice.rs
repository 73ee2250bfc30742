//! The words of keys and flags that take one of a few: from text, with the allowed ones in the error.

use std::fmt;
use std::str::FromStr;

use super::{LogFormat, LogLevel, StdoutFormat};

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("must be `text` or `json`"),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

impl FromStr for LogLevel {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "error" => Ok(Self::Error),
            "warn" => Ok(Self::Warn),
            "info" => Ok(Self::Info),
            "debug" => Ok(Self::Debug),
            "trace" => Ok(Self::Trace),
            _ => Err("must be `error`, `warn`, `info`, `debug` or `trace`"),
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        })
    }
}

impl FromStr for StdoutFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err("must be `json` or `text`"),
        }
    }
}

/// A source's `kind`, before the keys that belong to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SourceKind {
    User,
    Bot,
}

impl FromStr for SourceKind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "user" => Ok(Self::User),
            "bot" => Ok(Self::Bot),
            _ => Err("must be `user` or `bot`"),
        }
    }
}

/// A portal's `plan`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Plan {
    Standard,
    Enterprise,
    SelfHosted,
}

impl FromStr for Plan {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "standard" => Ok(Self::Standard),
            "enterprise" => Ok(Self::Enterprise),
            "self-hosted" => Ok(Self::SelfHosted),
            _ => Err("must be `standard`, `enterprise` or `self-hosted`"),
        }
    }
}

/// A sink's `type`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SinkType {
    Stdout,
    File,
    Webhook,
}

impl SinkType {
    /// Every type there is.
    pub(super) const ALL: [Self; 3] = [Self::Stdout, Self::File, Self::Webhook];
}

impl FromStr for SinkType {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "stdout" => Ok(Self::Stdout),
            "file" => Ok(Self::File),
            "webhook" => Ok(Self::Webhook),
            _ => Err("must be `stdout`, `file` or `webhook`"),
        }
    }
}

impl fmt::Display for SinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stdout => "stdout",
            Self::File => "file",
            Self::Webhook => "webhook",
        })
    }
}

/// `delivery.mode`, as far as this version goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum DeliveryMode {
    Direct,
}

impl FromStr for DeliveryMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "direct" => Ok(Self::Direct),
            "journal" => Err("must be `direct` (the journal is not available in this version)"),
            _ => Err("must be `direct`"),
        }
    }
}
