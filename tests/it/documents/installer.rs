//! `deploy/install.sh` against a release on loopback: it installs what the sums name, and nothing else.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::support::process::relay::{code, stderr, stdout};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/install.sh");

/// A release server with versions 1.2.3 and 1.2.4 (the latest), and a folder to install into.
struct Releases {
    folder: TempDir,
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Releases {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for version in ["1.2.3", "1.2.4"] {
            release(&folder.path().join("releases/download").join(format!("v{version}")), version);
        }
        fs::create_dir(folder.path().join("releases/latest")).unwrap();
        let latest = folder.path().join("releases/latest/download");
        std::os::unix::fs::symlink("../download/v1.2.4", latest).unwrap();
        fs::create_dir(folder.path().join("temporary")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/releases", listener.local_addr().unwrap());
        let requests = Arc::default();
        let router = Router::new().fallback(serve);
        let router = router.with_state((folder.path().to_path_buf(), Arc::clone(&requests)));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { folder, address, requests }
    }

    /// The folder to install into.
    fn bin(&self) -> PathBuf {
        self.folder.path().join("bin")
    }

    /// The file of a release, as the server has it.
    fn file(&self, version: &str, ending: &str) -> PathBuf {
        let folder = self.folder.path().join("releases/download").join(format!("v{version}"));
        let mut files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files.find(|path| path.to_str().unwrap().ends_with(ending)).unwrap()
    }

    /// Runs `script` against this server.
    async fn run(&self, script: &Path, args: &[&str]) -> Output {
        let mut command = Command::new("sh");
        command.arg(script).args(args).arg("--dir").arg(self.bin()).stdin(Stdio::null());
        command.env("B24RELAY_RELEASES", &self.address).env("TMPDIR", self.folder.path().join("temporary"));
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    async fn install(&self, args: &[&str]) -> Output {
        let output = self.run(Path::new(SCRIPT), args).await;
        let left = fs::read_dir(self.folder.path().join("temporary")).unwrap().count();
        assert_eq!(left, 0, "temporary files are left: {}", stderr(&output));
        output
    }

    /// The names of the installed files.
    fn installed(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.bin()) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

async fn serve(
    State((folder, requests)): State<(PathBuf, Arc<Mutex<Vec<String>>>)>,
    uri: Uri,
) -> Result<Vec<u8>, StatusCode> {
    requests.lock().unwrap().push(uri.path().to_owned());
    fs::read(folder.join(uri.path().trim_start_matches('/'))).map_err(|_| StatusCode::NOT_FOUND)
}

/// A release: an archive for each system, whose program says its version, and the sums.
fn release(folder: &Path, version: &str) {
    fs::create_dir_all(folder).unwrap();
    let mut sums = Vec::new();
    for target in [
        "x86_64-unknown-linux-musl",
        "aarch64-unknown-linux-musl",
        "x86_64-apple-darwin",
        "aarch64-apple-darwin",
    ] {
        let name = format!("b24relay-v{version}-{target}");
        let program = folder.join(&name).join("b24relay");
        fs::create_dir(folder.join(&name)).unwrap();
        fs::write(&program, format!("#!/bin/sh\necho b24relay {version}\n")).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let archive = format!("{name}.tar.gz");
        let mut tar = Command::new("tar");
        tar.args(["-czf", &archive, &name]).current_dir(folder);
        assert!(tar.status().unwrap().success());
        let sum = Sha256::digest(fs::read(folder.join(&archive)).unwrap());
        let digits: Vec<String> = sum.iter().map(|byte| format!("{byte:02x}")).collect();
        for file in [archive, format!("b24relay_{version}_{target}.deb")] {
            sums.push(format!("{}  {file}\n", digits.concat()));
        }
    }
    fs::write(folder.join("SHA256SUMS"), sums.concat()).unwrap();
}

fn version_of(program: &Path) -> String {
    stdout(&Command::new(program).arg("--version").output().unwrap())
}

#[tokio::test]
async fn the_latest_release_is_installed_and_a_version_on_request() {
    let releases = Releases::start().await;
    let installed = releases.install(&[]).await;
    assert_eq!(code(&installed), 0, "{}", stderr(&installed));
    assert_eq!(version_of(&releases.bin().join("b24relay")), "b24relay 1.2.4\n");
    assert!(stdout(&installed).contains("is not in PATH"), "{}", stdout(&installed));
    for version in ["1.2.3", "v1.2.4"] {
        let installed = releases.install(&["--version", version]).await;
        assert_eq!(code(&installed), 0, "{}", stderr(&installed));
        let said = version_of(&releases.bin().join("b24relay"));
        assert_eq!(said.trim_end(), format!("b24relay {}", version.trim_start_matches('v')));
    }
    assert_eq!(releases.installed(), ["b24relay"]);
}

#[tokio::test]
async fn a_download_with_another_sum_is_not_installed() {
    let releases = Releases::start().await;
    assert_eq!(code(&releases.install(&["--version", "1.2.3"]).await), 0);
    for target in ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"] {
        // The archive of the other version: it would unpack and start.
        fs::copy(
            releases.file("1.2.3", &format!("{target}.tar.gz")),
            releases.file("1.2.4", &format!("{target}.tar.gz")),
        )
        .unwrap();
    }
    let refused = releases.install(&[]).await;
    assert_eq!(code(&refused), 1, "{}", stdout(&refused));
    assert!(stderr(&refused).contains("is damaged or was changed"), "{}", stderr(&refused));
    assert_eq!(version_of(&releases.bin().join("b24relay")), "b24relay 1.2.3\n");
    assert_eq!(releases.installed(), ["b24relay"]);
}

#[tokio::test]
async fn what_a_release_lacks_is_named_and_nothing_is_installed() {
    let releases = Releases::start().await;
    let unknown = releases.install(&["--version", "9.9.9"]).await;
    assert_eq!(code(&unknown), 1);
    assert!(stderr(&unknown).contains("/releases/download/v9.9.9/SHA256SUMS"), "{}", stderr(&unknown));
    fs::write(releases.file("1.2.4", "SHA256SUMS"), "").unwrap();
    let without = releases.install(&[]).await;
    assert_eq!(code(&without), 1);
    assert!(stderr(&without).contains("has no archive for "), "{}", stderr(&without));
    assert!(releases.installed().is_empty());
}

#[tokio::test]
async fn a_script_that_was_cut_off_does_nothing() {
    let releases = Releases::start().await;
    let script = fs::read_to_string(SCRIPT).unwrap();
    let cut = releases.folder.path().join("cut.sh");
    let ends: Vec<usize> = script.match_indices('\n').map(|(at, _)| at).collect();
    for end in &ends[..ends.len() - 1] {
        fs::write(&cut, &script[..*end]).unwrap();
        releases.run(&cut, &[]).await;
    }
    assert!(releases.installed().is_empty());
    assert!(releases.requests.lock().unwrap().is_empty());
    fs::write(&cut, &script).unwrap();
    assert_eq!(code(&releases.run(&cut, &[]).await), 0, "the whole script does something");
}

#[test]
fn the_installer_explains_itself_and_refuses_what_is_not_safe() {
    let run = |args: &[&str], releases: &str| {
        let mut command = Command::new("sh");
        command.arg(SCRIPT).args(args).stdin(Stdio::null()).env("B24RELAY_RELEASES", releases);
        command.output().unwrap()
    };
    let help = run(&["--help"], "");
    assert_eq!((code(&help), stderr(&help).as_str()), (0, ""));
    for word in ["usage: ", "--version VERSION", "--dir FOLDER", "Needs ", "Example: "] {
        assert!(stdout(&help).contains(word), "no `{word}` in {}", stdout(&help));
    }
    for wrong in [&["--no-such-flag"][..], &["--dir"], &["--dir", ""], &["--version", "../1"]] {
        let refused = run(wrong, "");
        assert_eq!(code(&refused), 2, "{wrong:?}: {}", stderr(&refused));
        assert!(stderr(&refused).contains("usage: "), "{}", stderr(&refused));
    }
    for address in ["http://example.org/releases", "http://localhost.example.org", "file:///tmp"] {
        let refused = run(&["--dir", "/nonexistent"], address);
        assert_eq!(code(&refused), 1, "{address}: {}", stderr(&refused));
        assert!(stderr(&refused).contains("is no https address"), "{}", stderr(&refused));
    }
}
