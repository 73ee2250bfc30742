//! The sandbox's first application, as a source's credential instead of a webhook.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{code, finished, stderr};
use crate::support::process::setup::Setup;

/// The `client_id` of the application.
pub(crate) const CLIENT_ID: &str = "local.sandbox.1";

/// `[sources.NAME.oauth]`, to be placed after the other keys of the source.
pub(crate) async fn oauth_table(portal: &Portal, name: &str) -> String {
    let apps = portal.control(Method::GET, "apps", Value::Null).await;
    let (base, secret) = (portal.base_url(), &apps[0]["client_secret"]);
    format!(
        "[sources.{name}.oauth]\nportal = \"{base}\"\nserver = \"{base}\"\n\
         client_id = \"{CLIENT_ID}\"\nclient_secret = {secret}"
    )
}

/// Logs `user` in for a source of a complete configuration, with a pair of tokens and without a browser.
pub(crate) async fn log_in(portal: &Portal, setup: &Setup, source: &str, user: u64) {
    let pair = portal.post(&format!("apps/{CLIENT_ID}/login"), json!({"user": user})).await;
    std::fs::write(setup.path("pair.json"), pair.to_string()).unwrap();
    let login = finished(&["login", source, "--tokens", "pair.json"], setup.folder()).await;
    assert_eq!(code(&login), 0, "{}", stderr(&login));
}
