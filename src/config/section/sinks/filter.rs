//! The keys that say which events a sink takes, besides `sources` and `events`.

use std::collections::BTreeSet;

use config::{Value, ValueKind};

use crate::config::parse::quote;
use crate::config::parse::table::Table;
use crate::config::parse::value;
use crate::template::Expression;

/// The keys.
#[cfg(test)]
pub(crate) const KEYS: [&str; 7] = ["authors", "bots", "chats", "filter", "mentions", "own", "system"];

/// The longest expression; more is a program, and belongs behind a sink.
const EXPRESSION_MAX: usize = 4096;

/// The most ids in a list.
const IDS_MAX: usize = 10_000;

/// Which events a sink takes by their content. The default takes all.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct FilterConfig {
    /// `chats`.
    pub chats: IdRule,
    /// `authors`.
    pub authors: IdRule,
    /// `own`, `bots` and `system`, where they are `false`.
    pub excluded: BTreeSet<Origin>,
    /// `mentions`: only messages that address the source's user or bot.
    pub only_mentions: bool,
    /// `filter`.
    pub expression: Option<Expression>,
}

impl FilterConfig {
    /// Whether it takes events of all contents.
    pub fn takes_all(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it takes only some events, and not all but some.
    pub fn is_selective(&self) -> bool {
        let has_ids = [&self.chats, &self.authors].iter().any(|rule| !rule.only.is_empty());
        has_ids || self.only_mentions || self.expression.is_some()
    }
}

/// Who caused an event, as far as a sink can exclude it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Origin {
    /// The user or bot whose queue it is.
    Own,
    /// Any bot.
    Bot,
    /// The portal itself.
    System,
}

/// A list of ids: those that are taken (without any, all) and those that are not.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct IdRule {
    only: BTreeSet<u64>,
    except: BTreeSet<u64>,
}

impl IdRule {
    /// Whether it takes `id`; `None` if something has no id.
    pub fn takes(&self, id: Option<u64>) -> bool {
        match id {
            Some(id) => !self.except.contains(&id) && (self.only.is_empty() || self.only.contains(&id)),
            None => self.only.is_empty(),
        }
    }

    /// Whether it takes everything.
    pub fn takes_all(&self) -> bool {
        self.only.is_empty() && self.except.is_empty()
    }
}

/// Reads the keys and reports violations. `is_taken` says which event types the sink takes.
pub(crate) fn read(table: &mut Table<'_>, is_taken: impl Fn(&str) -> bool) -> FilterConfig {
    let mut notices = Vec::new();
    let expression = table.take("filter", |value| read_expression(value, is_taken, &mut notices));
    for notice in notices {
        table.notice("filter", notice);
    }
    let origins = [("own", Origin::Own), ("bots", Origin::Bot), ("system", Origin::System)];
    let excluded = origins.into_iter().filter(|(key, _)| !table.take_or(key, value::boolean, true));
    FilterConfig {
        excluded: excluded.map(|(_, origin)| origin).collect(),
        chats: table.take("chats", |value| ids(value, "chat")).unwrap_or_default(),
        authors: table.take("authors", |value| ids(value, "user")).unwrap_or_default(),
        only_mentions: table.take_or("mentions", value::boolean, false),
        expression,
    }
}

fn read_expression(
    value: &Value,
    is_taken: impl Fn(&str) -> bool,
    notices: &mut Vec<String>,
) -> Result<Expression, String> {
    let text = value::text(value)?;
    if text.len() > EXPRESSION_MAX {
        return Err(format!("must have at most {EXPRESSION_MAX} bytes, not {}", text.len()));
    }
    let expression = Expression::parse(&text).map_err(|mistake| mistake.to_string())?;
    notices.extend(expression.try_out(is_taken).map_err(|mistake| mistake.to_string())?);
    Ok(expression)
}

/// A list of ids, with `-` before those that are excluded. `prefix` may stand before an id, as in a dialog's name.
fn ids(value: &Value, prefix: &str) -> Result<IdRule, String> {
    let texts: Vec<String> = match &value.kind {
        ValueKind::Array(items) => {
            items.iter().map(|item| item.clone().into_string().unwrap_or_default()).collect()
        }
        ValueKind::I64(number) => vec![number.to_string()],
        ValueKind::String(text) => text.split(',').map(str::to_owned).collect(),
        _ => return Err(format!("must be a list of ids such as [318, -55], not {}", quote::value(value))),
    };
    if texts.is_empty() {
        return Err("must not be an empty list: leave the key out to take all".to_owned());
    }
    if texts.len() > IDS_MAX {
        return Err(format!("must have at most {IDS_MAX} ids, not {}", texts.len()));
    }
    let mut rule = IdRule::default();
    for text in texts {
        let text = text.trim();
        let (bare, excludes) = text.strip_prefix('-').map_or((text, false), |bare| (bare, true));
        let digits = bare.strip_prefix(prefix).unwrap_or(bare);
        let id = digits.parse().ok().filter(|id| *id > 0 && digits.bytes().all(|b| b.is_ascii_digit()));
        let Some(id) = id else {
            return Err(format!(
                "each item must be an id such as 318 or \"{prefix}318\", with `-` before it to exclude it, not {}",
                quote::text(text)
            ));
        };
        if if excludes { &mut rule.except } else { &mut rule.only }.insert(id)
            && rule.only.contains(&id)
            && rule.except.contains(&id)
        {
            return Err(format!("takes {id} and excludes it: remove one of the two"));
        }
    }
    Ok(rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(items: &[&str]) -> Result<IdRule, String> {
        ids(&Value::new(None, items.to_vec()), "chat")
    }

    #[test]
    fn a_list_takes_its_ids_or_all_but_the_excluded_ones() {
        let rule = of(&["318", "chat55", "-7"]).unwrap();
        assert!(rule.takes(Some(318)) && rule.takes(Some(55)));
        assert!(!rule.takes(Some(7)) && !rule.takes(Some(8)) && !rule.takes(None));
        let rule = of(&["-chat318"]).unwrap();
        assert!(!rule.takes(Some(318)) && rule.takes(Some(7)) && rule.takes(None));
        assert!(IdRule::default().takes(Some(7)) && IdRule::default().takes(None));
    }

    #[test]
    fn numbers_texts_and_variables_say_the_same() {
        let expected = of(&["318", "-55"]).unwrap();
        assert_eq!(ids(&Value::new(None, vec![318, -55]), "chat").as_ref(), Ok(&expected));
        assert_eq!(ids(&Value::new(None, "318, -55"), "chat").as_ref(), Ok(&expected));
        assert_eq!(ids(&Value::new(None, 318), "chat"), of(&["318"]));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for items in [&["0"][..], &["-0"], &["user4"], &["+5"], &["--5"], &["x"], &["1.5"], &[""], &[]] {
            assert!(of(items).is_err(), "{items:?}");
        }
        assert!(ids(&Value::new(None, true), "chat").is_err());
        assert!(of(&["5", "-5"]).unwrap_err().contains("takes 5 and excludes it"));
        assert!(of(&["-5", "5"]).unwrap_err().contains("takes 5 and excludes it"));
    }
}
