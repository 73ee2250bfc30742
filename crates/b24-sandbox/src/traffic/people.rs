//! The fictional employees of the emulated company.

/// One account of the portal. Those with low ids have webhooks, the others are colleagues.
#[derive(Clone, Debug)]
pub struct Person {
    /// The user id, from 1.
    pub id: u64,
    /// Given name.
    pub first_name: &'static str,
    /// Family name.
    pub last_name: &'static str,
    /// `F` or `M`.
    pub gender: &'static str,
    /// Their job title.
    pub position: &'static str,
    /// Their department's id.
    pub department: u64,
    /// The colour of their avatar.
    pub color: &'static str,
    /// The kind of account.
    pub kind: Kind,
}

/// The kinds of accounts, which differ in payloads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An employee.
    User,
    /// An external guest, without a department.
    Extranet,
    /// A program.
    Bot,
}

/// A third-party bot and a guest. They write in group chats and read nothing. Their ids are above those of
/// all users and of the portal's own bots.
pub(crate) const OUTSIDERS: [u64; 2] = [20_001, 20_002];

/// Women and men alternate. Cyrillic and Latin names are mixed, as on real portals.
const WOMEN: [(&str, &str); 8] = [
    ("Анна", "Соколова"),
    ("Emma", "Larsen"),
    ("Марина", "Белова"),
    ("Alice", "Moreau"),
    ("Ольга", "Журавлёва"),
    ("Laura", "Keller"),
    ("Дарья", "Мельник"),
    ("Nina", "O'Brien"),
];
const MEN: [(&str, &str); 8] = [
    ("Илья", "Громов"),
    ("Peter", "Novak"),
    ("Сергей", "Лебедев"),
    ("Tom", "Becker"),
    ("Тимур", "Алиев"),
    ("Daniel", "Costa"),
    ("Павел", "Зайцев"),
    ("Victor", "Blum"),
];
const POSITIONS: [&str; 7] =
    ["Инженер", "Sales manager", "Бухгалтер", "Support & service", "Руководитель отдела", "Designer", ""];
const COLORS: [&str; 6] = ["#8474c8", "#4ba984", "#df532d", "#64a513", "#3e99ce", "#9b5fc9"];

impl Person {
    /// The person with a user id. The same id always gives the same person.
    pub fn of(id: u64) -> Self {
        let employee = Self::employee(id);
        match OUTSIDERS.iter().position(|outsider| *outsider == id) {
            Some(0) => {
                Self { first_name: "Release", last_name: "bot", position: "", kind: Kind::Bot, ..employee }
            }
            Some(_) => Self { position: "", kind: Kind::Extranet, ..employee },
            None => employee,
        }
    }

    fn employee(id: u64) -> Self {
        let (women, turn) = (id % 2 == 1, id / 2);
        let names = if women { &WOMEN } else { &MEN };
        Self {
            id,
            first_name: turned(names, turn).0,
            // Family names are shifted after each round, so 64 colleagues of a gender have different names.
            last_name: turned(names, turn + turn / 8).1,
            gender: if women { "F" } else { "M" },
            position: turned(&POSITIONS, id),
            department: 1 + id % 4,
            color: turned(&COLORS, id),
            kind: Kind::User,
        }
    }

    /// Given and family name.
    pub fn name(&self) -> String {
        format!("{} {}", self.first_name, self.last_name)
    }
}

/// The entry of `choices` at `turn`; after the last entry, it starts again with the first.
pub(crate) fn turned<T: Copy, const N: usize>(choices: &[T; N], turn: u64) -> T {
    choices[usize::try_from(turn % N as u64).unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_colleagues_have_different_names() {
        let names: std::collections::BTreeSet<_> = (1..=100).map(|id| Person::of(id).name()).collect();
        assert_eq!(names.len(), 100);
    }
}
