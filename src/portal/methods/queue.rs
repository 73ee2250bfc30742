//! One event queue, a user's or a bot's: subscribe, peek, poll, unsubscribe (PORTAL.md 2 and 3.1).

use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::Map;
use tracing::warn;

use crate::config::KindConfig;
use crate::event::{Batch, Event, Offset, Queue};
use crate::log_code;
use crate::portal::answer::odd::read_page;
use crate::portal::answer::shapes::{Item, Page};
use crate::portal::client::{Dated, PortalClient};
use crate::portal::limits::budget::Purpose;
use crate::portal::methods::account::ProfileAnswer;
use crate::portal::oauth::session::OAuthSession;
use crate::portal::refusal::CallError;
use crate::portal::upstream::Upstream;

/// The queue behind a credential.
pub struct EventQueue {
    client: PortalClient,
    queue: Arc<Queue>,
    kind: KindConfig,
}

/// The parameters of a poll, for both kinds of queue.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GetParams<'a> {
    offset: u64,
    limit: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    bot_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bot_token: Option<&'a str>,
    /// A JSON boolean, because the portal treats any text as true.
    #[serde(skip_serializing_if = "Option::is_none")]
    with_user_events: Option<bool>,
}

impl EventQueue {
    /// The queue of `kind` that `client`'s credential reads, with the names in `queue`.
    pub fn new(client: PortalClient, queue: Arc<Queue>, kind: KindConfig) -> Self {
        let secret = match &kind {
            KindConfig::Bot(bot) => bot.token.clone(),
            KindConfig::User => None,
        };
        Self { client: client.hiding(secret), queue, kind }
    }

    /// True if it contains the events of the user behind the credential.
    pub fn reads_user(&self) -> bool {
        match &self.kind {
            KindConfig::User => true,
            KindConfig::Bot(bot) => bot.with_user_events,
        }
    }

    async fn get(&self, offset: Offset, limit: u16) -> Result<Dated<Page>, CallError> {
        let bot = match &self.kind {
            KindConfig::User => None,
            KindConfig::Bot(bot) => Some(bot),
        };
        let params = GetParams {
            offset: offset.get(),
            limit,
            bot_id: bot.map(|bot| bot.id),
            bot_token: bot.and_then(|bot| Some(bot.token.as_ref()?.expose())),
            with_user_events: bot.map(|bot| bot.with_user_events),
        };
        self.client.attempt_reading(self.method(), Purpose::Poll, &params, read_page).await
    }
}

/// Sorts a page of `queue`: ascending, each id once, nothing below the requested offset.
pub(crate) fn batch(queue: &Arc<Queue>, page: Page, offset: Offset, limit: u16) -> Batch {
    let mut items = page.events.0;
    let received = items.len() + page.odd.iter().map(|odd| odd.count).sum::<usize>();
    let readable = items.len();
    let has_more = page.has_more.unwrap_or(received >= usize::from(limit)) && received > 0;
    items.sort_by_key(|item| item.id);
    items.dedup_by_key(|item| item.id);
    items.retain(|item| offset.wants(item.id));
    if items.len() < readable {
        let dropped = readable - items.len();
        warn!(code = %log_code::EVENTS_REPEATED, source = %queue.source, offset = offset.get(), dropped, "portal repeated events within one answer or below the offset");
    }
    let events = items.into_iter().map(|item| event(queue, item)).collect();
    Batch { events, has_more, odd: page.odd, ..Batch::default() }
}

fn event(queue: &Arc<Queue>, item: Item) -> Event {
    let Item { id, kind, date, data } = item;
    Event { queue: Arc::clone(queue), id, kind, date, data }
}

#[async_trait]
impl Upstream for EventQueue {
    fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    fn method(&self) -> &'static str {
        match self.kind {
            KindConfig::User => "im.v2.Event.get",
            KindConfig::Bot(_) => "imbot.v2.Event.get",
        }
    }

    fn needs_subscription(&self) -> bool {
        self.reads_user()
    }

    fn turns(&self) -> Option<u64> {
        self.client.turns()
    }

    fn is_strained(&self) -> bool {
        self.client.is_strained(self.method())
    }

    fn has_login(&self) -> bool {
        self.client.grant().is_some()
    }

    fn epoch(&self) -> u64 {
        self.client.grant().map_or(0, OAuthSession::epoch)
    }

    async fn is_superseded(&self) -> bool {
        match self.client.grant() {
            Some(grant) => grant.is_superseded().await,
            None => false,
        }
    }

    async fn subscribe(&self) -> Result<(), CallError> {
        let subscribed = self.client.attempt("im.v2.Event.subscribe", Purpose::Other, &Map::new()).await;
        subscribed.map(|IgnoredAny| ())
    }

    async fn owner(&self) -> Result<u64, CallError> {
        let answer: ProfileAnswer = self.client.attempt("profile", Purpose::Other, &Map::new()).await?;
        let profile = answer.presentable(&self.client).await;
        self.client.portal_state().remember_user(&self.queue.source, &profile.name).await;
        Ok(profile.user_id)
    }

    async fn poll(&self, offset: Offset, limit: u16) -> Result<Batch, CallError> {
        let page = self.get(offset, limit).await?;
        let batch = batch(&self.queue, page.result, offset, limit);
        Ok(Batch { portal_ms: page.portal_ms, ..batch })
    }

    async fn renew(&self, refusal: CallError) -> Result<(), CallError> {
        self.client.renew(refusal).await
    }
}
