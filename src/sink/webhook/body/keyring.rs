//! The secrets in use. A file of them that changes is taken up while the relay runs; one that turns out to be
//! wrong changes nothing and is told once.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tracing::{info, warn};

use crate::blocking;
use crate::config::{SigningConfig, SigningSecret};
use crate::log_code;
use crate::shutdown::Signals;
use crate::sink::webhook::redactor::Redactor;

/// The minimum time between two checks of the file. A file that was written within this time is left for the
/// next check, because it may be incomplete.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The current signing secrets of one sink.
pub(crate) struct Keyring {
    key: String,
    file: Option<PathBuf>,
    signals: Signals,
    /// Receives new secrets before they sign a request.
    redactor: Redactor,
    kept: Mutex<Kept>,
}

struct Kept {
    secrets: Arc<[SigningSecret]>,
    looked_at: Option<Instant>,
    nudges: u64,
    seen: Option<Mark>,
    /// The last reported problem and the state of the file at that time.
    trouble: Option<Trouble>,
}

/// Identifies a version of the file without reading it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Mark {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A check of the file.
struct Look {
    seen: Option<Mark>,
    /// Only a file that was last written before this time is read.
    written_before: SystemTime,
}

enum Found {
    Same,
    Changed(Mark, Vec<SigningSecret>),
}

/// The reason why a file was not used.
#[derive(PartialEq, Eq, Debug)]
struct Trouble {
    mark: Option<Mark>,
    reason: String,
}

impl Keyring {
    pub(crate) fn new(config: &SigningConfig, redactor: Redactor, signals: Signals) -> Self {
        let kept = Kept {
            secrets: config.secrets.clone().into(),
            looked_at: None,
            nudges: signals.nudge_count(),
            seen: None,
            trouble: None,
        };
        let (key, file) = (config.key.clone(), config.file.clone());
        Self { key, file, signals, redactor, kept: Mutex::new(kept) }
    }

    /// The current secrets, the newest first; empty if deliveries are not signed.
    pub(crate) async fn secrets(&self) -> Arc<[SigningSecret]> {
        if let Some(file) = &self.file
            && let Some(look) = self.due_look()
        {
            let file = file.clone();
            let found = blocking::run(move || look.at(&file)).await;
            self.keep(found);
        }
        Arc::clone(&self.kept().secrets)
    }

    /// The next check, if it is due: a second after the last one, or after SIGHUP.
    fn due_look(&self) -> Option<Look> {
        let mut kept = self.kept();
        let nudges = self.signals.nudge_count();
        let is_nudged = nudges != kept.nudges;
        if !is_nudged && kept.looked_at.is_some_and(|looked_at| looked_at.elapsed() < LOOK_INTERVAL) {
            return None;
        }
        kept.nudges = nudges;
        kept.looked_at = Some(Instant::now());
        let now = SystemTime::now();
        // SIGHUP means that the file is complete.
        let written_before = if is_nudged { now + LOOK_INTERVAL } else { now - LOOK_INTERVAL };
        Some(Look { seen: kept.seen, written_before })
    }

