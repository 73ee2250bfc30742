//! Rotation: when it is due, the names of rotated files, and the search for existing ones.
//!
//! The names for one file sort by age even if the clock is changed, and no name is ever reused.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::config::RotateConfig;
use crate::failpoint;
use crate::sink::file::path::{is_own, rename_new};
use crate::sink::file::rotated::format::Format;
use crate::symlinks::folder_of;

/// Six digits. If there are more rotations within a second, the next second is used.
const NUMBER_MAX: u32 = 999_999;

const STAMP: &str = "%Y%m%dT%H%M%SZ";

/// The number of names to try for a rotated file, because another user may have taken some of them.
const NAMES_MAX: u32 = 100;

/// The suffix of a file that is being compressed.
pub(crate) const UNFINISHED: &str = ".part";

/// True if a file of `length` bytes, last written at `written`, must be rotated before `count` more bytes are
/// added.
pub(crate) fn is_due(
    config: RotateConfig,
    length: u64,
    written: SystemTime,
    now: SystemTime,
    count: u64,
) -> bool {
    // Each append checks this, so all lines in the file belong to the period of its last write.
    let is_of_before = |every| period(written, every) < period(now, every);
    let is_full = |size| length.saturating_add(count) > size;
    length > 0 && (config.every.is_some_and(is_of_before) || config.size.is_some_and(is_full))
}

/// The number of the period that contains `time`, counted from 1970-01-01 00:00 UTC.
fn period(time: SystemTime, every: Duration) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / every.as_secs().max(1)
}

/// The part of a rotated file's name that determines the order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Turn {
    /// In Unix seconds.
    second: i64,
    /// 1 for the first file within the second.
    number: u32,
}

impl Turn {
    /// The turn of a file that is rotated now, always greater than `last`, even if the clock was set back.
    fn behind(last: Option<Turn>, now: i64) -> Self {
        match last {
            Some(last) if last.second >= now && last.number < NUMBER_MAX => {
                Self { second: last.second, number: last.number + 1 }
            }
            Some(last) if last.second >= now => Self { second: last.second + 1, number: 1 },
            _ => Self { second: now, number: 1 },
        }
    }
}

/// A file that we rotated.
#[derive(Clone, Debug)]
pub(crate) struct Rotated {
    pub path: PathBuf,
    pub turn: Turn,
    pub format: Option<Format>,
}

/// The names of the rotated forms of one file.
#[derive(Clone, Debug)]
pub(crate) struct Naming {
    place: PathBuf,
    name: String,
    stem: String,
    /// Includes the dot.
    extension: String,
}

