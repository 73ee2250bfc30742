//! Reads the secret that a bot was registered with.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::Context as _;

use crate::cli::exit::UsageError;
use crate::config::{QueueKind, SecretText, SourceConfig, token_of_file};

/// Longer than any token or client id, in bytes: a longer file is the wrong file.
const SECRET_MAX: u64 = 1024;

/// Returns the secret in the file, otherwise the token of a source that is a bot. An application needs none.
pub(super) fn choose(
    source: &SourceConfig,
    file: Option<&Path>,
    flag: &str,
) -> anyhow::Result<Option<SecretText>> {
    if let Some(file) = file {
        return read_secret(file).map(Some);
    }
    let own = match &source.kind {
        QueueKind::User => None,
        QueueKind::Bot(bot) => bot.token.as_ref(),
    };
    if own.is_none() && source.webhook().is_some() {
        let text = format!(
            "with a webhook the portal wants the secret that the bot was registered with: give {flag} FILE"
        );
        return Err(UsageError(text).into());
    }
    Ok(own.cloned())
}

fn read_secret(file: &Path) -> anyhow::Result<SecretText> {
    let is_stdin = file == Path::new("-");
    let mut bytes = Vec::new();
    let opened: io::Result<Box<dyn Read>> =
        if is_stdin { Ok(Box::new(io::stdin())) } else { File::open(file).map(|file| Box::new(file) as _) };
    opened
        .and_then(|reader| reader.take(SECRET_MAX + 1).read_to_end(&mut bytes))
        .with_context(|| format!("read the secret from `{}`", file.display()))?;
    if bytes.len() as u64 > SECRET_MAX {
        return Err(UsageError(format!("`{}` must hold the secret and nothing else", file.display())).into());
    }
    token_of_file(bytes).map_err(|rule| UsageError(format!("`{}` {rule}", file.display())).into())
}
