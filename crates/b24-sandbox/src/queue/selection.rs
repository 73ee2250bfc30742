//! Selects and sorts the rows of the offline queue for a call: `FILTER` and `ORDER` (PORTAL.md 4).

use std::cmp::Ordering;

use serde_json::{Map, Value};

use crate::rest::input::parameter::Parameters;
use crate::rest::refusal::Refusal;
use crate::state::offline::OfflineRow;

/// The operators that may precede a column's name, the longer ones first. The official clients read lists
/// with a filter for ids above the last one they have seen.
const RELATIONS: [(&str, Relation); 6] = [
    (">=", Relation::AtLeast),
    ("<=", Relation::AtMost),
    (">", Relation::Above),
    ("<", Relation::Below),
    ("=", Relation::Equal),
    ("@", Relation::Equal),
];

/// Conditions that rows must meet, and columns to sort them by.
pub(crate) struct Selection {
    conditions: Vec<Condition>,
    order: Vec<(String, Ordering)>,
}

/// The relation between a column and the given value.
#[derive(Clone, Copy)]
enum Relation {
    /// Also matches if the given value is a list that contains the column's value.
    Equal,
    Above,
    Below,
    AtLeast,
    AtMost,
}

struct Condition {
    column: String,
    relation: Relation,
    wanted: Value,
}

impl Selection {
    /// Parses the parameters of a call.
    ///
    /// # Errors
    ///
    /// If `FILTER` or `ORDER` is not an array.
    pub(crate) fn read(parameters: &Parameters, default_order: &str) -> Result<Self, Refusal> {
        let conditions = object(parameters, "FILTER")?.into_iter().map(Condition::read).collect();
        let order = object(parameters, "ORDER")?;
        let mut order: Vec<_> = order.iter().map(|(name, way)| (name.clone(), direction(way))).collect();
        if order.is_empty() {
            order.push((default_order.into(), Ordering::Less));
        }
        Ok(Self { conditions, order })
    }

    /// Adds a condition on `column`, which replaces the call's own condition on it.
    pub(crate) fn require(&mut self, column: &str, wanted: Value) {
        self.conditions.retain(|condition| condition.column != column);
        self.conditions.push(Condition { column: column.into(), relation: Relation::Equal, wanted });
    }

    /// The rows that meet all conditions, sorted.
    ///
    /// # Errors
    ///
    /// If a condition contains an unknown column.
    pub(crate) fn choose<'a>(
        &self,
        rows: impl Iterator<Item = &'a OfflineRow>,
    ) -> Result<Vec<OfflineRow>, Refusal> {
        let mut chosen = Vec::new();
        for row in rows {
            if self.admits(row)? {
                chosen.push(row.clone());
            }
        }
        chosen.sort_by(|left, right| self.compare(left, right));
        Ok(chosen)
    }

    fn admits(&self, row: &OfflineRow) -> Result<bool, Refusal> {
        for condition in &self.conditions {
            let name = &condition.column;
            let unknown = || Refusal::wrong_argument("FILTER", &format!("Unknown filter key {name}"));
            if !condition.is_met(&row.column(name).ok_or_else(unknown)?) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Rows are in ascending order of ids and the sort is stable, so equal rows stay in that order.
    fn compare(&self, left: &OfflineRow, right: &OfflineRow) -> Ordering {
        let by_column = |(name, way): &(String, Ordering)| {
            let ordering = match (left.column(name), right.column(name)) {
                (Some(left), Some(right)) => compare(&left, &right),
                (left, right) => left.is_some().cmp(&right.is_some()),
            };
            if *way == Ordering::Greater { ordering.reverse() } else { ordering }
        };
        self.order.iter().map(by_column).fold(Ordering::Equal, Ordering::then)
    }
}

impl Condition {
    /// Parses a condition: `>ID` is the column `ID` with the relation `>`. Without an operator, the relation
    /// is equality.
    fn read((key, wanted): (String, Value)) -> Self {
        let stripped = |(sign, relation): &(&str, Relation)| Some((key.strip_prefix(sign)?, *relation));
        let (column, relation) = RELATIONS.iter().find_map(stripped).unwrap_or((&key, Relation::Equal));
        Self { column: column.into(), relation, wanted }
    }

    fn is_met(&self, value: &Value) -> bool {
        let ordering = || compare(value, &self.wanted);
        match self.relation {
            Relation::Equal => match &self.wanted {
                Value::Array(several) => several.iter().any(|wanted| is_same(wanted, value)),
                one => is_same(one, value),
            },
            Relation::Above => ordering().is_gt(),
            Relation::Below => ordering().is_lt(),
            Relation::AtLeast => ordering().is_ge(),
            Relation::AtMost => ordering().is_le(),
        }
    }
}

/// Compares numbers and texts that contain numbers as equal (PORTAL.md 8).
pub(crate) fn is_same(left: &Value, right: &Value) -> bool {
    text(left) == text(right)
}

/// Compares as numbers if both are numeric, or else as text.
fn compare(left: &Value, right: &Value) -> Ordering {
    let (left, right) = (text(left), text(right));
    match (left.parse::<i64>(), right.parse::<i64>()) {
        (Ok(left), Ok(right)) => left.cmp(&right),
        _ => left.cmp(&right),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn object(parameters: &Parameters, name: &str) -> Result<Map<String, Value>, Refusal> {
    match parameters.get(name) {
        Some(Value::Object(object)) => Ok(object.clone()),
        // An empty PHP array may be a list or a map.
        None => Ok(Map::new()),
        Some(Value::Array(items)) if items.is_empty() => Ok(Map::new()),
        Some(_) => Err(Refusal::wrong_argument(name, "Value must be array")),
    }
}

fn direction(way: &Value) -> Ordering {
    let descending = way.as_str().is_some_and(|way| way.eq_ignore_ascii_case("desc"));
    if descending { Ordering::Greater } else { Ordering::Less }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_column_is_compared_as_its_key_says() {
        for (key, wanted, met) in [
            ("ID", json!("10"), true),
            ("=ID", json!(10), true),
            ("@ID", json!([9, "10"]), true),
            ("ID", json!([9, 11]), false),
            (">ID", json!("9"), true),
            (">ID", json!(10), false),
            (">=ID", json!(10), true),
            ("<ID", json!(9), false),
            ("<ID", json!("11"), true),
            ("<=ID", json!("10"), true),
        ] {
            let condition = Condition::read((key.into(), wanted.clone()));
            assert_eq!((&*condition.column, condition.is_met(&json!(10))), ("ID", met), "{key} {wanted}");
        }
        assert_eq!(Condition::read(("!ID".into(), json!(1))).column, "!ID", "no column is called that");
    }

    #[test]
    fn dates_are_compared_as_text() {
        let condition = Condition::read((">TIMESTAMP_X".into(), json!("2026-08-20T09:00:00+03:00")));
        assert!(condition.is_met(&json!("2026-08-20T10:00:00+03:00")));
        assert!(!condition.is_met(&json!("2026-08-20T09:00:00+03:00")));
    }
}