impl Naming {
    /// The names for the file at `place`, a path without links.
    pub(crate) fn try_new(place: &Path) -> io::Result<Self> {
        let name = place.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
            io::Error::new(ErrorKind::InvalidInput, "it has no name, or one that is not UTF-8")
        })?;
        let extension = place.extension().and_then(|extension| extension.to_str());
        let extension = extension.map(|extension| format!(".{extension}")).unwrap_or_default();
        let stem = name.strip_suffix(extension.as_str()).unwrap_or(name).to_owned();
        Ok(Self { place: place.to_owned(), name: name.to_owned(), stem, extension })
    }

    /// The name for `turn`, before compression; `None` after the year 9999.
    fn spell(&self, turn: Turn) -> Option<String> {
        let stamp = Timestamp::from_second(turn.second).ok()?.strftime(STAMP).to_string();
        Some(format!("{}-{stamp}-{:06}{}", self.stem, turn.number, self.extension))
    }

    fn read(&self, name: &str) -> Option<(Turn, Option<Format>)> {
        if let Some(turn) = self.read_plain(name) {
            return Some((turn, None));
        }
        let format = Format::ALL.into_iter().find(|format| name.ends_with(format.suffix()))?;
        Some((self.read_plain(name.strip_suffix(format.suffix())?)?, Some(format)))
    }

    fn read_plain(&self, name: &str) -> Option<Turn> {
        let middle = name.strip_prefix(&self.stem)?.strip_prefix('-')?.strip_suffix(&self.extension)?;
        let (stamp, number) = middle.split_once('-')?;
        let moment = DateTime::strptime(STAMP, stamp).ok()?.to_zoned_datetime(TimeZone::UTC).ok()?;
        let turn = Turn { second: moment.timestamp().as_second(), number: number.parse().ok()? };
        // Accepts only a name that we would write in the same way.
        (self.spell(turn)? == name).then_some(turn)
    }

    /// True for names that logrotate and people use: `events.jsonl.1`, `events.jsonl-20261121`. Other names
    /// are not accepted, because they may belong to the file of another sink.
    fn is_outside(&self, name: &str) -> bool {
        let Some(rest) = name.strip_prefix(&self.name) else { return false };
        let rest = rest.strip_suffix(".gz").or_else(|| rest.strip_suffix(".zst")).unwrap_or(rest);
        let is_number = |text: &str, lengths: std::ops::RangeInclusive<usize>| {
            lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        match (rest.strip_prefix('.'), rest.strip_prefix('-')) {
            (Some(turn), _) => is_number(turn, 1..=5),
            (_, Some(date)) => is_number(date, 8..=14),
            _ => false,
        }
    }

    /// True if a file of this name was left by a crash during compression: `.NAME.gz.RANDOM.part`. Older
    /// versions used no random part.
    fn is_unfinished(&self, name: &str) -> bool {
        let Some(name) = name.strip_prefix('.').and_then(|name| name.strip_suffix(UNFINISHED)) else {
            return false;
        };
        let whole = name.rsplit_once('.').map_or(name, |(whole, _random)| whole);
        [name, whole].iter().filter_map(|name| self.read(name)).any(|(_, format)| format.is_some())
    }

    /// Lists the files beside the file. Only regular files of this process's user count, because any user
    /// with write access to the directory can create such names.
    pub(crate) fn list(&self) -> io::Result<Past> {
        // A listing may miss a file that is being compressed, under both of its names; the next listing
        // contains it.
        let (missed, mut past) = (self.look()?, self.look()?);
        let is_seen = |past: &Past, turn| past.ours.binary_search_by_key(&turn, |known| known.turn).is_ok();
        let missed: Vec<_> = missed.ours.into_iter().filter(|known| !is_seen(&past, known.turn)).collect();
        past.ours.extend(missed);
        past.ours.sort_by_key(|rotated| rotated.turn);
        Ok(past)
    }

    /// Lists the directory once.
    fn look(&self) -> io::Result<Past> {
        let mut past = Past::default();
        for entry in fs::read_dir(folder_of(&self.place))? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let rotated = self.read(name);
            let (is_unfinished, is_outside) = (self.is_unfinished(name), self.is_outside(name));
            if rotated.is_none() && !is_unfinished && !is_outside {
                continue;
            }
            let path = entry.path();
            if !entry.metadata().is_ok_and(|metadata| is_own(&metadata)) {
                past.foreign.push(path);
            } else if let Some((turn, format)) = rotated {
                past.ours.push(Rotated { path, turn, format });
            } else if is_unfinished {
                past.unfinished.push(path);
            } else {
                past.outside.push(path);
            }
        }
        past.ours.sort_by_key(|rotated| rotated.turn);
        Ok(past)
    }

    /// Rotates the file, or fails and leaves it unchanged. Returns its new name, which is not on disk yet.
    ///
    /// `last` is the last turn that this process knows of. A file that is being compressed changes its name,
    /// and a listing may contain neither of the two names.
    pub(crate) fn rotate(&self, last: Option<Turn>) -> io::Result<Rotated> {
        let listed = self.list()?.ours.last().map(|rotated| rotated.turn);
        let now = Timestamp::now().as_second();
        // If no name is left after the last one, that file may have been moved away since.
        let has_name = |last| self.spell(Turn::behind(last, now)).is_some();
        let mut last = Some(listed.max(last)).filter(|last| has_name(*last)).unwrap_or(listed);
        failpoint::reached("rotating");
        for _ in 0..NAMES_MAX {
            let turn = Turn::behind(last, now);
            let name = self.spell(turn).ok_or_else(|| {
                io::Error::new(
                    ErrorKind::InvalidInput,
                    "no name is left behind the last rotated file: move it away",
                )
            })?;
            let path = folder_of(&self.place).join(name);
            match rename_new(&self.place, &path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => last = Some(turn),
                outcome => {
                    outcome?;
                    failpoint::reached("rotated");
                    return Ok(Rotated { path, turn, format: None });
                }
            }
        }
        Err(io::Error::new(
            ErrorKind::AlreadyExists,
            "other users' files have all the names for rotated files",
        ))
    }
}

/// The files beside a file.
#[derive(Default, Debug)]
pub(crate) struct Past {
    /// Rotated by us, the oldest first. A compressed file may briefly exist in both forms.
    pub ours: Vec<Rotated>,
    /// Rotated by another program, in no particular order.
    pub outside: Vec<PathBuf>,
    /// Left by a crash during compression.
    pub unfinished: Vec<PathBuf>,
    /// Files with a similar name that are ignored, because they are not regular files of our user.
    pub foreign: Vec<PathBuf>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 9999-12-31, minus the seconds that a test adds.
    const SECOND_MAX: i64 = 253_402_000_000;

    fn naming(name: &str) -> Naming {
        Naming::try_new(&Path::new("/var/log").join(name)).unwrap()
    }

    fn at(second: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(second)
    }

