//! A corrupted state file is never used: no offset is reset silently, nothing panics, and the message names the file
//! and a hint.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use b24relay::store::{Soundness, Store, StoreError};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rusqlite::types::Value;
use tempfile::TempDir;

use crate::support::process::relay::{code, command, finished_command, stderr, stdout};
use crate::support::state::corruption::{Corruption, STATEMENTS, beside, corruptions};
use crate::support::state::populated_state::{PopulatedState, STATE, deciding, read_journal};

/// How many random corruptions are tried, besides those in the list.
const COUNT: usize = 1000;

/// How many of them are tried with the real program.
const SAMPLE: usize = 48;

const SOURCES: [&str; 2] = ["support", "office"];

#[tokio::test]
async fn a_thousand_corruptions_set_no_offset_back_in_silence() {
    let [populated, other] =
        [PopulatedState::of_mode("journal").await, PopulatedState::of_mode("journal").await];
    let mut dice = dice();
    let mut outcomes = BTreeMap::<&str, usize>::new();
    let foreign = folder_of(&other);
    let moments = moments(&populated).await;
    for corruption in corruptions(COUNT, &mut dice) {
        let folder = folder_of(&populated);
        corruption.apply(folder.path(), foreign.path(), &mut dice);
        *outcomes.entry(judge(&populated, &moments, folder.path(), corruption).await).or_default() += 1;
    }
    assert!(outcomes["refused"] > COUNT / 3 && outcomes["used"] > COUNT / 10, "{outcomes:?}");
}

/// Opens a corrupted state like a relay. All data that it returns must be correct: the data at the end, or, if the log
/// has lost its last commits, the data after an earlier commit.
async fn judge(
    populated: &PopulatedState,
    moments: &[Truth],
    folder: &Path,
    corruption: Corruption,
) -> &'static str {
    let state = folder.join(STATE);
    let inspected = Store::inspect(&state);
    Store::report(&state).ok();
    let store = match Store::open(&state) {
        Ok(store) => store,
        Err(error) => {
            let said = error.to_string();
            assert!(said.contains(STATE), "{corruption:?}: {said}");
            let is_shown = inspected.is_ok_and(|inspection| inspection.soundness == Soundness::Sound);
            assert!(!is_shown, "{corruption:?}: `state check` finds nothing, and yet: {said}");
            return "refused";
        }
    };
    let (mut is_whole, mut possible) = (true, moments.iter().collect::<Vec<_>>());
    for source in SOURCES {
        match store.bind(&populated.queue(source)).await {
            Ok(adopted) => {
                let found = format!("{:?} {:?}", adopted.reading, sorted(adopted.lanes));
                possible.retain(|truth| truth.lanes[source] == found);
                assert!(!possible.is_empty(), "{corruption:?}: never was so: {found}");
            }
            // The log of another relay.
            Err(error @ StoreError::OtherQueue { .. }) => {
                assert!(matches!(corruption, Corruption::ForeignLog), "{corruption:?}: {error}");
                return "refused";
            }
            Err(error) => panic!("{corruption:?}: opened, and then: {error}"),
        }
        match read_journal(&store, &populated.queue(source)).await {
            Ok(events) => {
                possible.retain(|truth| truth.journals[source] == events);
                assert!(!possible.is_empty(), "{corruption:?}: never was so: {events:?}");
            }
            Err(said) => {
                assert!(said.contains("is damaged") && said.contains(STATE), "{corruption:?}: {said}");
                is_whole = false;
                // From then on the store refuses all operations.
                break;
            }
        }
    }
    drop(store);
    let found = deciding(&state);
    let is_same = found.is_ok_and(|found| possible.iter().any(|truth| truth.rows == found));
    let inspection = Store::inspect(&state).unwrap();
    let is_sound = inspection.soundness == Soundness::Sound;
    // A changed checksum is damage too, even if the data under it is unchanged.
    assert!(!is_sound || (is_same && is_whole), "{corruption:?}: `state check` is wrong: {inspection:?}");
    if is_sound { "used" } else { "refused later" }
}

/// The data that a relay must find.
struct Truth {
    rows: Vec<Vec<Value>>,
    lanes: BTreeMap<&'static str, String>,
    journals: BTreeMap<&'static str, Vec<(u64, String)>>,
}

