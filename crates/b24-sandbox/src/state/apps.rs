//! The applications of the portal: their cards, as a developer and an administrator fill them in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::state::rng::Dice;

/// The application that is there from the start.
pub const FIRST_CLIENT_ID: &str = "local.sandbox.1";

/// One application. Its fields are the keys of `POST /sandbox/apps`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// Who it is.
    pub client_id: String,
    /// How it proves that to the authorization server.
    pub client_secret: String,
    /// What its tokens may do.
    pub scopes: Vec<String>,
    /// Installed on the portal.
    pub installed: bool,
    /// Switched on there.
    pub active: bool,
    /// Where an authorised browser lands; `None` is the sandbox's own page.
    pub redirect_uri: Option<String>,
    /// How long an access token lives (PORTAL.md 5.2).
    pub access_lifetime_s: i64,
    /// How long a refresh token lives (PORTAL.md 5.2).
    pub refresh_lifetime_s: i64,
    /// How long an old refresh token goes on working after its rotation; 0 is not at all.
    pub grace_s: i64,
}

impl App {
    /// An installed application that may read queues and keep bots; its secret follows from `seed`.
    pub fn new(client_id: &str, seed: u64) -> Self {
        let purpose = client_id.bytes().fold(0, |sum: u64, byte| sum.wrapping_mul(31) + u64::from(byte));
        Self {
            client_id: client_id.into(),
            client_secret: Dice::new(seed, purpose).code(50),
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

/// What the next refresh answer of an application says instead of the truth, once.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NextRefresh {
    user_id: Option<u64>,
    client_endpoint: Option<String>,
}

impl NextRefresh {
    /// Makes the answer say it.
    pub fn bend(self, body: &mut Value) {
        if let Some(user_id) = self.user_id {
            body["user_id"] = json!(user_id);
        }
        if let Some(client_endpoint) = self.client_endpoint {
            body["client_endpoint"] = json!(client_endpoint);
        }
    }
}

/// The portal's applications at the start, by client id.
pub fn first(seed: u64) -> BTreeMap<String, App> {
    BTreeMap::from([(FIRST_CLIENT_ID.into(), App::new(FIRST_CLIENT_ID, seed))])
}
