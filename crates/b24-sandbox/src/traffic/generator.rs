//! The traffic generator: endless messages and other events, reproducible by a seed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::state::rng::Dice;
use crate::traffic::chat::Room;
use crate::traffic::people::{OUTSIDERS, Person};
use crate::traffic::phrases;
use crate::traffic::scene::{Extra, Forward, Happening, Message, Scene};

/// The number of colleagues in addition to the owners of webhooks.
const COLLEAGUES: u64 = 6;

/// The number of recent messages in a chat that can be edited, deleted or reacted to.
const RECENT_MAX: usize = 32;

const REACTIONS: [&str; 5] = ["like", "faceWithTearsOfJoy", "redHeart", "neutralFace", "fire"];

/// The traffic generator.
#[derive(Debug)]
pub(crate) struct Chatter {
    dice: Dice,
    rooms: Vec<Arc<Room>>,
    people: u64,
    next_message_id: u64,
    recent: BTreeMap<u64, VecDeque<Message>>,
}

impl Chatter {
    /// A generator for `users` people in `chats` chats; at least one of each.
    pub(crate) fn new(users: u32, chats: u32, dice: Dice) -> Self {
        let users = u64::from(users.max(1));
        let people = users + COLLEAGUES;
        let rooms = (0..chats.max(1)).map(|index| Arc::new(Room::nth(index, users, people))).collect();
        Self { dice, rooms, people, next_message_id: 70_001, recent: BTreeMap::new() }
    }

    /// A random event in a random chat.
    pub(crate) fn live(&mut self, now_s: i64) -> Scene {
        let room = self.dice.below(self.rooms.len());
        let room = Arc::clone(&self.rooms[room]);
        self.anything(room, now_s)
    }

    /// A chat that `user` reads: the one with the id `chat`, or a random one.
    pub(crate) fn room_of(&mut self, user: u64, chat: Option<u64>) -> Arc<Room> {
        if let Some(id) = chat {
            let known = self.rooms.iter().find(|room| room.id == id);
            return known.map_or_else(|| Arc::new(Room::stray(id, user)), Arc::clone);
        }
        let rooms: Vec<_> = self.rooms.iter().filter(|room| room.members.contains(&user)).collect();
        self.dice.pick(&rooms).map_or_else(|| Arc::new(Room::stray(1, user)), |room| Arc::clone(room))
    }

    /// A chat that a bot reads: the one with the id `chat`, or a random group.
    pub(crate) fn room_of_bot(&mut self, bot: u64, chat: Option<u64>) -> Arc<Room> {
        if chat.is_some() {
            return self.room_of(bot, chat);
        }
        let rooms: Vec<_> = self.rooms.iter().filter(|room| !room.private).collect();
        self.dice.pick(&rooms).map_or_else(|| Arc::new(Room::stray(1, bot)), |room| Arc::clone(room))
    }

    /// A random event in `room`, with typical frequencies.
    pub(crate) fn anything(&mut self, room: Arc<Room>, now_s: i64) -> Scene {
        let happening = match self.dice.below(100) {
            0..=73 => Happening::Add,
            74..=81 => Happening::Update,
            82..=84 => Happening::Delete,
            85..=96 => Happening::Reaction(self.dice.pick(&REACTIONS).copied().unwrap_or("like")),
            _ if room.private => Happening::Add,
            _ => Happening::Join,
        };
        self.stage(room, happening, now_s)
    }

    /// An event of the kind `happening` in `room`. If it needs an earlier message, it uses a recent one or
    /// creates one.
    pub(crate) fn stage(&mut self, room: Arc<Room>, happening: Happening, now_s: i64) -> Scene {
        match happening {
            Happening::Add => self.add(room, now_s),
            Happening::Update => self.update(room, now_s),
            Happening::Delete => self.delete(room, now_s),
            Happening::Reaction(_) => self.react(room, happening, now_s),
            Happening::Join => self.join(room, now_s),
        }
    }

