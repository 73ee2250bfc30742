//! One event queue, a user's or a bot's: subscribe, peek, poll, unsubscribe (PORTAL.md 2 and 3.1).

use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::Map;

use crate::answer::odd::read_page;
use crate::answer::shapes::{Item, WirePage};
use crate::client::{Dated, PortalClient};
use crate::event::{Offset, Page, PageEvent};
use crate::limits::budget::Purpose;
use crate::methods::account::{Profile, ProfileAnswer};
use crate::refusal::CallError;
use crate::settings::QueueKind;

/// The queue behind a credential.
pub struct EventQueue {
    client: PortalClient,
    kind: QueueKind,
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
    /// The queue of `kind` that `client`'s credential reads.
    pub fn new(client: PortalClient, kind: QueueKind) -> Self {
        let secret = match &kind {
            QueueKind::Bot(bot) => bot.token.clone(),
            QueueKind::User => None,
        };
        Self { client: client.hiding(secret), kind }
    }

    async fn get(&self, offset: Offset, limit: u16) -> Result<Dated<WirePage>, CallError> {
        let bot = match &self.kind {
            QueueKind::User => None,
            QueueKind::Bot(bot) => Some(bot),
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

    /// The method that reads it.
    pub fn method(&self) -> &'static str {
        match self.kind {
            QueueKind::User => "im.v2.Event.get",
            QueueKind::Bot(_) => "imbot.v2.Event.get",
        }
    }

    /// The client that reads it.
    pub fn client(&self) -> &PortalClient {
        &self.client
    }

    /// True if polls are close to the limit of their operating time.
    pub fn is_strained(&self) -> bool {
        self.client.is_strained(self.method())
    }

    /// Subscribes to new events. Harmless if already subscribed.
    ///
    /// # Errors
    /// The refusal of the portal, classified.
    pub async fn subscribe(&self) -> Result<(), CallError> {
        let subscribed = self.client.attempt("im.v2.Event.subscribe", Purpose::Other, &Map::new()).await;
        subscribed.map(|IgnoredAny| ())
    }

    /// The user behind the credential.
    ///
    /// # Errors
    /// The refusal of the portal, classified.
    pub async fn owner(&self) -> Result<Profile, CallError> {
        let answer: ProfileAnswer = self.client.attempt("profile", Purpose::Other, &Map::new()).await?;
        Ok(answer.presentable(&self.client).await)
    }

    /// Reads up to `limit` events from `offset` on, and lets the portal delete all below it.
    ///
    /// # Errors
    /// The refusal of the portal, classified. Then nothing is known about what the portal deleted.
    pub async fn poll(&self, offset: Offset, limit: u16) -> Result<Page, CallError> {
        let answer = self.get(offset, limit).await?;
        Ok(Page { portal_ms: answer.portal_ms, ..sorted(answer.result, offset, limit) })
    }
}

/// Sorts a page: ascending, each id once, nothing below the requested offset.
pub(crate) fn sorted(page: WirePage, offset: Offset, limit: u16) -> Page {
    let mut items = page.events.0;
    let received = items.len() + page.odd.iter().map(|odd| odd.count).sum::<usize>();
    let readable = items.len();
    let has_more = page.has_more.unwrap_or(received >= usize::from(limit)) && received > 0;
    items.sort_by_key(|item| item.id);
    items.dedup_by_key(|item| item.id);
    items.retain(|item| offset.wants(item.id));
    let repeated = readable - items.len();
    let events = items.into_iter().map(PageEvent::from).collect();
    Page { events, repeated, odd: page.odd, has_more, portal_ms: None }
}

impl From<Item> for PageEvent {
    fn from(item: Item) -> Self {
        let Item { id, kind, date, data } = item;
        Self { id, kind, date, data }
    }
}
