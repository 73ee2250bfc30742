//! Compares two configurations: which sources must end and start, and which changes are logged. All other sources run
//! on. An unchanged sink keeps its connections, its open files and the state of its breaker.

use std::collections::BTreeSet;
use std::fmt;

use crate::config::{AccessConfig, Config, SinkConfig, SourceConfig};

/// The keys that a process cannot change while it runs.
const AT_NEXT_START: [&str; 1] = ["state"];

#[derive(Default, Debug)]
pub(crate) struct Plan {
    /// The sources that must end.
    pub ending: BTreeSet<String>,
    /// The sources that must start; most of them are ending as well.
    pub beginning: BTreeSet<String>,
    /// The changes to log.
    pub changes: Vec<Change>,
}

/// One difference.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Change {
    /// Its key, or the key of its table.
    key: String,
    kind: ChangeKind,
}

#[derive(PartialEq, Eq, Debug)]
enum ChangeKind {
    Added,
    Removed,
    /// These keys have changed; without any, the value itself has.
    Changed(Vec<String>),
    AtNextStart,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.key)?;
        match &self.kind {
            ChangeKind::Added => f.write_str("added"),
            ChangeKind::Removed => f.write_str("removed"),
            ChangeKind::Changed(keys) if keys.is_empty() => f.write_str("changed"),
            ChangeKind::Changed(keys) => write!(f, "changed ({})", keys.join(", ")),
            ChangeKind::AtNextStart => f.write_str("takes effect at the next start"),
        }
    }
}

impl Plan {
    /// Plans the way from `before` to `after`.
    pub(crate) fn new(before: &Config, after: &Config) -> Self {
        let names = |config: &Config| -> BTreeSet<String> {
            config.sources.iter().map(|source| source.name.clone()).collect()
        };
        let stays: BTreeSet<&str> = before
            .sources
            .iter()
            .filter(|source| after.sources.contains(source) && is_undisturbed(source, before, after))
            .map(|source| source.name.as_str())
            .collect();
        let others =
            |config| names(config).into_iter().filter(|name| !stays.contains(name.as_str())).collect();
        let keys = before.difference(after);
        let sources = compare(
            "sources",
            &before.sources,
            &after.sources,
            |source| &source.name,
            |source| source_keys(source, &keys),
        );
        let sinks = compare(
            "sinks",
            &before.sinks,
            &after.sinks,
            |sink| &sink.name,
            |sink| keys_of("sinks", &sink.name, &keys),
        );
        let changes = top_level(&keys).chain(sources).chain(sinks).collect();
        Self { ending: others(before), beginning: others(after), changes }
    }
}

/// Whether everything that `source`, which is the same in both, depends on is unchanged.
fn is_undisturbed(source: &SourceConfig, before: &Config, after: &Config) -> bool {
    let portal = source.portal().authority();
    before.delivery == after.delivery
        && before.rate_of(&portal) == after.rate_of(&portal)
        && have_same_takers(&takers(source, before), &takers(source, after))
}

fn takers<'a>(source: &SourceConfig, config: &'a Config) -> Vec<&'a SinkConfig> {
    config.sinks.iter().filter(|sink| sink.takes_source(&source.name)).collect()
}

fn have_same_takers(before: &[&SinkConfig], after: &[&SinkConfig]) -> bool {
    before.len() == after.len()
        && before.iter().all(|sink| after.iter().any(|other| sink.same_subscription(other)))
}

fn top_level(keys: &BTreeSet<&str>) -> impl Iterator<Item = Change> {
    let is_in_item = |key: &str| key.starts_with("sources.") || key.starts_with("sinks.");
    keys.iter().filter(move |key| !is_in_item(key)).map(|key| {
        let is_fixed = AT_NEXT_START.contains(key);
        let kind = if is_fixed { ChangeKind::AtNextStart } else { ChangeKind::Changed(Vec::new()) };
        Change { key: (*key).to_owned(), kind }
    })
}

/// Those of `keys` that belong to the item `name` of `table`, without the path of the item.
fn keys_of(table: &str, name: &str, keys: &BTreeSet<&str>) -> Vec<String> {
    let path = format!("{table}.{name}.");
    keys.iter().filter_map(|key| key.strip_prefix(&path)).map(str::to_owned).collect()
}

