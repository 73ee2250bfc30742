//! The record of the events that a test created, used to check every line that arrives.

use std::collections::BTreeMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use b24_sandbox::SeedRequest;
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::support::portal::sandbox::Portal;

/// The parts of message texts. They cover the special cases of JSON, UTF-8 and lines.
const PIECES: [&str; 9] = [
    "hello ",
    r#"\"quoted\" "#,
    r"back\\slash ",
    r"a\/b ",
    r"\u0000\n\r\t ",
    r"\ud83d\ude00 ",
    "Привет, мир ",
    "\u{2028}\u{feff}\u{1f600} ",
    r#"}\n{\"id\":\"b24_0\",\"eventId\":1}\n"#,
];

/// The queue that a source reads.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Queue {
    User(u64),
    Bot(u64),
}

/// The record of the created events. Ids are unique over the whole portal.
#[derive(Default)]
pub(crate) struct EventRecord {
    entries: BTreeMap<u64, Entry>,
}

struct Entry {
    source: &'static str,
    chat: u64,
    digest: u64,
}

/// The fields of a line or body that are compared with the record.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    id: &'a str,
    source: &'a str,
    event_id: u64,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// The ids that arrived for each source, in order of arrival.
pub(crate) type Arrivals = BTreeMap<&'static str, Vec<u64>>;

impl EventRecord {
    /// Creates an event in the queue that `source` reads.
    pub(crate) fn record(&mut self, portal: &Portal, source: &'static str, queue: Queue, dice: &mut StdRng) {
        let chat = dice.random_range(1..=5);
        let data = payload(dice, chat);
        let digest = digest(&data);
        let order = match queue {
            Queue::User(user) => SeedRequest { user, ..SeedRequest::default() },
            Queue::Bot(bot) => SeedRequest { bot: Some(bot), ..SeedRequest::default() },
        };
        let data = Some(RawValue::from_string(data).unwrap());
        let recorded = portal.sandbox.record(&SeedRequest { data, ..order }).unwrap();
        assert_eq!(recorded.count, 1);
        self.entries.insert(recorded.first.unwrap(), Entry { source, chat, digest });
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Every id recorded for `source`, ascending.
    pub(crate) fn ids_of(&self, source: &str) -> Vec<u64> {
        self.entries.iter().filter(|(_, entry)| entry.source == source).map(|(id, _)| *id).collect()
    }

    /// Groups `ids` by chat and keeps their order.
    pub(crate) fn by_chat(&self, ids: &[u64]) -> BTreeMap<u64, Vec<u64>> {
        let mut chats = BTreeMap::<u64, Vec<u64>>::new();
        for id in ids {
            chats.entry(self.entries[id].chat).or_default().push(*id);
        }
        chats
    }

    /// The source and the id of a line that arrived. Asserts that the event was created, has the right names, and has
    /// the portal's exact bytes.
    pub(crate) fn identify(&self, line: &str) -> (&'static str, u64) {
        let Line { id, source, event_id, data } =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("corrupted: {error}: {line:?}"));
        let entry = self.entries.get(&event_id).unwrap_or_else(|| panic!("spurious: {line:?}"));
        assert_eq!(entry.digest, digest(data.get()), "corrupted: {line:?}");
        assert_eq!(entry.source, source, "under another source's name: {line:?}");
        assert!(id.starts_with("b24_") && id.ends_with(&format!("_{event_id}")), "corrupted: {line:?}");
        (entry.source, event_id)
    }

    /// Adds the lines of `path` to `arrivals`. The last line may be incomplete after a kill of the writer.
    pub(crate) fn read(&self, path: &Path, arrivals: &mut Arrivals) {
        let mut file = BufReader::new(File::open(path).unwrap());
        let mut line = Vec::new();
        while file.read_until(b'\n', &mut line).unwrap() > 0 {
            if let Some(whole) = line.strip_suffix(b"\n") {
                self.note(std::str::from_utf8(whole).unwrap(), arrivals);
            }
            line.clear();
        }
    }

    /// Adds one line to `arrivals`.
    pub(crate) fn note(&self, line: &str, arrivals: &mut Arrivals) {
        let (source, id) = self.identify(line);
        arrivals.entry(source).or_default().push(id);
    }
}

/// The `data` of an event, different from all others, with usual and unusual content.
fn payload(dice: &mut StdRng, chat: u64) -> String {
    let count = if dice.random_ratio(1, 50) { 500 } else { dice.random_range(0..20) };
    let text: String = (0..count).map(|_| PIECES[dice.random_range(0..PIECES.len())]).collect();
    let message = dice.random::<u32>();
    format!(
        r#"{{"message":{{"id":{message},"chatId":{chat}, "text":"{text}","params":[ ]}},"chat":{{"id":{chat}}},"share":1.50}}"#
    )
}

fn digest(data: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    data.hash(&mut hasher);
    hasher.finish()
}