    #[test]
    fn a_name_is_as_documented() {
        let turn = Turn { second: 1_795_253_400, number: 1 };
        for (name, expected) in [
            ("events.jsonl", "events-20261121T093000Z-000001.jsonl"),
            ("events", "events-20261121T093000Z-000001"),
            (".events", ".events-20261121T093000Z-000001"),
            ("a-b.c.gz", "a-b.c-20261121T093000Z-000001.gz"),
        ] {
            assert_eq!(naming(name).spell(turn).unwrap(), expected);
            assert_eq!(naming(name).read(expected), Some((turn, None)));
            assert_eq!(naming(name).read(&format!("{expected}.zst")), Some((turn, Some(Format::Zstd))));
        }
    }

    #[test]
    fn only_what_we_would_write_ourselves_is_ours() {
        let naming = naming("events.jsonl");
        for name in [
            "events.jsonl",
            "events-20261121T093000Z-000001",
            "events-20261121T093000Z-1.jsonl",
            "events-20261121T093000Z-000001.jsonl.bz2",
            "events-20261131T093000Z-000001.jsonl",
            "events-2-20261121T093000Z-000001.jsonl",
            ".events-20261121T093000Z-000001.jsonl.gz.part",
        ] {
            assert_eq!(naming.read(name), None, "{name}");
        }
        assert!(naming.is_unfinished(".events-20261121T093000Z-000001.jsonl.gz.part"));
        assert!(naming.is_unfinished(".events-20261121T093000Z-000001.jsonl.gz.aB3xYz.part"));
        assert!(!naming.is_unfinished(".events-20261121T093000Z-000001.jsonl.part"));
        for name in ["events.jsonl.1", "events.jsonl.12.gz", "events.jsonl-20261121"] {
            assert!(naming.is_outside(name), "{name}");
        }
        for name in [
            "events.jsonl",
            "events.jsonl.bak",
            "events-2.jsonl",
            "events.jsonl2",
            "events.jsonl-2",
            "events.jsonl.2x",
        ] {
            assert!(!naming.is_outside(name), "{name}");
        }
    }

    #[test]
    fn a_list_misses_no_file_that_is_compressed_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let naming = Naming::try_new(&folder.path().join("events.jsonl")).unwrap();
        let turns: Vec<_> = (1..=1500).map(|number| Turn { second: 1_795_253_400, number }).collect();
        let paths: Vec<_> =
            turns.iter().map(|turn| folder.path().join(naming.spell(*turn).unwrap())).collect();
        for path in &paths {
            fs::write(path, "").unwrap();
        }
        std::thread::scope(|scope| {
            let compressing = scope.spawn(|| {
                for path in &paths {
                    fs::write(Format::Gzip.beside(path), "").unwrap();
                    fs::remove_file(path).unwrap();
                }
            });
            while !compressing.is_finished() {
                let mut listed: Vec<_> = naming.list().unwrap().ours.iter().map(|known| known.turn).collect();
                listed.dedup();
                assert_eq!(listed.len(), turns.len());
            }
        });
    }

    #[test]
    fn an_empty_file_is_never_due_and_a_great_batch_is_one_write() {
        let config = RotateConfig { size: Some(100), every: Some(Duration::from_secs(60)), keep: None };
        assert!(!is_due(config, 0, at(0), at(1_000_000), 1_000));
        assert!(!is_due(config, 60, at(0), at(59), 40));
        assert!(is_due(config, 60, at(0), at(59), 41));
        assert!(is_due(config, 1, at(59), at(60), 1));
        assert!(!is_due(config, 1, at(60), at(59), 1), "the clock was set back");
    }

    proptest! {
        #[test]
        fn names_sort_by_age_whatever_the_clock_does(clock in prop::collection::vec(0..SECOND_MAX, 1..40), busy in any::<bool>()) {
            let naming = naming("events.jsonl");
            let number = if busy { NUMBER_MAX - 3 } else { 1 };
            let mut last = Turn { second: clock[0], number };
            let mut names = vec![naming.spell(last).unwrap()];
            for now in clock {
                last = Turn::behind(Some(last), now);
                names.push(naming.spell(last).unwrap());
            }
            prop_assert!(names.is_sorted_by(|before, behind| before < behind), "{names:?}");
            for name in names {
                let read = naming.read(&format!("{name}.gz"));
                prop_assert_eq!(read.map(|(turn, _)| naming.spell(turn).unwrap()), Some(name));
            }
        }

        #[test]
        fn a_period_ends_at_its_multiples(second in 0_u64..10_000_000_000, every in 60_u64..=30 * 86_400) {
            let config = RotateConfig { size: None, every: Some(Duration::from_secs(every)), keep: None };
            let begin = second - second % every;
            prop_assert!(!is_due(config, 1, at(begin), at(second), 1));
            prop_assert!(!is_due(config, 1, at(second), at(begin + every - 1), 1));
            prop_assert!(is_due(config, 1, at(second), at(begin + every), 1));
        }
    }
}
