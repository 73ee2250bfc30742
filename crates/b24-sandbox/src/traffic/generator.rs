//! The traffic generator: endless messages and other events, reproducible by a seed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::state::rng::Rng;
use crate::traffic::chat::Chat;
use crate::traffic::event_data::{EventData, EventKind, Extra, Forward, Message};
use crate::traffic::people::{OUTSIDERS, Person};
use crate::traffic::phrases;

/// The number of colleagues in addition to the owners of webhooks.
const COLLEAGUES: u64 = 6;

/// The number of recent messages in a chat that can be edited, deleted or reacted to.
const RECENT_MAX: usize = 32;

const REACTIONS: [&str; 5] = ["like", "faceWithTearsOfJoy", "redHeart", "neutralFace", "fire"];

/// The traffic generator.
#[derive(Debug)]
pub(crate) struct TrafficGenerator {
    rng: Rng,
    chats: Vec<Arc<Chat>>,
    people: u64,
    next_message_id: u64,
    recent: BTreeMap<u64, VecDeque<Message>>,
}

impl TrafficGenerator {
    /// A generator for `users` people in `chats` chats; at least one of each.
    pub(crate) fn new(users: u32, chats: u32, rng: Rng) -> Self {
        let users = u64::from(users.max(1));
        let people = users + COLLEAGUES;
        let chats = (0..chats.max(1)).map(|index| Arc::new(Chat::nth(index, users, people))).collect();
        Self { rng, chats, people, next_message_id: 70_001, recent: BTreeMap::new() }
    }

    /// A random event in a random chat.
    pub(crate) fn live(&mut self, now_s: i64) -> EventData {
        let chat = self.rng.below(self.chats.len());
        let chat = Arc::clone(&self.chats[chat]);
        self.anything(chat, now_s)
    }

    /// A chat that `user` reads: the one with the id `chat`, or a random one.
    pub(crate) fn chat_of(&mut self, user: u64, chat: Option<u64>) -> Arc<Chat> {
        if let Some(id) = chat {
            let known = self.chats.iter().find(|chat| chat.id == id);
            return known.map_or_else(|| Arc::new(Chat::stray(id, user)), Arc::clone);
        }
        let chats: Vec<_> = self.chats.iter().filter(|chat| chat.members.contains(&user)).collect();
        self.rng.pick(&chats).map_or_else(|| Arc::new(Chat::stray(1, user)), |chat| Arc::clone(chat))
    }

    /// A chat that a bot reads: the one with the id `chat`, or a random group.
    pub(crate) fn chat_of_bot(&mut self, bot: u64, chat: Option<u64>) -> Arc<Chat> {
        if chat.is_some() {
            return self.chat_of(bot, chat);
        }
        let chats: Vec<_> = self.chats.iter().filter(|chat| !chat.private).collect();
        self.rng.pick(&chats).map_or_else(|| Arc::new(Chat::stray(1, bot)), |chat| Arc::clone(chat))
    }

    /// A random event in `chat`, with typical frequencies.
    pub(crate) fn anything(&mut self, chat: Arc<Chat>, now_s: i64) -> EventData {
        let event_kind = match self.rng.below(100) {
            0..=73 => EventKind::Add,
            74..=81 => EventKind::Update,
            82..=84 => EventKind::Delete,
            85..=96 => EventKind::Reaction(self.rng.pick(&REACTIONS).copied().unwrap_or("like")),
            _ if chat.private => EventKind::Add,
            _ => EventKind::Join,
        };
        self.stage(chat, event_kind, now_s)
    }

    /// An event of the kind `event_kind` in `chat`. If it needs an earlier message, it uses a recent one or
    /// creates one.
    pub(crate) fn stage(&mut self, chat: Arc<Chat>, event_kind: EventKind, now_s: i64) -> EventData {
        match event_kind {
            EventKind::Add => self.add(chat, now_s),
            EventKind::Update => self.update(chat, now_s),
            EventKind::Delete => self.delete(chat, now_s),
            EventKind::Reaction(_) => self.react(chat, event_kind, now_s),
            EventKind::Join => self.join(chat, now_s),
        }
    }

