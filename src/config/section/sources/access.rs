//! Reads the credential of a source: a webhook, its own login, or the login of another source.

use b24_client::SecretText;
use b24_client::SecretUrl;
use b24_client::secret::webhook_url::{WebhookUrl, is_example_portal};

use crate::config::OAuthConfig;
use crate::config::parse::table::Table;
use crate::config::parse::value;
use crate::config::secrets::secret::{self, Secret};
use crate::config::secrets::secret_file::SecretFiles;

/// The keys that belong only to a source with its own login.
const LOGIN_KEYS: [&str; 5] = ["portal", "client_id", "client_secret", "client_secret_file", "server"];

/// A credential as read, perhaps incomplete.
pub(crate) enum RawAccess {
    /// `webhook_url` or `webhook_url_file`; `None` if it is invalid.
    Webhook(Option<Secret<WebhookUrl>>),
    /// `oauth` with its own login.
    Login(RawLogin),
    /// `oauth` with the login of the named source; `None` if the name is invalid.
    Grant(Option<String>),
    /// None of them, or several.
    Unclear,
}

/// `oauth` without `grant`.
pub(crate) struct RawLogin {
    pub(crate) portal: Option<SecretUrl>,
    client_id: Option<String>,
    client_secret: Option<SecretText>,
    server: Option<SecretUrl>,
}

impl RawLogin {
    /// The login, which belongs to `owner`, if no part is missing.
    pub(crate) fn complete(&self, owner: &str) -> Option<OAuthConfig> {
        Some(OAuthConfig {
            grant: owner.to_owned(),
            portal: self.portal.clone()?,
            client_id: self.client_id.clone()?,
            client_secret: self.client_secret.clone()?,
            server: self.server.clone(),
        })
    }
}

impl RawAccess {
    /// The portal, if it is given here.
    pub(crate) fn portal(&self) -> Option<&SecretUrl> {
        match self {
            Self::Webhook(webhook) => webhook.as_ref().map(|webhook| webhook.value.url()),
            Self::Login(login) => login.portal.as_ref(),
            Self::Grant(_) | Self::Unclear => None,
        }
    }

    /// Every address that receives secrets, with the key that gives it.
    pub(crate) fn addresses(&self) -> Vec<(&'static str, &SecretUrl)> {
        match self {
            Self::Webhook(webhook) => {
                webhook.iter().map(|webhook| (webhook.key, webhook.value.url())).collect()
            }
            Self::Login(login) => [("oauth.portal", &login.portal), ("oauth.server", &login.server)]
                .into_iter()
                .filter_map(|(key, url)| Some((key, url.as_ref()?)))
                .collect(),
            Self::Grant(_) | Self::Unclear => Vec::new(),
        }
    }
}

/// Reads the credential of the source in `table` and reports violations.
pub(crate) fn read(table: &mut Table<'_>, files: &SecretFiles) -> RawAccess {
    let has_webhook = table.has("webhook_url") || table.has("webhook_url_file");
    let has_oauth = table.has("oauth");
    let webhook = secret::take_given::<WebhookUrl>(table, ["webhook_url", "webhook_url_file"], files);
    if let Some(Secret { key, value }) = &webhook
        && let Some(example) = value.example()
    {
        table.report(key, format!("is a placeholder, {example}: set it to the URL that the portal shows for the incoming webhook"));
    }
    let oauth = table.given_table("oauth", |table| read_oauth(table, files));
    match (has_webhook, has_oauth) {
        (true, false) => return RawAccess::Webhook(webhook),
        (false, true) => return oauth.unwrap_or(RawAccess::Unclear),
        (true, true) => {
            table.report("oauth", "must not be given together with `webhook_url`: keep one of the two");
        }
        (false, false) => table.report(
            "webhook_url",
            "is missing: set it, or put it into a file and set `webhook_url_file` to that file's path, \
             or log in as an application with an `oauth` table",
        ),
    }
    RawAccess::Unclear
}

fn read_oauth(table: &mut Table<'_>, files: &SecretFiles) -> RawAccess {
    let is_grant = table.has("grant");
    let grant = table.take("grant", value::word);
    if is_grant {
        table.refuse(
            &LOGIN_KEYS,
            "does not go with `grant`, which takes all of the login from another source: remove one of the two",
        );
        return RawAccess::Grant(grant);
    }
    let portal = table.require("portal", "set it to the portal's address, `https://HOST`", origin);
    if portal.as_ref().is_some_and(is_example_portal) {
        table.report(
            "portal",
            "is a placeholder, the host of the examples: set it to the portal's own address",
        );
    }
    RawAccess::Login(RawLogin {
        portal,
        client_id: table.require(
            "client_id",
            "set it to the application's, as the portal shows it",
            value::word,
        ),
        client_secret: secret::take(table, ["client_secret", "client_secret_file"], files)
            .map(|secret| secret.value),
        server: table.take("server", origin),
    })
}

/// Parses the address of a server. The error does not repeat it, because a webhook URL is easily put in its
/// place.
fn origin(value: &config::Value) -> Result<SecretUrl, String> {
    SecretUrl::parse_origin(&value::word(value)?).map_err(str::to_owned)
}
