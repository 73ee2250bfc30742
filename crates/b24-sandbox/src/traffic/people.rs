//! Who works at the emulated company: invented people of ordinary kind.

/// One account of the portal; those with low ids own the webhooks, the rest are colleagues.
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
    /// What they do.
    pub position: &'static str,
    /// Their department's id.
    pub department: u64,
    /// The colour of their avatar.
    pub color: &'static str,
    /// What kind of account it is.
    pub kind: Kind,
}

/// The kinds of accounts, which writers are told apart by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An employee.
    User,
    /// A guest from outside, without a department.
    Extranet,
    /// A program.
    Bot,
}

/// A bot of somebody else, and a guest: they write in group chats and read nothing. Above the ids of all users and of
/// the portal's own bots.
pub const OUTSIDERS: [u64; 2] = [20_001, 20_002];

/// Women and men take turns; Cyrillic and Latin names stand side by side as in real portals.
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
    /// The person behind a user id; the same id is always the same person.
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
            // Family names shift with each round, so 64 colleagues of a gender differ.
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

/// The entry of `choices` at `turn`, starting over behind the last.
pub fn turned<T: Copy, const N: usize>(choices: &[T; N], turn: u64) -> T {
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
