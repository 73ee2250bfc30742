//! `[http]`: what operators and their tools look at the relay through.

use std::net::SocketAddr;

use config::Value;

use super::leaf;
use super::secret::{self, Secret};
use super::secret_file::SecretFiles;
use super::secret_text::{SecretText, Token};
use super::table::Table;

/// A shorter one can be guessed.
const TOKEN_MIN: usize = 16;

/// `[http]`, when it has `listen`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpConfig {
    /// `listen`: address and port.
    pub listen: SocketAddr,
    /// `token`: what whoever asks must have; `None` only on loopback.
    pub token: Option<SecretText>,
    /// `show_payloads`: the page shows what is in the latest events.
    pub shows_payloads: bool,
}

/// Reads it; what is wrong is noted.
pub(super) fn read(table: &mut Table<'_>, files: &SecretFiles) -> Option<HttpConfig> {
    let listen = table.take("listen", address);
    let token = secret::take_given::<Token>(table, ["token", "token_file"], files);
    let token = token.map(|token| Secret { key: token.key, value: token.value.0 });
    let shows_payloads = table.take("show_payloads", leaf::boolean).unwrap_or(false);
    if let Some(token) = &token
        && token.value.expose().len() < TOKEN_MIN
    {
        table.report(token.key, format!("must have at least {TOKEN_MIN} characters"));
    }
    let listen = listen?;
    if !listen.ip().is_loopback() && token.is_none() {
        table.report(
            "token",
            format!("is missing: `{listen}` can be reached by others; set it, or set `token_file`, or listen on 127.0.0.1"),
        );
    }
    Some(HttpConfig { listen, token: token.map(|token| token.value), shows_payloads })
}

fn address(value: &Value) -> Result<SocketAddr, String> {
    let text = leaf::text(value)?;
    text.parse().map_err(|_| {
        format!("must be an address and a port, such as \"127.0.0.1:8687\" or \"[::1]:8687\", not `{text}`")
    })
}
