//! The values of keys and flags that accept one of a few words. Parse errors list the allowed words.

use std::fmt;
use std::str::FromStr;

use crate::config::section::delivery::DeliveryMode;
use crate::config::{
    CompressConfig, LogFormat, LogLevel, OrderingConfig, StartConfig, StdoutFormat, WhenFull,
};

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

impl FromStr for OrderingConfig {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "strict" => Ok(Self::Strict),
            "chat" => Ok(Self::Chat),
            "none" => Ok(Self::None),
            _ => Err("must be `strict`, `chat` or `none`"),
        }
    }
}

impl FromStr for CompressConfig {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::None),
            "gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            _ => Err("must be `none`, `gzip` or `zstd`"),
        }
    }
}

/// A source's `kind`, without the keys that belong to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum SourceKind {
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
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Plan {
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
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum SinkType {
    Stdout,
    File,
    Webhook,
}

impl SinkType {
    /// Every sink type.
    pub(crate) const ALL: [Self; 3] = [Self::Stdout, Self::File, Self::Webhook];
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

impl FromStr for DeliveryMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "direct" => Ok(Self::Direct),
            "journal" => Ok(Self::Journal),
            _ => Err("must be `direct` or `journal`"),
        }
    }
}

impl FromStr for WhenFull {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "wait" => Ok(Self::Wait),
            "drop_oldest" => Ok(Self::DropOldest),
            _ => Err("must be `wait` or `drop_oldest`"),
        }
    }
}

impl FromStr for StartConfig {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "oldest" => Ok(Self::Oldest),
            "now" => Ok(Self::Now),
            _ => Err("must be `oldest` or `now`"),
        }
    }
}
