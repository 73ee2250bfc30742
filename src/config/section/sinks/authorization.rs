//! `sinks.NAME.auth`: how the relay authenticates to a receiver.

use b24_client::SecretText;
use b24_client::SecretUrl;

use crate::config::parse::enums::words;
use crate::config::parse::table::Table;
use crate::config::parse::value;
use crate::config::secrets::secret;
use crate::config::secrets::secret::Token;
use crate::config::secrets::secret_file::SecretFiles;

/// `auth`, by its `type`.
#[derive(Clone, PartialEq, Debug)]
pub enum AuthConfig {
    /// `"basic"`.
    Basic {
        /// `user`.
        user: SecretText,
        /// `password`.
        password: SecretText,
    },
    /// `"bearer"`: the `token`.
    Bearer(SecretText),
    /// `"oauth2"`: tokens from a server, with the client credentials grant (RFC 6749, 4.4).
    OAuth2(ClientConfig),
}

/// `auth` of type `oauth2`.
#[derive(Clone, PartialEq, Debug)]
pub struct ClientConfig {
    /// `token_url`.
    pub token_url: SecretUrl,
    /// `client_id`.
    pub client_id: String,
    /// `client_secret`: for `token_url` alone.
    pub client_secret: SecretText,
    /// `scope`: the scope to request; without it, the server decides.
    pub scope: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum AuthType {
    Basic,
    Bearer,
    OAuth2,
}

impl AuthType {
    const ALL: [Self; 3] = [Self::Basic, Self::Bearer, Self::OAuth2];

    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Basic => &["user", "password", "password_file"],
            Self::Bearer => &["token", "token_file"],
            Self::OAuth2 => &["token_url", "client_id", "client_secret", "client_secret_file", "scope"],
        }
    }
}

words!(AuthType: "basic" => Basic, "bearer" => Bearer, or "oauth2" => OAuth2);

/// Reads the table and reports violations.
pub(crate) fn read(table: &mut Table<'_>, files: &SecretFiles, is_http_fine: bool) -> Option<AuthConfig> {
    let hint = "set it to `basic`, `bearer` or `oauth2`";
    let auth_type = table.require("type", hint, value::choice::<AuthType>);
    for other in AuthType::ALL.into_iter().filter(|other| Some(*other) != auth_type) {
        match auth_type {
            Some(own) => {
                let (other_word, own_word) = (other.word(), own.word());
                let reason =
                    format!("belongs to the type `{other_word}`, and this one is `{own_word}`: remove it");
                table.refuse(other.keys(), &reason);
            }
            None => table.skip(other.keys()),
        }
    }
    match auth_type? {
        AuthType::Basic => read_basic(table, files),
        AuthType::Bearer => {
            Some(AuthConfig::Bearer(secret::take::<Token>(table, ["token", "token_file"], files)?.value.0))
        }
        AuthType::OAuth2 => read_oauth2(table, files, is_http_fine),
    }
}

fn read_basic(table: &mut Table<'_>, files: &SecretFiles) -> Option<AuthConfig> {
    let user = table.require("user", "set it to the user's name", |value| {
        let user = value::word(value)?;
        if user.contains(':') {
            return Err("must not hold a `:`, which ends the name".to_owned());
        }
        Ok(SecretText::new(user))
    });
    let password = secret::take(table, ["password", "password_file"], files);
    Some(AuthConfig::Basic { user: user?, password: password?.value })
}

fn read_oauth2(table: &mut Table<'_>, files: &SecretFiles, is_http_fine: bool) -> Option<AuthConfig> {
    let token_url = table.require("token_url", "set it to where the server hands out tokens", |value| {
        SecretUrl::parse(&value::word(value)?).map_err(str::to_owned)
    });
    if let Some(url) = token_url.as_ref().filter(|_| !is_http_fine) {
        secret::refuse_exposed(table, "token_url", url);
    }
    let client_id = table.require("client_id", "set it to what the server knows us by", value::word);
    let client_secret = secret::take(table, ["client_secret", "client_secret_file"], files);
    let scope = table.take("scope", value::text);
    Some(AuthConfig::OAuth2(ClientConfig {
        token_url: token_url?,
        client_id: client_id?,
        client_secret: client_secret?.value,
        scope,
    }))
}