    fn keep(&self, found: Result<Found, Trouble>) {
        let (key, mut kept) = (&self.key, self.kept());
        match found {
            Ok(Found::Same) => {}
            Ok(Found::Changed(mark, secrets)) => {
                kept.seen = Some(mark);
                if *kept.secrets != *secrets || kept.trouble.is_some() {
                    info!(
                        key,
                        count = secrets.len(),
                        "deliveries are signed with the secrets of the changed file"
                    );
                }
                self.redactor.hide_signing(&secrets);
                kept.secrets = secrets.into();
                kept.trouble = None;
            }
            Err(trouble) => {
                // After a problem, a valid file is reported again, even if it has not changed.
                kept.seen = None;
                if kept.trouble.as_ref() != Some(&trouble) {
                    let reason = &trouble.reason;
                    warn!(
                        code = %log_code::SECRETS_UNUSABLE,
                        key,
                        reason,
                        "cannot use the changed file: deliveries are still signed with the previous secrets"
                    );
                }
                kept.trouble = Some(trouble);
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Look {
    fn at(&self, path: &Path) -> Result<Found, Trouble> {
        let unreadable =
            |error: io::Error| Trouble { mark: None, reason: format!("the file could not be read: {error}") };
        // A pipe can be read only once, and opening one may block.
        if !fs::metadata(path).map_err(unreadable)?.is_file() {
            return Ok(Found::Same);
        }
        let file = File::open(path).map_err(unreadable)?;
        // Read before the content, so that a concurrent change results in a different mark.
        let metadata = file.metadata().map_err(unreadable)?;
        let mark = Mark::of(&metadata);
        let is_settled = metadata.modified().map_err(unreadable)? < self.written_before;
        // If the clock was set back, the file must not be ignored for hours.
        let is_of_the_future =
            metadata.modified().map_err(unreadable)? > self.written_before + 2 * LOOK_INTERVAL;
        if self.seen == Some(mark) || !(is_settled || is_of_the_future) {
            return Ok(Found::Same);
        }
        match SigningSecret::read(file) {
            Ok(secrets) => Ok(Found::Changed(mark, secrets)),
            Err(error) => Err(Trouble { mark: Some(mark), reason: error.to_string() }),
        }
    }
}

impl Mark {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{SecretUrl, WebhookConfig};

    const ONE: &str = "whsec_b25lIHNlY3JldCBvZiB0aGUgdGVzdHMuLi4=";
    const OTHER: &str = "whsec_b3RoZXIgc2VjcmV0IG9mIHRoZSB0ZXN0cw==";

    struct Scene {
        _folder: tempfile::TempDir,
        path: PathBuf,
        keyring: Keyring,
    }

    impl Scene {
        /// A keyring whose file holds `ONE`.
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("crm.secrets");
            let secrets = vec![SigningSecret::parse(ONE).unwrap()];
            let config =
                SigningConfig { key: "sinks.crm.secrets_file".into(), secrets, file: Some(path.clone()) };
            let redactor = Redactor::of(&WebhookConfig::of(SecretUrl::parse("https://a.example/").unwrap()));
            let keyring = Keyring::new(&config, redactor, Signals::silent());
            let scene = Self { _folder: folder, path, keyring };
            scene.write(ONE, 60);
            scene
        }

        /// Writes the file with a modification time of `ago_s` seconds ago.
        fn write(&self, text: &str, ago_s: u64) {
            fs::write(&self.path, text).unwrap();
            let then = SystemTime::now() - Duration::from_secs(ago_s);
            File::options().write(true).open(&self.path).unwrap().set_modified(then).unwrap();
        }

        /// The secrets, as if the last check were long ago.
        async fn secrets(&self) -> Vec<SigningSecret> {
            self.keyring.kept().looked_at = None;
            self.keyring.secrets().await.to_vec()
        }

        async fn assert_in_use(&self, texts: &[&str]) {
            let expected: Vec<_> = texts.iter().map(|text| SigningSecret::parse(text).unwrap()).collect();
            assert!(self.secrets().await == expected, "others than {texts:?}");
        }
    }

    #[tokio::test]
    async fn a_file_that_changes_is_taken_up() {
        let scene = Scene::new();
        scene.assert_in_use(&[ONE]).await;
        scene.write(&format!("{OTHER}\n{ONE}\n"), 50);
        scene.assert_in_use(&[OTHER, ONE]).await;
        // This version differs from the previous one only in its time.
        scene.write(&format!("{ONE}\n{OTHER}\n"), 40);
        scene.assert_in_use(&[ONE, OTHER]).await;
    }

    #[tokio::test]
    async fn a_file_that_is_wrong_or_gone_changes_nothing_until_it_is_right() {
        let scene = Scene::new();
        for text in ["", "whsec_", "whpk_x", "\u{0}"] {
            scene.write(text, 50);
            scene.assert_in_use(&[ONE]).await;
            assert!(scene.keyring.kept().trouble.is_some());
        }
        fs::remove_file(&scene.path).unwrap();
        scene.assert_in_use(&[ONE]).await;
        fs::create_dir(&scene.path).unwrap();
        scene.assert_in_use(&[ONE]).await;
        fs::remove_dir(&scene.path).unwrap();
        scene.write(OTHER, 50);
        scene.assert_in_use(&[OTHER]).await;
        assert!(scene.keyring.kept().trouble.is_none());
    }

    #[tokio::test]
    async fn a_file_that_was_just_written_waits_for_the_next_look() {
        let scene = Scene::new();
        scene.assert_in_use(&[ONE]).await;
        scene.write(OTHER, 0);
        let now = SystemTime::now();
        let look = |written_before| Look { seen: scene.keyring.kept().seen, written_before }.at(&scene.path);
        assert!(matches!(look(now - LOOK_INTERVAL), Ok(Found::Same)));
        assert!(matches!(look(now + LOOK_INTERVAL), Ok(Found::Changed(..))));
        // A date in the future comes from another clock, or this clock was set back.
        assert!(matches!(look(now - Duration::from_secs(3600)), Ok(Found::Changed(..))));
    }

    #[tokio::test]
    async fn a_file_is_not_looked_at_for_every_delivery() {
        let scene = Scene::new();
        scene.assert_in_use(&[ONE]).await;
        let look = scene.keyring.kept().looked_at;
        scene.keyring.kept().looked_at = Some(Instant::now() + Duration::from_secs(3600));
        scene.write(OTHER, 50);
        assert!(look.is_some() && *scene.keyring.secrets().await == [SigningSecret::parse(ONE).unwrap()]);
    }
}
