//! Checks whether a sink can be reached, without sending an event or creating anything.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use b24_client::http::ProxyError;

use crate::blocking;
use crate::config::{SinkConfig, TargetConfig};
use crate::sink::contract::ProbeError;
use crate::sink::file::path::{self, follow};
use crate::sink::webhook;
use crate::symlinks::folder_of;

/// Short, because the operator waits for the result.
const TIMEOUT_MAX: Duration = Duration::from_secs(10);

/// Tries to reach the sink that `sink` describes, and describes the result.
pub async fn probe(sink: &SinkConfig) -> Result<String, ProbeError> {
    match &sink.target {
        TargetConfig::Stdout(_) => Ok("standard output is always there".to_owned()),
        TargetConfig::File(file) => {
            let (path, is_rotated) = (file.path.clone(), file.rotate.is_some());
            blocking::run(move || {
                let reached = probe_file(&path)?;
                if is_rotated {
                    probe_rotation(&path)?;
                }
                Ok(reached)
            })
            .await
            .map_err(ProbeError)
        }
        TargetConfig::Webhook(config) => webhook::probe(config, config.timeout.min(TIMEOUT_MAX)).await,
    }
}

/// Warnings about a sink that can be reached: other users with access to its file.
pub async fn cautions(sink: &SinkConfig) -> Vec<String> {
    let TargetConfig::File(file) = &sink.target else { return Vec::new() };
    let path = file.path.clone();
    blocking::run(move || path::cautions(&path)).await
}

/// Describes the proxy that is used for the sink.
pub fn proxy_to(sink: &SinkConfig) -> Result<Option<String>, ProxyError> {
    match &sink.target {
        TargetConfig::Stdout(_) | TargetConfig::File(_) => Ok(None),
        TargetConfig::Webhook(config) => Ok(webhook::proxy_to(config)?.map(|proxy| proxy.to_string())),
    }
}

fn probe_file(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let place = follow(path).map_err(|error| format!("cannot write `{shown}`: {error}"))?;
    if let Ok(found) = fs::metadata(&place) {
        path::refuse_planted(&place, &found).map_err(|error| format!("cannot write `{shown}`: {error}"))?;
    }
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => Err(format!("`{shown}` is not a regular file")),
        Ok(_) => match OpenOptions::new().read(true).append(true).open(path) {
            Ok(_) => Ok(format!("`{shown}` can be written")),
            Err(error) => Err(format!("cannot write `{shown}`: {error}")),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let folder = nearest_folder(path);
            let (shown_folder, error) = (folder.display(), try_folder(&folder).err());
            error.map_or_else(
                || Ok(format!("`{shown}` is not there yet and can be created in `{shown_folder}`")),
                |error| Err(format!("cannot create `{shown}` in `{shown_folder}`: {error}")),
            )
        }
        Err(error) => Err(format!("cannot look at `{shown}`: {error}")),
    }
}

/// Checks whether the file can be rotated, if it exists. That needs access to its directory.
fn probe_rotation(path: &Path) -> Result<(), String> {
    let place = follow(path).map_err(|error| format!("cannot look at `{}`: {error}", path.display()))?;
    let folder = folder_of(&place);
    if !place.exists() {
        return Ok(());
    }
    try_folder(folder).map_err(|error| {
        let (path, folder) = (path.display(), folder.display());
        format!("`{path}` can be written, but not rotated: cannot create files in `{folder}`: {error}")
    })
}

/// The lowest existing directory above `path`. The sink creates those below it.
fn nearest_folder(path: &Path) -> PathBuf {
    let above = path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
    above.into_iter().find(|folder| folder.exists()).unwrap_or(Path::new(".")).to_owned()
}

/// Creates a file without a name, which is deleted when it is closed. Permission bits do not show that a disk
/// is read-only.
fn try_folder(folder: &Path) -> io::Result<()> {
    tempfile::tempfile_in(folder).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_reached_without_a_trace() {
        let folder = tempfile::tempdir().unwrap();
        let probe = |name: &str| probe_file(&folder.path().join(name));
        assert!(probe("events.jsonl").unwrap().contains("can be created"));
        assert!(probe("a/b/events.jsonl").unwrap().contains("can be created"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was created");
        fs::write(folder.path().join("events.jsonl"), "x\n").unwrap();
        assert!(probe("events.jsonl").unwrap().contains("can be written"));
        assert_eq!(fs::read(folder.path().join("events.jsonl")).unwrap(), b"x\n");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_file_that_cannot_be_put_aside_is_told_when_it_is_to_be_rotated() {
        // A writable file in a directory in which no file can be created.
        let path = Path::new("/proc/self/comm");
        assert!(probe_file(path).unwrap().contains("can be written"));
        assert!(probe_rotation(path).unwrap_err().contains("not rotated"));
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("events.jsonl");
        std::os::unix::fs::symlink(path, &link).unwrap();
        assert!(
            probe_rotation(&link).unwrap_err().contains("not rotated"),
            "it is the target that is rotated"
        );
        let fine = folder.path().join("fine.jsonl");
        assert_eq!(probe_rotation(&fine), Ok(()));
        fs::write(&fine, "").unwrap();
        assert_eq!(probe_rotation(&fine), Ok(()));
    }

    #[test]
    fn what_cannot_become_a_file_is_told() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        fs::create_dir(folder.path().join("folder")).unwrap();
        for name in ["folder", "file/events.jsonl"] {
            assert!(probe_file(&folder.path().join(name)).unwrap_err().contains(name), "{name}");
        }
    }
}
