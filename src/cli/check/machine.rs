//! The checks of this machine: the files that hold secrets, the port of `[http]`, and the files of the sinks.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::finding::Finding;
use crate::cli::exit_code::Exit;

const SECRETS: &str = "secrets";
const LISTEN: &str = "listen";
const REACH: &str = "reach";

/// How long a server on the port may take to identify itself.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// The headers of every answer of the daemon's HTTP server.
const OUR_HEADERS: [&str; 3] =
    ["referrer-policy: no-referrer", "x-frame-options: deny", "cache-control: no-store"];

/// Checks whether other users can read the files that hold secrets: one warning for each such file, or one finding for
/// all of them.
pub(super) fn secrets(files: &[PathBuf]) -> Vec<Finding> {
    let exposed = files.iter().filter(|file| is_for_all(file));
    let warnings: Vec<Finding> = exposed.map(|file| exposure(file)).collect();
    if warnings.is_empty() && !files.is_empty() {
        return vec![Finding::ok(SECRETS, "only their owner and group can read the files of secrets")];
    }
    warnings
}

fn exposure(file: &Path) -> Finding {
    let file = file.display();
    let detail = format!("`{file}` holds a secret, and every user of this machine can read it");
    Finding::warn(SECRETS, detail, format!("`chmod o= '{file}'`"))
}

/// Whether every user can read `file`. This also needs access to all folders above it.
fn is_for_all(file: &Path) -> bool {
    let allows = |path: &Path, bits: u32| {
        fs::metadata(path).is_ok_and(|found| found.permissions().mode() & bits == bits)
    };
    let Ok(place) = file.canonicalize() else { return false };
    place.metadata().is_ok_and(|found| found.is_file())
        && allows(&place, 0o004)
        && place.ancestors().skip(1).all(|folder| allows(folder, 0o001))
}

/// Whether the daemon could listen on `address`. The running `daemon`, if there is one, may already do so.
pub(super) async fn listen(address: SocketAddr, daemon: Option<&str>) -> Finding {
    let Err(error) = TcpListener::bind(address).await else {
        return Finding::ok(LISTEN, format!("{address} is free"));
    };
    if let Some(daemon) = daemon.filter(|_| error.kind() == ErrorKind::AddrInUse)
        && is_ours(address).await
    {
        return Finding::ok(LISTEN, format!("{address} is in use by {daemon}"));
    }
    let hint = match error.kind() {
        ErrorKind::AddrInUse => {
            "end the program that listens there (`ss -ltnp`), or set `http.listen` to another port"
        }
        ErrorKind::PermissionDenied => {
            "set `http.listen` to a port above 1023, or give the daemon CAP_NET_BIND_SERVICE"
        }
        _ => "set `http.listen` to an address of this machine",
    };
    Finding::fail(LISTEN, Exit::Temporary, format!("http.listen: cannot listen on {address}: {error}"), hint)
}

/// Whether the server that listens there answers like b24relay.
async fn is_ours(address: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.take(4096).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&answer).to_lowercase())
    };
    let answer = timeout(ANSWER_TIMEOUT, ask).await;
    answer.is_ok_and(|answer| {
        answer.is_ok_and(|answer| OUR_HEADERS.iter().all(|header| answer.contains(header)))
    })
}

/// The finding for a file sink whose `path` is one of the process's own output streams instead of a file.
pub(super) fn stream(path: &Path) -> Option<Finding> {
    let text = path.to_str()?;
    let number = ["/dev/fd/", "/proc/self/fd/"].iter().find_map(|folder| text.strip_prefix(folder));
    let hint = match (text, number) {
        ("/dev/stdout", _) | (_, Some("1")) => "set `type = \"stdout\"` and remove `path`",
        ("/dev/stderr", _) | (_, Some("2")) => {
            "the log goes there: set `path` to a file, or `type = \"stdout\"`"
        }
        ("/dev/stdin", _) | (_, Some(_)) => "set `path` to a file",
        _ => return None,
    };
    let detail = format!("`{text}` is what the process was started with, and no file of its own");
    if path.metadata().is_ok_and(|found| found.is_file()) {
        return Some(Finding::warn(REACH, detail, hint));
    }
    Some(Finding::fail(REACH, Exit::Config, detail, hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_for_all_only_when_its_folders_are() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("crm.token");
        fs::write(&file, "s3cr3t").unwrap();
        let restrict =
            |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        for (folder_mode, file_mode, expected) in
            [(0o755, 0o644, true), (0o755, 0o640, false), (0o750, 0o644, false)]
        {
            restrict(folder.path(), folder_mode);
            restrict(&file, file_mode);
            assert_eq!(is_for_all(&file), expected, "{folder_mode:o} {file_mode:o}");
        }
        assert!(!is_for_all(&folder.path().join("absent")));
    }
}
