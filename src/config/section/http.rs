//! `[http]`: the listener for operators and monitoring.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use b24_client::SecretText;
use config::Value;

use crate::config::parse::quote;
use crate::config::parse::table::Table;
use crate::config::parse::value;
use crate::config::secrets::secret::Token;
use crate::config::secrets::secret::{self, Secret};
use crate::config::secrets::secret_file::SecretFiles;

/// The minimum token length. A shorter token can be guessed.
const TOKEN_MIN: usize = 16;

/// The minimum number of different pairs of neighbouring characters, without pairs that follow each other in
/// the alphabet. A token with fewer can be guessed as well. Of random tokens with [`TOKEN_MIN`] hexadecimal
/// digits, one in a hundred has fewer; repeated words and rows of digits always have fewer.
const PAIRS_MIN: usize = 9;

/// The hint for a token that is missing or weak.
const MAKE_ONE: &str = "`b24relay secret new` makes one";

/// `[http]`, if `listen` is given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpConfig {
    /// `listen`: address and port.
    pub listen: SocketAddr,
    /// `token`: what whoever asks must have; `None` only on loopback.
    pub token: Option<SecretText>,
    /// `show_payloads`: the page shows the payloads of the latest events.
    pub shows_payloads: bool,
}

impl HttpConfig {
    /// Whether other machines may reach it, over plain http.
    pub fn is_exposed(&self) -> bool {
        !self.listen.ip().to_canonical().is_loopback()
    }
}

/// Reads the table and reports violations.
pub(crate) fn read(table: &mut Table<'_>, files: &SecretFiles) -> Option<HttpConfig> {
    let listen = table.take("listen", address);
    let has_token = table.has("token") || table.has("token_file");
    let token = secret::take_given::<Token>(table, ["token", "token_file"], files);
    let token = token.map(|token| Secret { key: token.key, value: token.value.0 });
    let shows_payloads = table.take_or("show_payloads", value::boolean, false);
    if let Some(token) = &token
        && is_weak(token.value.expose())
    {
        table.report(
            token.key,
            format!("is easy to guess: it must have at least {TOKEN_MIN} characters, and many different ones; {MAKE_ONE}"),
        );
    }
    let listen = listen?;
    if shows_payloads && token.is_none() && !has_token {
        table.report(
            "show_payloads",
            format!(
                "needs `token` or `token_file`, or every user of this machine can read the chats; {MAKE_ONE}"
            ),
        );
    }
    if !listen.ip().is_loopback() && token.is_none() && !has_token {
        table.report(
            "token",
            format!("is missing: `{listen}` can be reached by others; set it, or set `token_file`, or listen on 127.0.0.1; {MAKE_ONE}"),
        );
    }
    Some(HttpConfig { listen, token: token.map(|token| token.value), shows_payloads })
}

fn is_weak(token: &str) -> bool {
    let pairs: BTreeSet<&[u8]> =
        token.as_bytes().windows(2).filter(|pair| pair[0].abs_diff(pair[1]) > 1).collect();
    token.chars().count() < TOKEN_MIN || pairs.len() < PAIRS_MIN
}

fn address(value: &Value) -> Result<SocketAddr, String> {
    let text = value::text(value)?;
    text.parse().map_err(|_| {
        format!(
            "must be an address and a port, such as \"127.0.0.1:8687\" or \"[::1]:8687\", not {}",
            quote::text(&text)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_can_be_guessed_is_weak() {
        for weak in [
            "short",
            "aaaaaaaaaaaaaaaaaaaaaaaa",
            "0123456789abcdef",
            "00112233445566778899",
            "abcabcabcabcabcabcabcabc",
            "passwordpassword1",
            "changemechangemechangeme",
        ] {
            assert!(is_weak(weak), "{weak}");
        }
        let strong = [
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD8lYTmYF8sEA=",
            "9f86d081884c7d65",
            "correct horse battery staple",
        ];
        for strong in strong {
            assert!(!is_weak(strong), "{strong}");
        }
    }
}
