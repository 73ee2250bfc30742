//! Reads the keys of a sink of type `webhook`.

use std::time::Duration;

use b24_client::SecretUrl;
use reqwest::header::HeaderMap;

use crate::config::parse::table::Table;
use crate::config::parse::value;
use crate::config::secrets::secret;
use crate::config::secrets::secret_file::SecretFiles;
use crate::config::section::connection::proxy::{self, ProxyConfig};
use crate::config::section::connection::tls::{self, TlsConfig};
use crate::config::section::networks::{self, PrivateNetworks};
use crate::config::section::sinks::authorization::{self, AuthConfig};
use crate::config::section::sinks::headers;
use crate::config::section::sinks::outcomes::{self, OutcomesConfig};
use crate::config::section::sinks::payload::{self, PayloadConfig};
use crate::config::{CompressConfig, Messenger};

/// The keys of a webhook. A file sink also has `compress`, and stdout also has `format`.
pub(crate) const KEYS: &[&str] = &[
    "url",
    "url_file",
    "timeout",
    "allow_http",
    "format",
    "template",
    "template_file",
    "content_type",
    "chat_id",
    "secrets",
    "secrets_file",
    "ordering",
    "concurrency",
    "batch",
    "breaker",
    "hold_after_rejections",
    "rate",
    "outcomes",
    "tls",
    "proxy",
    "proxy_file",
    "auth",
    "headers",
    "private_networks",
    "compress",
];

const TIMEOUT: Duration = Duration::from_secs(30);
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(100);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// The keys that belong only to a `webhook` sink.
#[derive(Clone, PartialEq, Debug)]
pub struct WebhookConfig {
    /// The URL to which events are posted.
    pub url: SecretUrl,
    /// The longest an attempt may take.
    pub timeout: Duration,
    /// The format and the signing of requests.
    pub payload: PayloadConfig,
    /// Statuses with a meaning other than the usual one.
    pub outcomes: OutcomesConfig,
    /// `tls`.
    pub tls: TlsConfig,
    /// `proxy`.
    pub proxy: ProxyConfig,
    /// `auth`.
    pub auth: Option<AuthConfig>,
    /// `headers`: their values are secrets.
    pub headers: HeaderMap,
    /// `private_networks`.
    pub private_networks: PrivateNetworks,
    /// `compress`: the body's encoding.
    pub compress: CompressConfig,
}

impl WebhookConfig {
    /// The default settings for `url`.
    pub fn of(url: SecretUrl) -> Self {
        Self {
            url,
            timeout: TIMEOUT,
            payload: PayloadConfig::default(),
            outcomes: OutcomesConfig::default(),
            tls: TlsConfig::default(),
            proxy: ProxyConfig::default(),
            auth: None,
            headers: HeaderMap::new(),
            private_networks: PrivateNetworks::default(),
            compress: CompressConfig::None,
        }
    }
}

/// Reads the keys and reports violations.
pub(crate) fn read(
    table: &mut Table<'_>,
    files: &SecretFiles,
    is_taken: &dyn Fn(&str) -> bool,
) -> Option<WebhookConfig> {
    let url = secret::take::<SecretUrl>(table, ["url", "url_file"], files);
    let is_http_fine = table.take_or("allow_http", value::boolean, false);
    if let Some(url) = url.as_ref().filter(|_| !is_http_fine) {
        secret::refuse_exposed(table, url.key, &url.value);
    }
    let timeout = table.take_or("timeout", value::duration(SHORTEST_TIMEOUT, LONGEST_TIMEOUT), TIMEOUT);
    let payload = payload::read(table, files, is_taken);
    if let (Some(url), Some(payload)) = (&url, &payload) {
        refuse_other_method(table, url.key, &url.value, payload);
    }
    let outcomes = table.table("outcomes", outcomes::read);
    let tls = table.table("tls", |table| tls::read(table, files));
    let proxy = proxy::read(table, files).unwrap_or_default();
    let has_auth = table.has("auth");
    let auth = table.given_table("auth", |table| authorization::read(table, files, is_http_fine)).flatten();
    let headers = table.table("headers", |table| headers::read(table, files, has_auth));
    let private_networks = networks::read(table, &proxy);
    let compress = table.take_or("compress", value::choice, CompressConfig::None);
    let url = url?.value;
    Some(WebhookConfig {
        url,
        timeout,
        payload: payload?,
        outcomes,
        tls,
        proxy,
        auth,
        headers,
        private_networks,
        compress,
    })
}

/// Refuses an address of Telegram's bot API that is not that of `sendMessage`.
fn refuse_other_method(table: &Table<'_>, key: &str, url: &SecretUrl, payload: &PayloadConfig) {
    let is_telegram = payload.body.service() == Some(Messenger::Telegram);
    if is_telegram && !url.expose().path().ends_with("/sendMessage") {
        table.report(
            key,
            "must be the address of `sendMessage`: https://api.telegram.org/botTOKEN/sendMessage",
        );
    }
}