    fn add(&mut self, room: Arc<Room>, now_s: i64) -> Scene {
        let message = self.write(&room, now_s);
        let recent = self.recent.entry(room.id).or_default();
        recent.push_back(message.clone());
        if recent.len() > RECENT_MAX {
            recent.pop_front();
        }
        Scene::of(Happening::Add, room, message)
    }

    fn update(&mut self, room: Arc<Room>, now_s: i64) -> Scene {
        let text = phrases::text(&mut self.dice);
        let message = self.recent_message(&room, now_s, |message| {
            message.text = text;
            message.edited = true;
        });
        Scene::of(Happening::Update, room, message)
    }

    fn delete(&mut self, room: Arc<Room>, now_s: i64) -> Scene {
        let message = self.recent_message(&room, now_s, |_| {});
        if let Some(recent) = self.recent.get_mut(&room.id) {
            recent.retain(|other| other.id != message.id);
        }
        Scene::of(Happening::Delete, room, message)
    }

    fn react(&mut self, room: Arc<Room>, reaction: Happening, now_s: i64) -> Scene {
        let message = self.recent_message(&room, now_s, |_| {});
        let actor = self.dice.pick(&room.members).map(|id| Person::of(*id));
        let withdrawn = self.dice.once_in(5);
        Scene { actor, withdrawn, ..Scene::of(reaction, room, message) }
    }

    fn join(&mut self, room: Arc<Room>, now_s: i64) -> Scene {
        let newcomer = 1 + self.dice.below(usize::try_from(self.people).unwrap_or(1)) as u64;
        let message = self.write(&room, now_s);
        Scene { actor: Some(Person::of(newcomer)), ..Scene::of(Happening::Join, room, message) }
    }

    fn write(&mut self, room: &Room, now_s: i64) -> Message {
        let id = self.next_message_id;
        self.next_message_id += 1 + self.dice.below(3) as u64;
        let system = !room.private && self.dice.once_in(25);
        let outside = !room.private && self.dice.once_in(12);
        let writers: &[u64] = if outside { &OUTSIDERS } else { &room.members };
        let author = (!system).then(|| self.dice.pick(writers).copied()).flatten();
        let text = if system {
            format!("{} изменил(а) название чата", Person::of(room.owner()).name())
        } else {
            phrases::text(&mut self.dice)
        };
        let uuid = (!system && self.dice.once_in(2)).then(|| self.uuid());
        let forward = (!system && self.dice.once_in(30)).then(|| self.forward());
        let extra = if system { Extra::None } else { self.extra(id) };
        Message { id, chat: room.id, author, created_s: now_s, text, uuid, forward, extra, edited: false }
    }

    fn extra(&mut self, message: u64) -> Extra {
        match self.dice.below(40) {
            0..=2 => Extra::File(5_000 + self.dice.below(1_000) as u64),
            3 => Extra::Attach,
            4 => Extra::Keyboard,
            5..=7 => Extra::Reply(message.saturating_sub(1)),
            _ => Extra::None,
        }
    }

    fn uuid(&mut self) -> String {
        let (high, low) = (self.dice.roll(), self.dice.roll());
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
        let room = &self.rooms[self.dice.below(self.rooms.len())];
        Forward {
            id: format!("{}/{}", room.id, self.next_message_id.saturating_sub(50)),
            user_id: room.owner(),
            chat_title: room.name.clone(),
            chat_type: "C",
        }
    }

    fn recent_message(&mut self, room: &Room, now_s: i64, change: impl FnOnce(&mut Message)) -> Message {
        let count = self.recent.get(&room.id).map_or(0, VecDeque::len);
        let index = self.dice.below(count);
        if let Some(message) = self.recent.get_mut(&room.id).and_then(|recent| recent.get_mut(index)) {
            change(message);
            return message.clone();
        }
        let mut message = self.write(room, now_s);
        change(&mut message);
        message
    }
}

impl Scene {
    /// An event whose actor is the author of `message`.
    fn of(happening: Happening, room: Arc<Room>, message: Message) -> Self {
        let actor = message.author.map(Person::of);
        Self { happening, room, actor, message, withdrawn: false }
    }
}
