//! How a file is compressed, and how such a file is called.

use std::path::{Path, PathBuf};

use crate::config::CompressConfig;

/// A compression format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    Gzip,
    Zstd,
}

impl Format {
    /// All formats.
    pub(crate) const ALL: [Self; 2] = [Self::Gzip, Self::Zstd];

    /// The format in the configuration.
    pub(crate) fn of(config: CompressConfig) -> Option<Self> {
        match config {
            CompressConfig::None => None,
            CompressConfig::Gzip => Some(Self::Gzip),
            CompressConfig::Zstd => Some(Self::Zstd),
        }
    }

    /// The suffix for the name of a compressed file.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }

    /// The bytes it begins with.
    pub(crate) fn magic(self) -> &'static [u8] {
        match self {
            Self::Gzip => &[0x1f, 0x8b],
            Self::Zstd => &[0x28, 0xb5, 0x2f, 0xfd],
        }
    }

    /// The path of the compressed form of `path`.
    pub(crate) fn beside(self, path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(self.suffix());
        name.into()
    }
}
