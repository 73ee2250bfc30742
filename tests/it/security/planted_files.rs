//! Files that another user plants in that user's folder must not give a command of root more access than that user has.
//! Each test carries out an attack. The tests need root.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Output;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::geteuid;

use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{code, finished, stderr, stdout};
use crate::support::process::setup::Setup;

/// The attacker: `nobody`.
const THEM: u32 = 65534;

/// The names that the daemon's user can create beside its state file.
const NAMES: [&str; 6] = ["-wal", "-shm", "-journal", ".lock", ".letters.lock", ".new"];

const STATE: &str = "theirs/b24relay.db";

/// Commands that open the state file for reading, for writing, and for its locks.
const COMMANDS: [&[&str]; 7] = [
    &["run", "--once"],
    &["status"],
    &["state", "check"],
    &["state", "backup", "copy.db"],
    &["offset", "set", "support", "1"],
    &["dead-letters", "discard", "--yes"],
    &["resume", "archive"],
];

struct Scene {
    portal: Portal,
    setup: Setup,
}

impl Scene {
    /// A configuration of root whose state is in a folder of another user, and a file of root that the attacker wants.
    /// `None` without root.
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    async fn new() -> Option<Self> {
        if !geteuid().is_root() {
            eprintln!("skipped: this needs root");
            return None;
        }
        let portal = Portal::start().await;
        let setup = Setup::new().with_source(&portal).with_file();
        portal.record(1, 3).await;
        fs::set_permissions(setup.folder(), Permissions::from_mode(0o711)).unwrap();
        fs::create_dir(setup.path("theirs")).unwrap();
        chown(setup.path("theirs"), Some(THEM), Some(THEM)).unwrap();
        fs::write(setup.path("secret"), "root's").unwrap();
        fs::set_permissions(setup.path("secret"), Permissions::from_mode(0o600)).unwrap();
        Some(Self { portal, setup })
    }

    /// The same with a state that its user has already used.
    async fn used() -> Option<Self> {
        let scene = Self::new().await?;
        let once = scene.command(&["run", "--once"]).await;
        assert_eq!(code(&once), 0, "{}", stderr(&once));
        Some(scene)
    }

    async fn command(&self, args: &[&str]) -> Output {
        finished(&[args, &["--state", STATE]].concat(), self.setup.folder()).await
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        self.setup.path(&format!("{STATE}{suffix}"))
    }

    /// Renames the file with this suffix, which its user may do at any time.
    fn clear(&self, suffix: &str) -> PathBuf {
        let path = self.beside(suffix);
        fs::remove_file(&path).ok();
        fs::remove_file(self.setup.path("copy.db")).ok();
        path
    }

    fn plant_link(&self, suffix: &str, target: &Path) {
        let path = self.clear(suffix);
        symlink(target, &path).unwrap();
        lchown(&path, Some(THEM), Some(THEM)).unwrap();
    }

    fn assert_secret_is_untouched(&self, attack: &str) {
        let path = self.setup.path("secret");
        let metadata = path.metadata().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"root's", "{attack}");
        assert_eq!((metadata.uid(), metadata.mode() & 0o777), (0, 0o600), "{attack}: it was given away");
    }
}

fn owners(folder: &Path) -> Vec<(String, u32)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let owner = |entry: fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), entry.path().symlink_metadata().unwrap().uid())
    };
    entries.map(owner).collect()
}

#[tokio::test]
async fn what_root_makes_in_the_folder_of_another_user_is_that_users() {
    let Some(scene) = Scene::used().await else { return };
    for args in COMMANDS {
        scene.command(args).await;
        for (name, owner) in owners(&scene.setup.path("theirs")) {
            assert_eq!(owner, THEM, "{args:?} made `{name}`");
        }
    }
    // As with systemd, where only root may enter `/var/lib/private`.
    fs::set_permissions(scene.setup.folder(), Permissions::from_mode(0o700)).unwrap();
    let status = scene.command(&["status"]).await;
    assert_eq!(code(&status), 69, "no daemon runs: {}", stderr(&status));
}

