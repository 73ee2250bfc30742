//! The files that `init` writes: each of them whole or not at all, and none over an existing one.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::NamedTempFile;

use crate::cli::exit::UsageError;
use crate::cli::init::destination::Destination;
use crate::cli::init::place::{Place, WEBHOOK};
use crate::cli::init::template;
use crate::config::WebhookUrl;

const SECRET_MODE: u32 = 0o600;
/// The user of the service reads these. They hold no secret.
const PUBLIC_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;

/// The planned files, the configuration last: while it is missing, nothing else is used.
pub(super) struct Files {
    planned: Vec<Planned>,
    /// The user of the service must be able to read the folders, whatever the umask is.
    is_for_service: bool,
}

struct Planned {
    path: PathBuf,
    text: String,
    mode: u32,
    /// The text of a file of the package, which is there unchanged and is replaced.
    replaces: Option<&'static str>,
    /// The operator has put it there already.
    is_kept: bool,
}

impl Files {
    pub(super) fn of(place: &Place, webhook: &WebhookUrl, destination: &Destination) -> Self {
        let planned = |path: PathBuf, text: String, mode: u32| Planned {
            path,
            text,
            mode,
            replaces: None,
            is_kept: false,
        };
        let url = format!("{}\n", webhook.expose_method(""));
        let mut files = vec![planned(place.secret(WEBHOOK), url, SECRET_MODE)];
        let further = destination.secrets();
        if let Some(drop_in) = place.drop_in().filter(|_| !further.is_empty()) {
            let credentials =
                further.iter().map(|secret| format!("LoadCredential={0}:/etc/b24relay/{0}\n", secret.name));
            let text =
                format!("# Written by `b24relay init`.\n[Service]\n{}", credentials.collect::<String>());
            files.push(planned(drop_in, text, PUBLIC_MODE));
        }
        let secrets = further.into_iter();
        files.extend(secrets.map(|secret| planned(place.secret(secret.name), secret.text, SECRET_MODE)));
        let config = planned(place.config(), template::of(place, destination), PUBLIC_MODE);
        files.push(Planned { replaces: place.of_package(), ..config });
        Self { planned: files, is_for_service: place.drop_in().is_some() }
    }

    /// Refuses if any of the files exists. The file that the URL was read from may be one of them: it stays as it is.
    pub(super) fn refuse_existing(&mut self, url_file: Option<&Path>) -> Result<(), UsageError> {
        let source = url_file.and_then(|file| file.canonicalize().ok());
        for file in &mut self.planned {
            file.is_kept = source.is_some() && file.path.canonicalize().ok() == source;
        }
        let is_in_the_way = |file: &&Planned| {
            !file.is_kept && file.replaces.is_none() && file.path.symlink_metadata().is_ok()
        };
        match self.planned.iter().find(is_in_the_way) {
            None => Ok(()),
            Some(file) => Err(UsageError(format!(
                "`{}` exists already, and `init` overwrites nothing: move it away, or give another folder with `--dir \
                 DIR`; if it holds the webhook's URL, `--webhook-url-file {0}` uses it",
                file.path.display()
            ))),
        }
    }

    /// The list of the planned files.
    pub(super) fn described(&self) -> String {
        let lines = self.planned.iter().map(|file| {
            let how = match (file.is_kept, file.replaces.is_some()) {
                (true, _) => "is there already and stays",
                (false, true) => "replaces the unchanged one of the package",
                (false, false) if file.mode == SECRET_MODE => "new, only its owner can read it",
                (false, false) => "new",
            };
            format!("  {}  ({how})", file.path.display())
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Writes all files. If one cannot be written, those that were written before it are removed.
    pub(super) fn write(&self) -> anyhow::Result<()> {
        for (count, file) in self.planned.iter().enumerate().filter(|(_, file)| !file.is_kept) {
            if let Err(error) = file.write(self.is_for_service) {
                remove(&self.planned[..count]);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Removes the written files, and restores a replaced one.
    pub(super) fn remove(&self) {
        remove(&self.planned);
    }
}

fn remove(files: &[Planned]) {
    for file in files.iter().filter(|file| !file.is_kept) {
        // The caller reports a more important error.
        match file.replaces {
            Some(text) => fs::write(&file.path, text).ok(),
            None => fs::remove_file(&file.path).ok(),
        };
    }
}

impl Planned {
    fn write(&self, is_for_service: bool) -> anyhow::Result<()> {
        let shown = self.path.display();
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        if !folder.exists() {
            fs::create_dir_all(folder)
                .and_then(|()| {
                    if is_for_service {
                        return fs::set_permissions(folder, Permissions::from_mode(FOLDER_MODE));
                    }
                    Ok(())
                })
                .with_context(|| format!("create the folder `{}`", folder.display()))?;
        }
        // A temporary file has mode 0600 from the beginning.
        let mut file = NamedTempFile::new_in(folder).with_context(|| format!("create `{shown}`"))?;
        file.write_all(self.text.as_bytes())
            .and_then(|()| file.as_file().set_permissions(Permissions::from_mode(self.mode)))
            .and_then(|()| file.as_file().sync_all())
            .with_context(|| format!("write `{shown}`"))?;
        let placed = if self.replaces.is_some() {
            file.persist(&self.path)
        } else {
            file.persist_noclobber(&self.path)
        };
        placed.map_err(|error| error.error).with_context(|| format!("create `{shown}`"))?;
        Ok(())
    }
}