    fn add(&mut self, chat: Arc<Chat>, now_s: i64) -> EventData {
        let message = self.write(&chat, now_s);
        let recent = self.recent.entry(chat.id).or_default();
        recent.push_back(message.clone());
        if recent.len() > RECENT_MAX {
            recent.pop_front();
        }
        EventData::of(EventKind::Add, chat, message)
    }

    fn update(&mut self, chat: Arc<Chat>, now_s: i64) -> EventData {
        let text = phrases::text(&mut self.rng);
        let message = self.recent_message(&chat, now_s, |message| {
            message.text = text;
            message.edited = true;
        });
        EventData::of(EventKind::Update, chat, message)
    }

    fn delete(&mut self, chat: Arc<Chat>, now_s: i64) -> EventData {
        let message = self.recent_message(&chat, now_s, |_| {});
        if let Some(recent) = self.recent.get_mut(&chat.id) {
            recent.retain(|other| other.id != message.id);
        }
        EventData::of(EventKind::Delete, chat, message)
    }

    fn react(&mut self, chat: Arc<Chat>, reaction: EventKind, now_s: i64) -> EventData {
        let message = self.recent_message(&chat, now_s, |_| {});
        let actor = self.rng.pick(&chat.members).map(|id| Person::of(*id));
        let withdrawn = self.rng.once_in(5);
        EventData { actor, withdrawn, ..EventData::of(reaction, chat, message) }
    }

    fn join(&mut self, chat: Arc<Chat>, now_s: i64) -> EventData {
        let newcomer = 1 + self.rng.below(usize::try_from(self.people).unwrap_or(1)) as u64;
        let message = self.write(&chat, now_s);
        EventData { actor: Some(Person::of(newcomer)), ..EventData::of(EventKind::Join, chat, message) }
    }

    fn write(&mut self, chat: &Chat, now_s: i64) -> Message {
        let id = self.next_message_id;
        self.next_message_id += 1 + self.rng.below(3) as u64;
        let system = !chat.private && self.rng.once_in(25);
        let outside = !chat.private && self.rng.once_in(12);
        let writers: &[u64] = if outside { &OUTSIDERS } else { &chat.members };
        let author = (!system).then(|| self.rng.pick(writers).copied()).flatten();
        let text = if system {
            format!("{} изменил(а) название чата", Person::of(chat.owner()).name())
        } else {
            phrases::text(&mut self.rng)
        };
        let uuid = (!system && self.rng.once_in(2)).then(|| self.uuid());
        let forward = (!system && self.rng.once_in(30)).then(|| self.forward());
        let extra = if system { Extra::None } else { self.extra(id) };
        Message { id, chat: chat.id, author, created_s: now_s, text, uuid, forward, extra, edited: false }
    }

    fn extra(&mut self, message: u64) -> Extra {
        match self.rng.below(40) {
            0..=2 => Extra::File(5_000 + self.rng.below(1_000) as u64),
            3 => Extra::Attach,
            4 => Extra::Keyboard,
            5..=7 => Extra::Reply(message.saturating_sub(1)),
            _ => Extra::None,
        }
    }

    fn uuid(&mut self) -> String {
        let (high, low) = (self.rng.roll(), self.rng.roll());
        format!(
            "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xfff,
            low >> 52,
            low & 0xffff_ffff_ffff
        )
    }

    fn forward(&mut self) -> Forward {
        let chat = &self.chats[self.rng.below(self.chats.len())];
        Forward {
            id: format!("{}/{}", chat.id, self.next_message_id.saturating_sub(50)),
            user_id: chat.owner(),
            chat_title: chat.name.clone(),
            chat_type: "C",
        }
    }

    fn recent_message(&mut self, chat: &Chat, now_s: i64, change: impl FnOnce(&mut Message)) -> Message {
        let count = self.recent.get(&chat.id).map_or(0, VecDeque::len);
        let index = self.rng.below(count);
        if let Some(message) = self.recent.get_mut(&chat.id).and_then(|recent| recent.get_mut(index)) {
            change(message);
            return message.clone();
        }
        let mut message = self.write(chat, now_s);
        change(&mut message);
        message
    }
}

impl EventData {
    /// An event whose actor is the author of `message`.
    fn of(event_kind: EventKind, chat: Arc<Chat>, message: Message) -> Self {
        let actor = message.author.map(Person::of);
        Self { event_kind, chat, actor, message, withdrawn: false }
    }
}
