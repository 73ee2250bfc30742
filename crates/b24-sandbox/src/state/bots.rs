//! The portal's bots, including the unregistered ones (PORTAL.md 3.2).
//!
//! No two registered bots share an id or a code. The counts of an unregistered bot are kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::queue::buffer::Queue;

/// The maximum number of bots of one owner.
const OWNED_MAX: usize = 100;

/// The offset between the ids of bots and those of users.
const FIRST_ID: u64 = 1000;

/// The owner that registered a bot. For the portal, the secret of the older API, `CLIENT_ID`, and that of the
/// newer one, `botToken`, are the same (PORTAL.md 3.3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    /// Every webhook that sends this token.
    Token(String),
    /// The application with this client id.
    App(String),
}

/// How a bot receives events.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EventMode {
    /// The bot polls, so events are recorded.
    #[default]
    Fetch,
    /// The portal calls the bot, so nothing is recorded. The sandbox makes no such calls.
    Webhook,
}

/// The settings of a bot.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    /// Unique within the portal.
    pub code: String,
    /// The name that people see.
    pub name: String,
    /// The family name, usually empty.
    pub last_name: String,
    /// The description of its job.
    pub work_position: String,
    /// `bot`, `supervisor`, `personal` or `openline`.
    pub kind: String,
    /// How it receives events.
    pub event_mode: EventMode,
    /// True if it is not in the contact list.
    pub is_hidden: bool,
    /// True if people may react to its messages.
    pub is_reactions_enabled: bool,
    /// True if it can be used in open lines.
    pub is_support_openline: bool,
    /// The background of its chats.
    pub background_id: Option<String>,
}

impl Profile {
    /// A bot with typical settings.
    pub(crate) fn new(code: &str, name: &str) -> Self {
        Self {
            code: code.into(),
            name: name.into(),
            last_name: String::new(),
            work_position: String::new(),
            kind: "bot".into(),
            event_mode: EventMode::Fetch,
            is_hidden: false,
            is_reactions_enabled: true,
            is_support_openline: false,
            background_id: None,
        }
    }
}

/// One bot and its queue.
#[derive(Debug)]
pub(crate) struct Bot {
    /// Its user id.
    pub id: u64,
    /// The owner, which may act for it.
    pub owner: Owner,
    /// Its settings.
    pub profile: Profile,
    /// The events in its queue.
    pub queue: Queue,
    registered: bool,
}

impl Bot {
    /// True if events are recorded for it.
    pub(crate) fn is_fetching(&self) -> bool {
        self.registered && self.profile.event_mode == EventMode::Fetch
    }

    /// Changes how it receives events. A change from fetch to webhook deletes the queue (PORTAL.md 3.1).
    pub(crate) fn set_event_mode(&mut self, mode: EventMode) {
        if self.profile.event_mode == EventMode::Fetch && mode == EventMode::Webhook {
            self.queue.purge();
        }
        self.set_mode(mode);
    }

    fn set_mode(&mut self, mode: EventMode) {
        self.profile.event_mode = mode;
        self.queue.set_subscribed(mode == EventMode::Fetch);
    }
}

/// All bots.
#[derive(Debug)]
pub(crate) struct Bots {
    next_id: u64,
    by_id: BTreeMap<u64, Bot>,
}

impl Bots {
    /// No bots yet, on a portal with webhooks for `users` users.
    pub(crate) fn new(users: u32) -> Self {
        Self { next_id: u64::from(users) + FIRST_ID, by_id: BTreeMap::new() }
    }

    /// The registered bot with this id.
    pub(crate) fn get(&self, id: u64) -> Option<&Bot> {
        self.by_id.get(&id).filter(|bot| bot.registered)
    }

    /// The registered bot with this id, mutable.
    pub(crate) fn get_mut(&mut self, id: u64) -> Option<&mut Bot> {
        self.by_id.get_mut(&id).filter(|bot| bot.registered)
    }

    /// The registered bot with this code.
    pub(crate) fn with_code(&self, code: &str) -> Option<&Bot> {
        self.registered().find(|bot| bot.profile.code == code)
    }

