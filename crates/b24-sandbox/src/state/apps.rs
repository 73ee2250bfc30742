//! The applications of the portal, with the settings that developers and administrators enter.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::state::rng::Rng;

/// The client id of the default application.
pub(crate) const FIRST_CLIENT_ID: &str = "local.sandbox.1";

/// One application. Its fields are the keys of `POST /sandbox/apps`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct App {
    /// Its client id.
    pub client_id: String,
    /// Its secret for the authorization server.
    pub client_secret: String,
    /// The scopes of its tokens.
    pub scopes: Vec<String>,
    /// True if it is installed on the portal.
    pub installed: bool,
    /// True if it is enabled on the portal.
    pub active: bool,
    /// The page to which the browser is redirected after authorisation; `None` for the sandbox's own page.
    pub redirect_uri: Option<String>,
    /// The lifetime of an access token (PORTAL.md 5.2).
    pub access_lifetime_s: i64,
    /// The lifetime of a refresh token (PORTAL.md 5.2).
    pub refresh_lifetime_s: i64,
    /// How long an old refresh token stays valid after its rotation; 0 for not at all.
    pub grace_s: i64,
}

impl App {
    /// An installed application that may read queues and manage bots. Its secret is derived from `seed`.
    pub(crate) fn new(client_id: &str, seed: u64) -> Self {
        let purpose = client_id.bytes().fold(0, |sum: u64, byte| sum.wrapping_mul(31) + u64::from(byte));
        Self {
            client_id: client_id.into(),
            client_secret: Rng::new(seed, purpose).code(50),
            scopes: vec!["im".into(), "imbot".into()],
            installed: true,
            active: true,
            redirect_uri: None,
            access_lifetime_s: 3600,
            refresh_lifetime_s: 180 * 24 * 3600,
            grace_s: 0,
        }
    }
}

/// False values for the next refresh response of an application, used once.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NextRefresh {
    user_id: Option<u64>,
    client_endpoint: Option<String>,
}

impl NextRefresh {
    /// Puts the values into the response.
    pub(crate) fn bend(self, body: &mut Value) {
        if let Some(user_id) = self.user_id {
            body["user_id"] = json!(user_id);
        }
        if let Some(client_endpoint) = self.client_endpoint {
            body["client_endpoint"] = json!(client_endpoint);
        }
    }
}

/// The portal's applications at the start, by client id.
pub(crate) fn first(seed: u64) -> BTreeMap<String, App> {
    BTreeMap::from([(FIRST_CLIENT_ID.into(), App::new(FIRST_CLIENT_ID, seed))])
}
