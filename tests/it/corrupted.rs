//! A state file that cannot be trusted is never used: no offset is set back in silence, nothing panics, and
//! what is said names the file and the way out.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use b24relay::store::{Soundness, Store};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rusqlite::types::Value;
use tempfile::TempDir;

use crate::corruption::{Corruption, STATEMENTS, corruptions};
use crate::process::{code, command, finished_command, stderr, stdout};
use crate::veteran::{STATE, Veteran, deciding, read_journal};

/// How many corruptions by chance, besides each that is listed.
const COUNT: usize = 1000;

/// How many of each mode are shown to the real program.
const SAMPLE: usize = 32;

#[tokio::test]
async fn a_thousand_corruptions_set_no_offset_back_in_silence() {
    let [journal, direct] = [Veteran::of_mode("journal").await, Veteran::of_mode("direct").await];
    let mut dice = dice();
    let mut outcomes = BTreeMap::<&str, usize>::new();
    for (veteran, other, count) in [(&journal, &direct, COUNT - COUNT / 4), (&direct, &journal, COUNT / 4)] {
        let foreign = folder_of(other);
        let truth = Truth::of(veteran).await;
        for corruption in corruptions(count, &mut dice) {
            let folder = folder_of(veteran);
            corruption.apply(folder.path(), foreign.path(), &mut dice);
            *outcomes.entry(judge(veteran, &truth, folder.path(), corruption).await).or_default() += 1;
        }
    }
    assert!(outcomes["refused"] > COUNT / 3 && outcomes["used"] > COUNT / 10, "{outcomes:?}");
}

/// Opens a spoiled state as a relay does. Whatever it is given must be true.
async fn judge(veteran: &Veteran, truth: &Truth, folder: &Path, corruption: Corruption) -> &'static str {
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
    let mut is_whole = true;
    for (source, lanes) in &truth.lanes {
        match store.adopt(&veteran.queue(source)).await {
            Ok(adopted) => {
                let found = format!("{:?} {:?}", adopted.reading, sorted(adopted.lanes));
                assert_eq!(found, *lanes, "{corruption:?}");
            }
            Err(error) => panic!("{corruption:?}: opened, and then: {error}"),
        }
        match read_journal(&store, &veteran.queue(source)).await {
            Ok(events) => assert_eq!(events, truth.journals[source], "{corruption:?}"),
            Err(said) => {
                assert!(said.contains("is damaged") && said.contains(STATE), "{corruption:?}: {said}");
                is_whole = false;
                // From then on the store refuses everything.
                break;
            }
        }
    }
    drop(store);
    let is_same = deciding(&state).is_ok_and(|found| found == truth.rows);
    let inspection = Store::inspect(&state).unwrap();
    let is_sound = inspection.soundness == Soundness::Sound;
    // A flipped seal is damage as well, though all that it is over is as it was.
    assert!(!is_sound || (is_same && is_whole), "{corruption:?}: `state check` is wrong: {inspection:?}");
    if is_sound { "used" } else { "refused later" }
}

/// What a relay must find.
struct Truth {
    rows: Vec<Vec<Value>>,
    lanes: BTreeMap<&'static str, String>,
    journals: BTreeMap<&'static str, Vec<(u64, String)>>,
}

impl Truth {
    async fn of(veteran: &Veteran) -> Self {
        let folder = folder_of(veteran);
        let store = Store::open(&folder.path().join(STATE)).unwrap();
        let (mut lanes, mut journals) = (BTreeMap::new(), BTreeMap::new());
        for source in ["support", "office"] {
            let queue = veteran.queue(source);
            let adopted = store.adopt(&queue).await.unwrap();
            assert!(!adopted.lanes.is_empty());
            let found = format!("{:?} {:?}", adopted.reading, sorted(adopted.lanes));
            lanes.insert(source, found);
            journals.insert(source, read_journal(&store, &queue).await.unwrap());
        }
        Self { rows: veteran.truth(), lanes, journals }
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

/// A new folder with the state as it was.
fn folder_of(veteran: &Veteran) -> TempDir {
    // In memory where there is such a folder: thousands of commits need no disk here.
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let folder = folder.unwrap();
    veteran.put_into(folder.path());
    folder
}

#[tokio::test]
async fn the_program_meets_a_corrupted_state_with_a_code_a_word_and_no_panic() {
    let [journal, direct] = [Veteran::of_mode("journal").await, Veteran::of_mode("direct").await];
    let mut dice = dice();
    for (veteran, other) in [(&journal, &direct), (&direct, &journal)] {
        veteran.receiver.answer_always(None);
        let foreign = folder_of(other);
        for _ in 0..SAMPLE {
            let all = corruptions(STATEMENTS.len() + 20, &mut dice);
            let corruption = all[dice.random_range(0..all.len())];
            let folder = folder_of(veteran);
            corruption.apply(folder.path(), foreign.path(), &mut dice);
            let checked = shown(veteran, folder.path(), &["state", "check"], corruption).await;
            let status = shown(veteran, folder.path(), &["status"], corruption).await;
            let run = shown(veteran, folder.path(), &["run", "--once"], corruption).await;
            if checked == 0 {
                assert_eq!((status, run), (0, 0), "{corruption:?}: sound, and yet");
            }
        }
    }
}

/// Runs a command on a spoiled state, and returns its exit code.
async fn shown(veteran: &Veteran, folder: &Path, args: &[&str], corruption: Corruption) -> i32 {
    let mut command = command();
    let state = folder.join(STATE);
    command.args(args).arg("--state").arg(&state).current_dir(veteran.setup.folder());
    // A drain waits until nothing can show any more.
    for source in ["SUPPORT", "OFFICE"] {
        command.env(format!("B24RELAY_SOURCES__{source}__CONFIRM_LAG"), "0s");
    }
    let output: Output = finished_command(command).await;
    let (code, said) = (code(&output), stderr(&output) + &stdout(&output));
    assert!([0, 74, 78].contains(&code), "{corruption:?}, {args:?}: {code}: {said}");
    assert!(!said.contains("panicked"), "{corruption:?}, {args:?}: {said}");
    if code != 0 {
        assert!(said.contains(state.to_str().unwrap()), "{corruption:?}, {args:?}: {said}");
        let ways = ["backup", "`state`", "newer version", "it is a directory"];
        assert!(ways.iter().any(|way| said.contains(way)), "{corruption:?}, {args:?}: no way out in: {said}");
    }
    code
}