    /// The registered bots, by id.
    pub(crate) fn registered(&self) -> impl Iterator<Item = &Bot> {
        self.by_id.values().filter(|bot| bot.registered)
    }

    /// The bots of `owner`, by id.
    pub(crate) fn owned_by(&self, owner: &Owner) -> impl Iterator<Item = &Bot> {
        self.registered().filter(move |bot| bot.owner == *owner)
    }

    /// True if `owner` may have one more bot.
    pub(crate) fn has_room_for(&self, owner: &Owner) -> bool {
        self.owned_by(owner).count() < OWNED_MAX
    }

    /// The id of the next bot.
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id
    }

    /// Adds a bot with an id that no registered bot has.
    pub(crate) fn add(&mut self, id: u64, owner: Owner, profile: Profile) {
        self.next_id = self.next_id.max(id.saturating_add(1));
        let queue = self.by_id.remove(&id).map(|gone| gone.queue).unwrap_or_default();
        let mode = profile.event_mode;
        let mut bot = Bot { id, owner, profile, queue, registered: true };
        bot.set_mode(mode);
        self.by_id.insert(id, bot);
    }

    /// Unregisters a bot and deletes its events.
    pub(crate) fn remove(&mut self, id: u64) {
        if let Some(bot) = self.by_id.get_mut(&id) {
            bot.registered = false;
            bot.queue.set_subscribed(false);
            bot.queue.purge();
        }
    }

    /// The queue of a bot, which may be unregistered.
    pub(crate) fn queue(&self, id: u64) -> Option<&Queue> {
        self.by_id.get(&id).map(|bot| &bot.queue)
    }

    /// All queues with the ids of their bots, including unregistered ones.
    pub(crate) fn queues(&self) -> impl Iterator<Item = (u64, &Queue)> {
        self.by_id.iter().map(|(id, bot)| (*id, &bot.queue))
    }

    /// All queues, mutable.
    pub(crate) fn queues_mut(&mut self) -> impl Iterator<Item = (u64, &mut Queue)> {
        self.by_id.iter_mut().map(|(id, bot)| (*id, &mut bot.queue))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::queue::row::Row;

    fn owner() -> Owner {
        Owner::Token("secret".into())
    }

    fn bots() -> Bots {
        let mut bots = Bots::new(3);
        bots.add(bots.next_id(), owner(), Profile::new("one", "One"));
        let row = Row::new(7, 0, Arc::from("X"), Arc::from("{}"));
        bots.get_mut(1003).unwrap().queue.record(row);
        bots
    }

    #[test]
    fn a_bot_that_is_gone_leaves_only_its_counts() {
        let mut bots = bots();
        bots.remove(1003);
        assert!(bots.get(1003).is_none() && bots.with_code("one").is_none());
        let stats = bots.queue(1003).unwrap().stats();
        assert_eq!((stats.recorded, stats.purged, stats.pending), (1, 1, 0));
        assert_eq!(bots.next_id(), 1004, "ids are not used again");
    }

    #[test]
    fn being_told_wipes_what_was_there_to_fetch() {
        let mut bots = bots();
        let bot = bots.get_mut(1003).unwrap();
        bot.set_event_mode(EventMode::Fetch);
        assert_eq!(bot.queue.stats().pending, 1);
        bot.set_event_mode(EventMode::Webhook);
        assert_eq!(bot.queue.stats().pending, 0);
        assert!(!bot.is_fetching());
    }

    #[test]
    fn an_owner_has_a_hundred_bots_at_most() {
        let mut bots = Bots::new(3);
        for number in 0..100 {
            assert!(bots.has_room_for(&owner()));
            bots.add(bots.next_id(), owner(), Profile::new(&number.to_string(), "x"));
        }
        assert!(!bots.has_room_for(&owner()));
        assert!(bots.has_room_for(&Owner::App("secret".into())), "an application is somebody else");
        bots.remove(1003);
        assert!(bots.has_room_for(&owner()));
    }
}
