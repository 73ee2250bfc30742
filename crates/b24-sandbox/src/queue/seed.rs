//! Generated events: `POST /sandbox/events` of the control API, and the backlog at the start.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::queue::owner::ControlError;
use crate::queue::owner::Reader;
use crate::state::portal::Portal;
use crate::traffic::event_data::{EventData, EventKind};
use crate::wire::bot_payload::{self, BotEventKind};

/// The maximum number of events in one request.
const COUNT_MAX: u32 = 1_000_000;

/// How many payloads one request renders before it reuses them. A page then has different payloads, but a
/// million events do not fill the memory.
const POOL_COUNT: usize = 1000;

/// How many bytes of payload one request renders before it reuses them.
const POOL_BYTES: usize = 128 << 20;

/// The maximum size of one payload.
const BYTES_MAX: usize = 4 << 20;

/// The events to record for one user or bot. Without `kind`, `text` and `bytes`, they are a typical mixture.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedRequest {
    /// The user whose queue is used, unless a bot is given.
    #[serde(default)]
    pub user: u64,
    /// The bot whose queue is used instead.
    pub bot: Option<u64>,
    /// The number of events; 1 if missing.
    pub count: Option<u32>,
    /// The event type: a documented one or any other name.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The chat; a random chat of the user if missing.
    pub chat: Option<u64>,
    /// The message's text.
    pub text: Option<String>,
    /// The JSON of `data`, used byte for byte.
    pub data: Option<Box<RawValue>>,
    /// Pads the message's text until the payload has this size.
    pub bytes: Option<usize>,
    /// Assigns ids now and keeps the rows invisible until they are released (PORTAL.md 2.9).
    #[serde(default)]
    pub hold: bool,
    /// Records the events even if the user is not subscribed, or the bot does not fetch.
    #[serde(default)]
    pub force: bool,
}

/// The result of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Recorded {
    /// The first id.
    pub first: Option<u64>,
    /// The last id.
    pub last: Option<u64>,
    /// The number of events; 0 if the user is not subscribed, or the bot does not fetch.
    pub count: u32,
}

impl Portal {
    /// Records the events of `request`.
    ///
    /// # Errors
    ///
    /// If the user or the bot is unknown, or a value is out of range.
    pub(crate) fn record(&mut self, request: &SeedRequest) -> Result<Recorded, ControlError> {
        request.check()?;
        let now_s = self.now().as_second();
        let mut recorded = Recorded::default();
        if !self.queue_mut(request.reader())?.is_subscribed() && !request.force {
            return Ok(recorded);
        }
        let mut pool: Vec<(Arc<str>, Arc<str>)> = Vec::new();
        let mut pool_bytes = 0;
        for index in 0..request.count.unwrap_or(1) {
            if pool.len() < POOL_COUNT && pool_bytes < POOL_BYTES {
                pool.push(self.produce(request, now_s));
                pool_bytes += pool.last().map_or(0, |(_, data)| data.len());
            }
            let (kind, data) = pool[index as usize % pool.len()].clone();
            let row = self.row(now_s, kind, data);
            let id = row.id;
            if request.hold {
                self.queue_mut(request.reader())?.hold(row);
            } else {
                self.write(request.reader(), row)?;
            }
            recorded.first = recorded.first.or(Some(id));
            recorded.last = Some(id);
            recorded.count += 1;
        }
        Ok(recorded)
    }

    /// One event's type and payload.
    fn produce(&mut self, request: &SeedRequest, now_s: i64) -> (Arc<str>, Arc<str>) {
        let (event_kind, mut event_data) = self.stage(request, now_s);
        let kind = request.kind.as_deref().unwrap_or(match request.bot {
            Some(_) => event_kind.wire_name(),
            None => event_data.event_kind.wire_name(),
        });
        if let Some(data) = &request.data {
            return (kind.into(), data.get().into());
        }
        if let Some(text) = &request.text {
            event_data.message.text.clone_from(text);
        }
        let mut data = self.render(request, event_kind, &event_data);
        if let Some(missing) = request.bytes.and_then(|bytes| bytes.checked_sub(data.len())) {
            event_data.message.text.extend(std::iter::repeat_n('x', missing));
            data = self.render(request, event_kind, &event_data);
        }
        (kind.into(), data.into())
    }

    /// The domain event, with random values for everything that the request does not specify.
    fn stage(&mut self, request: &SeedRequest, now_s: i64) -> (BotEventKind, EventData) {
        let chat = match request.bot {
            Some(bot) => self.generator.chat_of_bot(bot, request.chat),
            None => self.generator.chat_of(request.user, request.chat),
        };
        let plain = request.text.is_none() && request.bytes.is_none() && request.data.is_none();
        if request.kind.is_none() && plain {
            let event_data = self.generator.anything(chat, now_s);
            return (BotEventKind::Chat(event_data.event_kind), event_data);
        }
        let event_kind = request
            .kind
            .as_deref()
            .map_or(BotEventKind::Chat(EventKind::Add), |kind| request.event_kind(kind));
        (event_kind, self.generator.stage(chat, event_kind.in_chat(), now_s))
    }

    fn render(&self, request: &SeedRequest, event_kind: BotEventKind, event_data: &EventData) -> String {
        match request.bot.map(|bot| self.bots.get(bot)) {
            Some(bot) => bot.map_or_else(String::new, |bot| {
                bot_payload::render(event_kind, event_data, bot, self.switches.loaded)
            }),
            None => self.payload(event_data, request.user),
        }
    }
}

impl SeedRequest {
    fn reader(&self) -> Reader {
        self.bot.map_or(Reader::User(self.user), Reader::Bot)
    }

    /// The domain event for `kind`. An unknown type is rendered like a message.
    fn event_kind(&self, kind: &str) -> BotEventKind {
        let event_kind = match self.bot {
            Some(_) => BotEventKind::from_wire(kind),
            None => EventKind::from_wire(kind).map(BotEventKind::Chat),
        };
        event_kind.unwrap_or(BotEventKind::Chat(EventKind::Add))
    }

    fn check(&self) -> Result<(), ControlError> {
        let is_name = |kind: &str| {
            (1..=50).contains(&kind.len())
                && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        if !self.kind.as_deref().is_none_or(is_name) {
            return Err(ControlError::Unfit("`type` must be 1 to 50 letters, digits or underscores"));
        }
        if self.count.is_some_and(|count| count > COUNT_MAX) {
            return Err(ControlError::Unfit("`count` must not exceed 1000000"));
        }
        if self.bytes.is_some_and(|bytes| bytes > BYTES_MAX) {
            return Err(ControlError::Unfit("`bytes` must not exceed 4194304"));
        }
        Ok(())
    }
}
