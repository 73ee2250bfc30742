//! Calls to check a portal before it is used: the owner of the credential, its permissions, and the portal's
//! clock (PORTAL.md 1.4).
//!
//! Each function makes one call and fails like [`PortalClient::call`].

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::answer::lenient;
use crate::client::PortalClient;
use crate::refusal::CallError;

/// The user who owns a credential.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Profile {
    /// The user for whom every call acts.
    pub user_id: u64,
    /// First and last name; may be empty.
    pub name: String,
    /// True for an administrator of the portal.
    pub is_admin: bool,
}

/// Whether a method can be called.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub struct Availability {
    /// The portal knows the method. It may cache a false for up to 7 days.
    #[serde(default, rename = "isExisting", deserialize_with = "lenient::flag")]
    pub is_existing: bool,
    /// This credential may call it.
    #[serde(default, rename = "isAvailable", deserialize_with = "lenient::flag")]
    pub is_available: bool,
}

/// The portal's information on an application, or on the scope and plan of a webhook. Every part may be
/// missing.
#[derive(Clone, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(default)]
pub struct App {
    /// `STATUS`: L local, F free, D demo, T trial, P paid, S subscription.
    #[serde(rename = "STATUS", deserialize_with = "lenient::text")]
    pub status: String,
    /// `LICENSE`: the portal's plan.
    #[serde(rename = "LICENSE", deserialize_with = "lenient::text")]
    pub licence: String,
    /// `PAYMENT_EXPIRED`: the paid or trial period is over.
    #[serde(rename = "PAYMENT_EXPIRED", deserialize_with = "lenient::flag")]
    pub is_payment_expired: bool,
}

/// `profile`: the user who owns the credential.
pub async fn profile(client: &PortalClient) -> Result<Profile, CallError> {
    let answer: ProfileAnswer = client.call("profile", &Map::new()).await?;
    Ok(answer.presentable(client).await)
}

/// The portal's response to `profile`.
#[derive(Deserialize)]
pub struct ProfileAnswer {
    #[serde(rename = "ID", deserialize_with = "lenient::number")]
    id: u64,
    #[serde(default, rename = "ADMIN", deserialize_with = "lenient::flag")]
    admin: bool,
    #[serde(default, rename = "NAME", deserialize_with = "lenient::text")]
    first: String,
    #[serde(default, rename = "LAST_NAME", deserialize_with = "lenient::text")]
    last: String,
}

impl ProfileAnswer {
    /// The part that is safe to show, without the secrets of `client`.
    pub async fn presentable(self, client: &PortalClient) -> Profile {
        let name = client.presentable(format!("{} {}", self.first, self.last).trim()).await;
        Profile { user_id: self.id, name, is_admin: self.admin }
    }
}

/// `scope`: the permissions of the credential, such as `im`.
pub async fn scopes(client: &PortalClient) -> Result<Vec<String>, CallError> {
    #[derive(Deserialize)]
    struct Wire(#[serde(deserialize_with = "lenient::rows")] Vec<String>);
    let Wire(scopes) = client.call("scope", &Map::new()).await?;
    Ok(join_all(scopes.iter().map(|scope| client.presentable(scope))).await)
}

/// `method.get`: whether `method` can be called. A false is not final.
pub async fn availability(client: &PortalClient, method: &str) -> Result<Availability, CallError> {
    #[derive(Serialize)]
    struct Params {
        name: String,
    }
    client.call("method.get", &Params { name: method.to_lowercase() }).await
}

/// `server.time`: how far the portal's clock is ahead of ours. The portal returns whole seconds.
pub async fn clock_skew(client: &PortalClient) -> Result<SignedDuration, CallError> {
    struct Wire(Timestamp);
    impl<'de> Deserialize<'de> for Wire {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let written = lenient::text(deserializer)?;
            let time = written.parse().map_err(|_| D::Error::custom("another text, expected a date"))?;
            Ok(Self(time))
        }
    }
    let asked = Timestamp::now();
    let Wire(theirs) = client.call("server.time", &Map::new()).await?;
    // The portal read its clock between the request and the response.
    let ours = asked + Timestamp::now().duration_since(asked) / 2;
    Ok(theirs.duration_since(ours))
}

/// `app.info`: the portal's information on the application.
pub async fn app(client: &PortalClient) -> Result<App, CallError> {
    /// The portal may write an empty object as a list.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Wire {
        App(App),
        Empty([(); 0]),
    }
    let app = match client.call("app.info", &Map::new()).await? {
        Wire::App(app) => app,
        Wire::Empty([]) => App::default(),
    };
    let (status, licence) = (client.presentable(&app.status).await, client.presentable(&app.licence).await);
    Ok(App { status, licence, ..app })
}