/// The correct data at the end, and after each commit in the log.
async fn moments(populated: &PopulatedState) -> Vec<Truth> {
    let log = &populated.files[1];
    let page_size = u32::from_be_bytes(log[8..12].try_into().unwrap()) as usize;
    let frames = log[32..].chunks_exact(24 + page_size).enumerate();
    let commits = frames.filter(|(_, frame)| frame[4..8] != [0; 4]);
    let ends: Vec<_> = commits.map(|(number, _)| 32 + (number + 1) * (24 + page_size)).collect();
    let mut moments = Vec::new();
    for end in ends.into_iter().chain([0, log.len()]) {
        let folder = folder_of(populated);
        std::fs::write(beside(&folder.path().join(STATE), "-wal"), &log[..end]).unwrap();
        moments.push(Truth::of(populated, folder.path()).await);
    }
    assert!(moments.len() > 10, "too few commits in the log to prove anything");
    moments
}

impl Truth {
    async fn of(populated: &PopulatedState, folder: &Path) -> Self {
        let store = Store::open(&folder.join(STATE)).unwrap();
        let (mut lanes, mut journals) = (BTreeMap::new(), BTreeMap::new());
        for source in SOURCES {
            let queue = populated.queue(source);
            let adopted = store.bind(&queue).await.unwrap();
            let found = format!("{:?} {:?}", adopted.reading, sorted(adopted.lanes));
            lanes.insert(source, found);
            journals.insert(source, read_journal(&store, &queue).await.unwrap());
        }
        drop(store);
        Self { rows: deciding(&folder.join(STATE)).unwrap(), lanes, journals }
    }
}

fn sorted<T>(map: std::collections::HashMap<String, T>) -> BTreeMap<String, T> {
    map.into_iter().collect()
}

#[expect(clippy::print_stderr, reason = "the seed of a failure")]
fn dice() -> StdRng {
    let seed = rand::random();
    eprintln!("seed {seed}");
    StdRng::seed_from_u64(seed)
}

/// A new folder with the original state.
fn folder_of(populated: &PopulatedState) -> TempDir {
    // In memory if possible: thousands of commits need no disk here.
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let folder = folder.unwrap();
    populated.put_into(folder.path());
    folder
}

#[tokio::test]
async fn the_program_meets_a_corrupted_state_with_a_code_a_word_and_no_panic() {
    let [populated, other] =
        [PopulatedState::of_mode("journal").await, PopulatedState::of_mode("journal").await];
    let mut dice = dice();
    populated.receiver.answer_always(None);
    let foreign = folder_of(&other);
    for _ in 0..SAMPLE {
        let all = corruptions(STATEMENTS.len() + 20, &mut dice);
        let corruption = all[dice.random_range(0..all.len())];
        let folder = folder_of(&populated);
        corruption.apply(folder.path(), foreign.path(), &mut dice);
        let checked = shown(&populated, folder.path(), &["state", "check"], corruption).await;
        let status = shown(&populated, folder.path(), &["status"], corruption).await;
        let run = shown(&populated, folder.path(), &["run", "--once"], corruption).await;
        if checked == 0 && !matches!(corruption, Corruption::ForeignLog) {
            assert_eq!((status, run), (69, 0), "{corruption:?}: sound, and yet");
        }
    }
}

/// Runs a command on a corrupted state, and returns its exit code.
async fn shown(populated: &PopulatedState, folder: &Path, args: &[&str], corruption: Corruption) -> i32 {
    let mut command = command();
    let state = folder.join(STATE);
    command.args(args).arg("--state").arg(&state).current_dir(populated.setup.folder());
    // A drain waits until no late event can appear.
    for source in ["SUPPORT", "OFFICE"] {
        command.env(format!("B24RELAY_SOURCES__{source}__CONFIRM_LAG"), "0s");
    }
    let output: Output = finished_command(command).await;
    let (code, said) = (code(&output), stderr(&output) + &stdout(&output));
    // 69 means that no daemon runs.
    let is_fine = if args == ["status"] { code == 69 } else { code == 0 };
    assert!(is_fine || [74, 78].contains(&code), "{corruption:?}, {args:?}: {code}: {said}");
    assert!(!said.contains("panicked"), "{corruption:?}, {args:?}: {said}");
    if !is_fine {
        assert!(said.contains(state.to_str().unwrap()), "{corruption:?}, {args:?}: {said}");
        let ways = ["backup", "`state`", "newer version", "it is a directory"];
        assert!(ways.iter().any(|way| said.contains(way)), "{corruption:?}, {args:?}: no way out in: {said}");
    }
    code
}
