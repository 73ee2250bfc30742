//! A client for Bitrix24: event queues, OAuth logins, rate limits, and every refusal with what to do about it.
//!
//! All sources of one portal share a [`PortalState`], and all users of one OAuth login an [`OAuthSession`].
//! A [`CallError`] has a [`Class`], the next action of the caller.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use b24_sandbox::{Sandbox, SandboxConfig, SeedRequest};
//! # let sandbox = Sandbox::start(SandboxConfig::default()).await?;
//! # sandbox.record(&SeedRequest { user: 1, count: Some(3), force: true, ..SeedRequest::default() }).expect("user 1 exists");
//! # let url = sandbox.webhook_url(1);
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use b24_client::{Credential, EventQueue, NoKeyValue, Offset, PortalClient, PortalConfig, PortalState};
//! use b24_client::http::Route;
//! use b24_client::{QueueKind, WebhookUrl};
//!
//! let webhook = WebhookUrl::parse(&url)?;
//! let portal = PortalState::open(webhook.url(), PortalConfig::default(), Arc::new(NoKeyValue)).await?;
//! let credential = Credential::Webhook(webhook);
//! let timeout = Duration::from_secs(30);
//! let client = PortalClient::try_new(Arc::new(portal), credential, timeout, Route::default())?;
//! let queue = EventQueue::new(client, QueueKind::User);
//! queue.subscribe().await?;
//! // `START` confirms nothing: the portal keeps what it returns.
//! let page = queue.poll(Offset::START, 100).await?;
//! assert_eq!(page.events.len(), 3);
//! // Only when these events are safe may a poll confirm them: the portal then deletes them.
//! let next = page.events.last().map_or(Offset::START, |event| event.id.next());
//! assert!(queue.poll(next, 100).await?.events.is_empty());
//! # sandbox.stop().await;
//! # Ok(()) }
//! ```

mod answer; // parses responses
mod class; // every refusal and the caller's next action, as a table
mod client; // one request
mod event; // ids, offsets, pages of a queue
mod facts; // what every portal does, as constants
pub mod foreign_text; // texts from outside, made safe to show
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod http; // all outgoing requests
mod key_value; // values that survive a restart
mod limits; // how often a portal may be asked
mod log_code; // the codes of warnings
pub mod methods; // the REST methods, by topic
mod oauth; // logins and their tokens
mod portal_state; // one portal as its sources share it
mod refusal; // a call without a result, and the text that is shown
pub mod secret; // credentials that are never shown
mod settings; // what a portal and a login are

pub use class::Class;
pub use client::{Credential, PortalClient, proxy_to};
pub use event::{EventId, OddEvents, Offset, Page, PageEvent};
pub use facts::{EVENT_LIFETIME, OPERATING_UNKNOWN, PAGE_MAX};
pub use key_value::{KeyValue, KeyValueError, NoKeyValue};
pub use limits::budget::Purpose;
pub use limits::tries::Tries;
pub use methods::queue::EventQueue;
pub use oauth::authorization::{Attempt, Authorization, TokenRequest, authorize_url};
pub use oauth::session::{OAuthSession, keep};
pub use oauth::tokens::{Tokens, TokensError};
pub use portal_state::{PortalState, home_key};
pub use refusal::CallError;
pub use secret::secret_text::SecretText;
pub use secret::secret_url::SecretUrl;
pub use secret::webhook_url::WebhookUrl;
pub use settings::{BotConfig, OAuthConfig, PortalConfig, QueueKind, RateConfig};
