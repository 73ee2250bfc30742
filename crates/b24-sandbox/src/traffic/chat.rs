//! The chats of the emulated portal and their members.

use crate::traffic::people::turned;

/// The maximum number of people in a group chat, because one message adds a row for each subscriber.
const MEMBERS_MAX: u64 = 8;

/// The id of the first chat.
const FIRST_ID: u64 = 318;

const NAMES: [&str; 10] = [
    "Release room",
    "Отдел продаж",
    "Поддержка 24/7",
    "Клиент: ООО «Северный ветер»",
    "Hill & Sons",
    "Бухгалтерия",
    "Design review",
    "Переезд офиса 📦",
    "Дежурные инженеры",
    "Random",
];
const COLORS: [&str; 4] = ["#4ba984", "#3e99ce", "#df532d", "#8474c8"];

/// The types of group chats, with their `messageType` (PORTAL.md 2.8).
const KINDS: [(&str, &str); 7] = [
    ("chat", "C"),
    ("open", "O"),
    ("lines", "L"),
    ("channel", "N"),
    ("copilot", "A"),
    ("collab", "B"),
    ("thread", "T"),
];

/// A chat. It has exactly two members if `private` is true.
#[derive(Clone, Debug)]
pub(crate) struct Chat {
    /// The chat id.
    pub id: u64,
    /// Empty in private chats.
    pub name: String,
    /// True for a chat between two people, which has no name.
    pub private: bool,
    /// Its type in payloads.
    pub kind: &'static str,
    /// The letter for its type.
    pub message_type: &'static str,
    /// The members, the owner first.
    pub members: Vec<u64>,
    /// The colour of its avatar.
    pub color: &'static str,
}

impl Chat {
    /// The chat with number `index` (from 0), on a portal whose first `users` people have webhooks and whose
    /// last colleague has the id `people`. Every third chat is private.
    pub(crate) fn nth(index: u32, users: u64, people: u64) -> Self {
        let index = u64::from(index);
        let id = FIRST_ID + index;
        let private = index % 3 == 2;
        let members = if private {
            let one = 1 + index / 3 % users;
            vec![one, 1 + one % people]
        } else {
            // A window over the users, which moves with each chat, and one colleague.
            let width = users.min(MEMBERS_MAX);
            let window = (0..width).map(|step| 1 + (index * width + step) % users);
            window.chain([people]).collect()
        };
        let group = Self { members, ..Self::group(id, index) };
        if private { Self { private, kind: "private", message_type: "P", ..group } } else { group }
    }

    /// A group chat for an id from a request.
    pub(crate) fn stray(id: u64, member: u64) -> Self {
        Self { members: vec![member], ..Self::group(id, id) }
    }

    fn group(id: u64, turn: u64) -> Self {
        let (name, color) = (turned(&NAMES, turn), turned(&COLORS, turn));
        let (kind, message_type) = turned(&KINDS, turn);
        Self { id, name: name.into(), private: false, kind, message_type, members: Vec::new(), color }
    }

    /// The user who created it.
    pub(crate) fn owner(&self) -> u64 {
        self.members.first().copied().unwrap_or(1)
    }

    /// Its address for `recipient`: in a private chat, the other user's id (PORTAL.md 2.8).
    pub(crate) fn dialog_id(&self, recipient: u64) -> String {
        let counterpart = self.members.iter().find(|member| **member != recipient);
        match counterpart {
            Some(member) if self.private => member.to_string(),
            _ => format!("chat{}", self.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_chat_is_addressed_by_the_counterpart() {
        let chat = Chat::nth(2, 3, 9);
        assert!(chat.private);
        assert_eq!(chat.members, [1, 2]);
        assert_eq!((chat.dialog_id(1), chat.dialog_id(2)), ("2".into(), "1".into()));
        assert_eq!(Chat::nth(0, 3, 9).dialog_id(1), "chat318");
    }

    #[test]
    fn nobody_is_in_a_chat_twice() {
        for users in [1, 2, 5, 8, 50] {
            for index in 0..40 {
                let mut members = Chat::nth(index, users, users + 6).members;
                members.sort_unstable();
                let count = members.len();
                members.dedup();
                assert_eq!(members.len(), count, "chat {index} of {users} users");
            }
        }
    }
}
