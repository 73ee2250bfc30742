//! The folders: the working directory, another one, or those of the systemd unit.

use std::io;
use std::path::{Path, PathBuf, absolute};

use clap::Args;
use rustix::process::geteuid;

use crate::cli::exit::UsageError;
use crate::cli::exit_code::Exit;

const CONFIG: &str = "b24relay.toml";

/// The configuration of the Debian package. It may be replaced while it is unchanged.
const OF_PACKAGE: &str = include_str!("../../../deploy/debian/b24relay.toml");

/// The only secret that the unit itself passes to the daemon.
pub(super) const WEBHOOK: &str = "support.url";

#[derive(Debug, Args)]
#[command(next_help_heading = "Folder")]
pub(super) struct PlaceArgs {
    /// The folder for the configuration and the secrets [default: the working directory]
    #[arg(long, value_name = "DIR", conflicts_with = "systemd")]
    dir: Option<PathBuf>,
    /// Write where the systemd unit of the package looks: /etc/b24relay
    #[arg(long)]
    systemd: bool,
    /// Put this folder before the paths of --systemd, for an image of another machine
    #[arg(long, value_name = "DIR", requires = "systemd")]
    root: Option<PathBuf>,
}

impl PlaceArgs {
    /// Whether the folders and the receiver of this machine say nothing.
    pub(super) fn is_for_another_machine(&self) -> bool {
        self.root.is_some()
    }
}

/// Where everything goes.
pub(super) struct Place {
    folder: PathBuf,
    kind: Kind,
}

enum Kind {
    /// Paths in the configuration are relative to the working directory.
    Here,
    /// They are absolute.
    Folder,
    /// As the unit has them; all files are below `root`.
    Systemd { root: PathBuf },
}

impl Place {
    pub(super) fn of(args: &PlaceArgs) -> anyhow::Result<Self> {
        if args.systemd {
            if args.root.is_none() && !geteuid().is_root() {
                let text = "`--systemd` writes to /etc/b24relay, which only root may: run it with `sudo`";
                return Err(UsageError(text.to_owned()).into());
            }
            let root = args.root.clone().unwrap_or_else(|| PathBuf::from("/"));
            return Ok(Self { folder: root.join("etc/b24relay"), kind: Kind::Systemd { root } });
        }
        match args.dir.as_deref() {
            None => Ok(Self { folder: PathBuf::from("."), kind: Kind::Here }),
            Some(dir) => Ok(Self { folder: absolute(dir)?, kind: Kind::Folder }),
        }
    }

    /// The path of the configuration.
    pub(super) fn config(&self) -> PathBuf {
        self.folder.join(CONFIG)
    }

    /// The path of the secret called `name`.
    pub(super) fn secret(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// How the configuration names that path.
    pub(super) fn secret_key(&self, name: &str) -> String {
        match self.kind {
            // The unit's credentials have no folder.
            Kind::Here | Kind::Systemd { .. } => name.to_owned(),
            Kind::Folder => self.secret(name).display().to_string(),
        }
    }

    /// The drop-in that hands over the further secrets of the unit.
    pub(super) fn drop_in(&self) -> Option<PathBuf> {
        match &self.kind {
            Kind::Here | Kind::Folder => None,
            Kind::Systemd { root } => Some(root.join("etc/systemd/system/b24relay.service.d/secrets.conf")),
        }
    }

    /// The path of the state file, as the configuration names it.
    pub(super) fn state(&self) -> String {
        self.default("/var/lib/b24relay", "b24relay.db")
    }

    /// The default path of the file sink.
    pub(super) fn archive(&self) -> String {
        self.default("/var/log/b24relay", "events.jsonl")
    }

    fn default(&self, of_unit: &str, name: &str) -> String {
        match self.kind {
            Kind::Here => format!("./{name}"),
            Kind::Folder => self.folder.join(name).display().to_string(),
            Kind::Systemd { .. } => format!("{of_unit}/{name}"),
        }
    }

    /// A path as the configuration names it. It stays relative only if the configuration is in the working directory.
    pub(super) fn named(&self, path: &str) -> io::Result<String> {
        match self.kind {
            Kind::Here => Ok(path.to_owned()),
            Kind::Folder | Kind::Systemd { .. } => Ok(absolute(path)?.display().to_string()),
        }
    }

    /// Refuses a configuration that exists already, before anything is asked.
    pub(super) fn refuse_existing(&self) -> Result<(), UsageError> {
        let config = self.config();
        if config.symlink_metadata().is_err() || self.of_package().is_some() {
            return Ok(());
        }
        Err(UsageError(format!(
            "`{}` exists already, and `init` overwrites nothing: use it (`b24relay check`), move it away, or give \
             another folder with `--dir DIR`",
            config.display()
        )))
    }

    /// The configuration of the package, if it is there and unchanged.
    pub(super) fn of_package(&self) -> Option<&'static str> {
        let is_unit = matches!(self.kind, Kind::Systemd { .. });
        let is_unchanged = || std::fs::read(self.config()).is_ok_and(|found| found == OF_PACKAGE.as_bytes());
        (is_unit && is_unchanged()).then_some(OF_PACKAGE)
    }

    /// What to do next.
    pub(super) fn next(&self, checked: Exit) -> String {
        let config = self.config();
        let flag = match self.kind {
            Kind::Here => String::new(),
            Kind::Folder | Kind::Systemd { .. } => format!(" --config {}", shell_word(&config)),
        };
        if checked != Exit::Clean {
            return format!("\nCorrect what `check` has found, then: b24relay check{flag}");
        }
        match self.kind {
            Kind::Here | Kind::Folder => format!(
                "\nNext: b24relay run{flag}\nThen write a message in one of that user's chats: it is delivered within \
                 seconds."
            ),
            Kind::Systemd { .. } => {
                "\nNext: sudo systemctl daemon-reload && sudo systemctl enable --now b24relay".to_owned()
            }
        }
    }
}

/// `path`, in quotes where a shell would take it apart.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