#[tokio::test]
async fn a_planted_link_is_not_followed() {
    let Some(scene) = Scene::used().await else { return };
    let secret = scene.setup.path("secret");
    for name in NAMES {
        for args in COMMANDS {
            let attack = format!("{args:?} with a link as `{name}`");
            scene.plant_link(name, &secret);
            let ended = scene.command(args).await;
            scene.assert_secret_is_untouched(&attack);
            if name != ".new" {
                assert_eq!(code(&ended), 74, "{attack}: {}{}", stdout(&ended), stderr(&ended));
                assert!(stderr(&ended).contains("is a symbolic link"), "{attack}: {}", stderr(&ended));
            }
            scene.plant_link(name, &scene.setup.path("made"));
            scene.command(args).await;
            assert!(!scene.setup.path("made").exists(), "{attack}: a file was made where it leads to");
        }
        scene.clear(name);
    }
}

#[tokio::test]
async fn a_planted_second_name_of_a_file_is_not_used() {
    let Some(scene) = Scene::used().await else { return };
    for name in NAMES {
        for args in COMMANDS {
            let attack = format!("{args:?} with a hard link as `{name}`");
            fs::hard_link(scene.setup.path("secret"), scene.clear(name)).unwrap();
            let ended = scene.command(args).await;
            scene.assert_secret_is_untouched(&attack);
            if name != ".new" {
                assert_eq!(code(&ended), 74, "{attack}: {}", stderr(&ended));
                assert!(stderr(&ended).contains("has 2 names"), "{attack}: {}", stderr(&ended));
            }
        }
        scene.clear(name);
    }
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
async fn a_planted_fifo_or_device_holds_up_nobody() {
    let plant = |path: &Path, kind| {
        // The device is `/dev/zero`, which never ends.
        mknodat(CWD, path, kind, Mode::from_raw_mode(0o600), rustix::fs::makedev(1, 5)).is_ok()
    };
    for (kind, word) in [(FileType::Fifo, "is a FIFO"), (FileType::CharacterDevice, "is a device")] {
        let Some(scene) = Scene::used().await else { return };
        for name in NAMES {
            for args in COMMANDS {
                let path = scene.clear(name);
                if !plant(&path, kind) {
                    eprintln!("skipped: this needs the right to make devices");
                    return;
                }
                // A command that waits is killed, and then has no exit code.
                let ended = scene.command(args).await;
                let expected = if name == ".new" { code(&ended) } else { 74 };
                assert_eq!(code(&ended), expected, "{args:?}, `{name}` {word}: {}", stderr(&ended));
                assert!(name == ".new" || stderr(&ended).contains(word), "{}", stderr(&ended));
            }
            scene.clear(name);
        }
        let path = scene.clear("");
        assert!(plant(&path, kind));
        for args in COMMANDS {
            let ended = scene.command(args).await;
            assert_eq!(code(&ended), 74, "{args:?}: {}", stderr(&ended));
            assert!(stderr(&ended).contains(&format!("it {word}")), "{}", stderr(&ended));
        }
    }
}

#[tokio::test]
async fn a_file_of_a_third_user_is_not_used() {
    let Some(scene) = Scene::used().await else { return };
    fs::write(scene.clear(".lock"), "").unwrap();
    chown(scene.beside(".lock"), Some(THEM - 1), None).unwrap();
    for args in COMMANDS {
        let ended = scene.command(args).await;
        assert_eq!(code(&ended), 74, "{args:?}: {}", stderr(&ended));
        assert!(stderr(&ended).contains("belongs to the user 65533"), "{args:?}: {}", stderr(&ended));
    }
}

/// The state file itself is a link into a folder that only root may write to.
#[tokio::test]
async fn a_planted_state_file_leads_no_further_than_its_user_may_go() {
    let Some(scene) = Scene::new().await else { return };
    fs::create_dir(scene.setup.path("roots")).unwrap();
    fs::write(scene.setup.path("roots/empty"), "").unwrap();
    for (target, args) in ["roots/empty", "roots/nothing", "secret", "roots/no/folder"]
        .iter()
        .flat_map(|target| COMMANDS.map(|args| (target, args)))
    {
        scene.plant_link("", &scene.setup.path(target));
        let ended = scene.command(args).await;
        assert_ne!(code(&ended), 0, "{args:?}, {target}: {}", stdout(&ended));
        scene.assert_secret_is_untouched(target);
        let left = owners(&scene.setup.path("roots"));
        assert_eq!(left, [("empty".to_owned(), 0)], "{args:?}, {target}");
        assert_eq!(scene.setup.path("roots/empty").metadata().unwrap().len(), 0, "{args:?}, {target}");
    }
    assert_eq!(scene.portal.stats(1).await["confirmed"], 0);
}

#[tokio::test]
async fn a_copy_is_its_makers_and_follows_no_link() {
    let Some(scene) = Scene::used().await else { return };
    let target = scene.setup.path("theirs/copy.db");
    for planted in ["secret", "made"] {
        symlink(scene.setup.path(planted), &target).unwrap();
        lchown(&target, Some(THEM), Some(THEM)).unwrap();
        let refused = scene.command(&["state", "backup", "theirs/copy.db"]).await;
        assert_eq!(code(&refused), 74, "{}", stderr(&refused));
        assert!(stderr(&refused).contains("there is something of that name already"), "{}", stderr(&refused));
        scene.assert_secret_is_untouched("a copy");
        assert!(!scene.setup.path("made").exists());
        fs::remove_file(&target).unwrap();
    }
    symlink(scene.setup.path("secret"), scene.setup.path("theirs/copy.db.part")).unwrap();
    let made = scene.command(&["state", "backup", "theirs/copy.db"]).await;
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    scene.assert_secret_is_untouched("a draft");
    let metadata = target.symlink_metadata().unwrap();
    assert_eq!((metadata.uid(), metadata.mode() & 0o777, metadata.is_file()), (0, 0o600, true));
}

#[tokio::test]
async fn root_uses_no_configuration_that_others_can_have_put_there() {
    let Some(scene) = Scene::new().await else { return };
    let (folder, file) = (scene.setup.folder().to_owned(), scene.setup.path("b24relay.toml"));
    let attacks: [(&str, &dyn Fn()); 5] = [
        ("its folder belongs to the user 65534", &|| chown(&folder, Some(THEM), None).unwrap()),
        ("it belongs to the user 65534", &|| chown(&file, Some(THEM), None).unwrap()),
        ("others than root may write to it", &|| {
            fs::set_permissions(&file, Permissions::from_mode(0o646)).unwrap();
        }),
        ("others than root may write to its folder", &|| {
            fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
        }),
        ("it belongs to the user 65534", &|| {
            fs::rename(&file, folder.join("real.toml")).unwrap();
            symlink("real.toml", &file).unwrap();
            lchown(&file, Some(THEM), None).unwrap();
        }),
    ];
    for (word, attack) in attacks {
        attack();
        for args in [&["status"][..], &["run", "--once"], &["check", "--no-network"]] {
            let refused = finished(args, &folder).await;
            let said = stdout(&refused) + &stderr(&refused);
            assert_eq!(code(&refused), 78, "{word}, {args:?}: {said}");
            for word in [word, "`./b24relay.toml` is not used", "`--config ./b24relay.toml`"] {
                assert!(said.contains(word), "{args:?}: no `{word}` in: {said}");
            }
        }
        // Follow the hint of the message.
        let named = finished(&["status", "--config", "./b24relay.toml"], &folder).await;
        assert_eq!(code(&named), 74, "there is no state yet: {}", stderr(&named));
        chown(&folder, Some(0), None).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        chown(&file, Some(0), None).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    }
    assert_eq!(scene.portal.polls().await, 0);
}