/// Those of `keys` that belong to `source`, or to the login that it shares with another source.
fn source_keys(source: &SourceConfig, keys: &BTreeSet<&str>) -> Vec<String> {
    let mut own = keys_of("sources", &source.name, keys);
    if let AccessConfig::OAuth(oauth) = &source.access
        && oauth.grant != source.name
    {
        let shared = keys_of("sources", &oauth.grant, keys);
        own.extend(shared.into_iter().filter(|key| key.starts_with("oauth.")));
    }
    own
}

/// The items that are in only one of two lists, or differ between them, under `table`. `keys` are the changed
/// keys of an item in the second list.
fn compare<T: PartialEq>(
    table: &str,
    before: &[T],
    after: &[T],
    name: impl Fn(&T) -> &String,
    keys: impl Fn(&T) -> Vec<String>,
) -> Vec<Change> {
    let change = |item: &T, kind| Change { key: format!("{table}.{}", name(item)), kind };
    let is_in = |list: &[T], item: &T| list.iter().any(|other| name(other) == name(item));
    let removed =
        before.iter().filter(|item| !is_in(after, item)).map(|item| change(item, ChangeKind::Removed));
    let others = after.iter().filter_map(|item| {
        let Some(other) = before.iter().find(|other| name(other) == name(item)) else {
            return Some(change(item, ChangeKind::Added));
        };
        let keys = keys(item);
        (other != item || !keys.is_empty()).then(|| change(item, ChangeKind::Changed(keys)))
    });
    removed.chain(others).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::{Hold, Overrides, PortalConfig, RateConfig, load};

    /// Loads a configuration of these lines.
    fn config(lines: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("b24relay.toml");
        std::fs::write(&file, lines).unwrap();
        load(&Overrides { config: Some(file), ..Overrides::default() }).unwrap().config
    }

    const SOURCES: &str = "
        [sources.support]\nwebhook_url = \"https://a.example/rest/1/s3cr3t1/\"
        [sources.sales]\nwebhook_url = \"https://b.example/rest/2/s3cr3t2/\"";
    const SINKS: &str = "
        [sinks.archive]\ntype = \"file\"\npath = \"events.jsonl\"
        [sinks.crm]\ntype = \"webhook\"\nurl = \"https://crm.example/s3cr3t3\"\nsources = [\"support\"]";

    /// The logged changes and the affected sources, from the configuration above to this one.
    fn changes(after: &str) -> (Vec<String>, Vec<String>) {
        let plan = Plan::new(&config(&format!("{SOURCES}{SINKS}")), &config(after));
        let concerned: BTreeSet<_> = plan.ending.union(&plan.beginning).cloned().collect();
        (plan.changes.iter().map(ToString::to_string).collect(), concerned.into_iter().collect())
    }

    #[test]
    fn a_change_is_told_by_its_keys_and_concerns_those_that_it_is_about() {
        let all = format!("{SOURCES}{SINKS}");
        for (from, to, told, concerned) in [
            ("", "", vec![], vec![]),
            ("s3cr3t1", "s3cr3t4", vec!["sources.support: changed (webhook_url)"], vec!["support"]),
            ("crm.example", "crm2.example", vec!["sinks.crm: changed (url)"], vec!["support"]),
            ("s3cr3t3", "s3cr3t4", vec!["sinks.crm: changed (url)"], vec!["support"]),
            ("events.jsonl", "other.jsonl", vec!["sinks.archive: changed (path)"], vec!["sales", "support"]),
            ("\"support\"]", "\"sales\"]", vec!["sinks.crm: changed (sources)"], vec!["sales", "support"]),
            ("\"support\"]", "\"support\", \"sales\"]", vec!["sinks.crm: changed (sources)"], vec!["sales"]),
            (
                "[sinks.crm]",
                "[sinks.crm]\ntimeout = \"9s\"\nconcurrency = 3\nsecrets = [\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"]",
                vec!["sinks.crm: changed (concurrency, secrets, timeout)"],
                vec!["support"],
            ),
            ("[sinks.crm]", "[sinks.desk]", vec!["sinks.crm: removed", "sinks.desk: added"], vec!["support"]),
            (
                "[sources.sales]",
                "[sources.shop]",
                vec!["sources.sales: removed", "sources.shop: added"],
                vec!["sales", "shop"],
            ),
            (
                "\n        [sources.support]",
                "state = \"other.db\"\nshutdown_grace = \"9s\"\n[log]\nlevel = \"debug\"\n[sources.support]",
                vec![
                    "log.level: changed",
                    "shutdown_grace: changed",
                    "state: takes effect at the next start",
                ],
                vec![],
            ),
            (
                "[sources.sales]",
                "[portals.\"b.example\"]\nplan = \"enterprise\"\n[sources.sales]",
                vec![
                    "portals.\"b.example\".burst: changed",
                    "portals.\"b.example\".plan: changed",
                    "portals.\"b.example\".rate: changed",
                ],
                vec!["sales"],
            ),
            (
                "[sources.sales]",
                "[delivery]\nmode = \"journal\"\n[sources.sales]",
                vec!["delivery.hold: changed", "delivery.mode: changed"],
                vec!["sales", "support"],
            ),
        ] {
            assert!(all.contains(from), "{from}");
            assert_eq!(changes(&all.replace(from, to)), to_texts(&told, &concerned), "{from} to {to}");
        }
    }

    fn to_texts(told: &[&str], concerned: &[&str]) -> (Vec<String>, Vec<String>) {
        let texts = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        (texts(told), texts(concerned))
    }

    /// Any configuration of up to three sources and sinks.
    fn any_config() -> impl Strategy<Value = Config> {
        let source = (any::<bool>(), 0..2u16);
        let sink = (any::<bool>(), 0..2u32, 0..4u8);
        let sources = prop::array::uniform3(source);
        (sources, prop::array::uniform3(sink), any::<bool>(), any::<bool>()).prop_map(
            |(sources, sinks, is_journal, is_enterprise)| {
                let mut config = config(&format!("{SOURCES}{SINKS}"));
                let (source, sink) = (config.sources.remove(0), config.sinks.remove(0));
                let names = ["one", "two", "three"];
                config.sources = (0..3)
                    .filter(|at| sources[*at].0)
                    .map(|at| {
                        let mut source = SourceConfig { name: names[at].into(), ..source.clone() };
                        source.poll.limit += sources[at].1;
                        source
                    })
                    .collect();
                config.sinks = (0..3)
                    .filter(|at| sinks[*at].0)
                    .map(|at| {
                        let (_, mode, taken) = sinks[at];
                        let sources = (taken < 3).then(|| vec![names[usize::from(taken)].to_owned()]);
                        let mut sink = SinkConfig { name: names[at].into(), sources, ..sink.clone() };
                        sink.retry.min *= mode + 1;
                        sink
                    })
                    .collect();
                if is_journal {
                    config.delivery.hold = Hold::Forever;
                }
                if is_enterprise {
                    let faster = PortalConfig::with_rate(Some(RateConfig::ENTERPRISE));
                    config.portals.insert(source.portal().authority(), faster);
                }
                config
            },
        )
    }

    /// Everything that `name` depends on, as text.
    fn made_of(name: &str, config: &Config) -> Option<String> {
        let source = config.sources.iter().find(|source| source.name == name)?;
        let takers: Vec<_> = takers(source, config)
            .into_iter()
            .map(|sink| format!("{:?}", SinkConfig { sources: None, ..sink.clone() }))
            .collect();
        let rate = config.rate_of(&source.portal().authority());
        Some(format!("{source:?} {takers:?} {rate:?} {:?}", config.delivery))
    }

    proptest! {
        #[test]
        fn exactly_those_end_and_begin_that_are_made_of_something_else(
            before in any_config(),
            after in any_config(),
        ) {
            let plan = Plan::new(&before, &after);
            for name in ["one", "two", "three"] {
                let (was, is) = (made_of(name, &before), made_of(name, &after));
                prop_assert_eq!(plan.ending.contains(name), was.is_some() && was != is, "{} ends", name);
                prop_assert_eq!(plan.beginning.contains(name), is.is_some() && was != is, "{} begins", name);
            }
            // Nothing was read for these configurations, so only sources and sinks can differ by themselves.
            let are_same = before.sources == after.sources && before.sinks == after.sinks;
            prop_assert_eq!(plan.changes.is_empty(), are_same);
            for change in &plan.changes {
                prop_assert!(!change.to_string().contains("s3cr3t"), "{change}");
            }
            prop_assert!(Plan::new(&after, &after).changes.is_empty());
        }
    }
}
