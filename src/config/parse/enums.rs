//! The values of keys and flags that accept one of a few words. Parse errors list the allowed words.

use crate::config::section::delivery::DeliveryMode;
use crate::config::{
    CompressConfig, LogFormat, LogLevel, OrderingConfig, StartConfig, StdoutFormat, WhenFull,
};

/// Implements `FromStr`, `word` and `Display` for an enum by the words of the configuration.
macro_rules! words {
    ($type:ty: $first:literal => $first_variant:ident
        $(, $word:literal => $variant:ident)* , or $last:literal => $last_variant:ident) => {
        impl std::str::FromStr for $type {
            type Err = &'static str;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $first => Ok(Self::$first_variant),
                    $($word => Ok(Self::$variant),)*
                    $last => Ok(Self::$last_variant),
                    _ => Err(concat!("must be `", $first, "`", $(", `", $word, "`",)* " or `", $last, "`")),
                }
            }
        }

        impl $type {
            /// The word in the configuration.
            pub(crate) fn word(self) -> &'static str {
                match self {
                    Self::$first_variant => $first,
                    $(Self::$variant => $word,)*
                    Self::$last_variant => $last,
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

pub(in crate::config) use words;

/// A source's `kind`, without the keys that belong to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum SourceKind {
    User,
    Bot,
}

/// A portal's `plan`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Plan {
    Standard,
    Enterprise,
    SelfHosted,
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

words!(LogFormat: "text" => Text, or "json" => Json);
words!(LogLevel: "error" => Error, "warn" => Warn, "info" => Info, "debug" => Debug, or "trace" => Trace);
words!(StdoutFormat: "json" => Json, or "text" => Text);
words!(OrderingConfig: "strict" => Strict, "chat" => Chat, or "none" => None);
words!(CompressConfig: "none" => None, "gzip" => Gzip, or "zstd" => Zstd);
words!(SourceKind: "user" => User, or "bot" => Bot);
words!(Plan: "standard" => Standard, "enterprise" => Enterprise, or "self-hosted" => SelfHosted);
words!(SinkType: "stdout" => Stdout, "file" => File, or "webhook" => Webhook);
words!(DeliveryMode: "direct" => Direct, or "journal" => Journal);
words!(WhenFull: "wait" => Wait, or "drop_oldest" => DropOldest);
words!(StartConfig: "oldest" => Oldest, or "now" => Now);
