//! Files that hold secrets: where the relay looks for them, and the error if one is missing. A path is shown
//! only if it is certainly a path, because a secret is easily put in its place.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use b24_client::secret::webhook_url::WebhookUrl;
use config::Value;

use crate::config::parse::quote;
use crate::config::parse::variables::environment;
use crate::config::parse::variables::variable;
use crate::config::secrets::secret_line;

/// Far more than any secret needs.
const LARGEST: u64 = 64 * 1024;

/// File name extensions of secret files. No secret ends with one of these.
const ENDINGS: [&str; 17] = [
    "token", "tokens", "secret", "secrets", "url", "txt", "key", "id", "pem", "crt", "password", "passwd",
    "pass", "pw", "env", "conf", "cred",
];

/// The places to look for secret files, and the files that were found.
#[derive(Default, Debug)]
pub(crate) struct SecretFiles {
    /// The directory of the configuration file.
    beside: Option<PathBuf>,
    /// Where systemd puts a unit's credentials.
    credentials: Option<PathBuf>,
    found: RefCell<Vec<PathBuf>>,
    /// True if the configuration file itself holds secrets.
    is_inline: Cell<bool>,
}

/// Whether any path may be shown, because a secret in its place is recognised as one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shows {
    Path,
    PathForCertain,
}

/// The reason why a file could not be read.
enum Unread {
    /// No file exists at any of these paths.
    Absent(Vec<PathBuf>),
    /// The file at this path is invalid.
    Wrong { place: PathBuf, rule: String },
}

impl SecretFiles {
    /// Uses the directory of the configuration file `file`, if there is one, and systemd's `credentials`.
    pub(crate) fn new(file: Option<&Path>, credentials: Option<&Path>) -> Self {
        let beside = file.and_then(Path::parent).map(Path::to_owned);
        Self { beside, credentials: credentials.map(Path::to_owned), ..Self::default() }
    }

    /// Records that the secret `value` was given without a separate file.
    pub(crate) fn note_inline(&self, value: &Value) {
        if value.origin().is_some_and(|origin| origin != variable::ORIGIN) {
            self.is_inline.set(true);
        }
    }

    /// The files that hold secrets; `file` is the configuration file.
    pub(crate) fn into_found(self, file: Option<&Path>) -> Vec<PathBuf> {
        let mut found = self.found.into_inner();
        found.extend(file.filter(|_| self.is_inline.get()).map(Path::to_owned));
        found.sort();
        found.dedup();
        found
    }

    /// Reads the secret line of the file that `text` names. Also returns the name of the file for error
    /// messages.
    pub(crate) fn line(&self, text: &str, shows: Shows) -> Result<(String, String), String> {
        let (place, text, name) = self.find(text, shows, LARGEST)?;
        let line = secret_line::of_file(&text).map_err(|rule| format!("the file {name}{rule}"))?;
        self.found.borrow_mut().push(place);
        Ok((line.to_owned(), name))
    }

    /// Finds the secret file that `text` names, and reads all of it.
    pub(crate) fn secrets(&self, text: &str) -> Result<(PathBuf, String), String> {
        let (place, text, _) = self.find(text, Shows::PathForCertain, LARGEST)?;
        self.found.borrow_mut().push(place.clone());
        Ok((place, text))
    }

    /// Reads a file that is not secret.
    pub(crate) fn public_text(&self, text: &str, largest: u64) -> Result<String, String> {
        self.find(text, Shows::Path, largest).map(|(_, text, _)| text)
    }

    /// Reads a file with a secret that is longer than a line, such as a private key. A secret in the place of
    /// its path would be recognised.
    pub(crate) fn private_text(&self, text: &str, largest: u64) -> Result<String, String> {
        let (place, text, _) = self.find(text, Shows::Path, largest)?;
        self.found.borrow_mut().push(place);
        Ok(text)
    }

    fn find(&self, text: &str, shows: Shows, largest: u64) -> Result<(PathBuf, String, String), String> {
        let path = file_path(text)?;
        let is_shown = shows == Shows::Path || self.is_certain(&path);
        match self.read(&path, largest) {
            Ok((place, text)) => {
                let name = if is_shown { format!("`{}` ", place.display()) } else { String::new() };
                Ok((place, text, name))
            }
            Err(unread) if is_shown => Err(unread.naming(&path)),
            Err(unread) => Err(unread.nameless()),
        }
    }

    fn read(&self, path: &Path, largest: u64) -> Result<(PathBuf, String), Unread> {
        let places = self.places(path);
        let mut refused = None;
        for place in &places {
            let text = match File::open(place) {
                Ok(file) => read_up_to(file, largest),
                Err(error) if is_absent(&error) => continue,
                // A file of root beside the configuration, which systemd hands over among the credentials.
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                    let rule = unreadable(&error);
                    refused.get_or_insert(Unread::Wrong { place: place.clone(), rule });
                    continue;
                }
                Err(error) => Err(unreadable(&error)),
            };
            let place = place.clone();
            return text.map(|text| (place.clone(), text)).map_err(|rule| Unread::Wrong { place, rule });
        }
        Err(refused.unwrap_or(Unread::Absent(places)))
    }

    /// The full paths to try, in order.
    fn places(&self, path: &Path) -> Vec<PathBuf> {
        let own = [Some(path.to_owned())].into_iter();
        let others =
            [&self.beside, &self.credentials].into_iter().map(|folder| Some(folder.as_ref()?.join(path)));
        let mut places = Vec::new();
        for place in own.chain(others.filter(|_| path.is_relative())).flatten() {
            let place = std::path::absolute(&place).unwrap_or(place);
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }

    /// True if `path` is certainly a path and not a secret: it has a known extension, or its directories
    /// exist.
    fn is_certain(&self, path: &Path) -> bool {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let has_folder =
            path.parent().is_some_and(|folder| folder.components().any(|part| part.as_os_str() != "/"));
        let leads_somewhere = |place: &PathBuf| place.parent().is_some_and(Path::is_dir);
        ENDINGS.contains(&ending.to_ascii_lowercase().as_str())
            || (has_folder && self.places(path).iter().any(leads_somewhere))
    }
}

/// True if the file does not exist; also if a directory of the path is missing, or is a file.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Parses the path of a file. Refuses a secret under the wrong key.
fn file_path(text: &str) -> Result<PathBuf, String> {
    let is_secret = text.starts_with("whsec_")
        || text.starts_with("whsk_")
        || text.contains("://")
        || WebhookUrl::parse(&format!("https://{text}")).is_ok();
    if is_secret || text.contains(char::is_control) {
        return Err("must be the path of a file, not the secret itself".to_owned());
    }
    secret_line::refuse_invisible(text)?;
    environment::refuse_shorthand(text)?;
    Ok(PathBuf::from(text))
}

impl Unread {
    fn naming(self, path: &Path) -> String {
        let shown = path.display();
        match self {
            Self::Wrong { place, rule } => format!("the file `{}` {rule}", place.display()),
            Self::Absent(_) if path.is_absolute() => {
                format!("there is no file `{shown}`: create it, or correct the path")
            }
            Self::Absent(places) => {
                format!("there is no file `{shown}`: looked for {}", quote::paths(&places))
            }
        }
    }

    fn nameless(self) -> String {
        match self {
            Self::Wrong { rule, .. } => format!("the file {rule}"),
            Self::Absent(places) => {
                let folders: Vec<PathBuf> =
                    places.iter().filter_map(|place| place.parent()).map(Path::to_owned).collect();
                let folders = folders.into_iter().filter(|folder| folder.is_dir()).collect::<Vec<_>>();
                let looked = match &folders[..] {
                    [] => String::new(),
                    folders => format!(": looked for it in {}", quote::paths(folders)),
                };
                format!("there is no such file (its name is not shown, it may be the secret itself){looked}")
            }
        }
    }
}

/// Why a file that is read again holds no secret. It repeats nothing of the content.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SecretFileError(pub(in crate::config) String);

/// Reads the text of a secret file.
pub(crate) fn read_text(file: File) -> Result<String, String> {
    read_up_to(file, LARGEST)
}

fn read_up_to(file: File, largest: u64) -> Result<String, String> {
    let mut bytes = Vec::new();
    file.take(largest + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    text_up_to(bytes, largest)
}

/// The error for a file that cannot be read.
fn unreadable(error: &io::Error) -> String {
    format!("could not be read: {error}")
}

/// Decodes the content of a secret file.
pub(crate) fn text_of(bytes: Vec<u8>) -> Result<String, String> {
    text_up_to(bytes, LARGEST)
}

fn text_up_to(bytes: Vec<u8>, largest: u64) -> Result<String, String> {
    if bytes.len() as u64 > largest {
        return Err(format!("is larger than {} KiB: it must hold nothing else", largest / 1024));
    }
    if is_utf16(&bytes) {
        return Err("is UTF-16: save it as UTF-8".to_owned());
    }
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
    if text.trim().is_empty() {
        return Err("is empty".to_owned());
    }
    Ok(text)
}

/// True if a text begins with a UTF-16 byte order mark.
pub(crate) fn is_utf16(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff])
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    #[test]
    fn a_secret_file_is_refused_when_empty_large_or_binary() {
        assert_eq!(text_of(b"s3cr3t\r\n".to_vec()), Ok("s3cr3t\r\n".to_owned()));
        for bytes in
            [b" \n".to_vec(), vec![b's'; 64 * 1024 + 1], b"s3cr3t\xff".to_vec(), b"\xff\xfes\0".to_vec()]
        {
            assert!(!text_of(bytes).unwrap_err().contains("s3cr3t"));
        }
    }

    #[test]
    fn a_relative_file_is_looked_up_in_three_places_in_order_and_an_absolute_one_in_its_own() {
        let [beside, credentials] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let files = SecretFiles::new(Some(&beside.path().join("b24relay.toml")), Some(credentials.path()));
        let line = || files.line("config-test.url", Shows::Path).map(|(line, _)| line);
        let refusal = line().unwrap_err();
        let tried = [std::env::current_dir().unwrap(), beside.path().into(), credentials.path().into()];
        let tried = tried.map(|folder| folder.join("config-test.url"));
        let at = tried.each_ref().map(|place| refusal.find(&format!("`{}`", place.display())));
        assert!(at.is_sorted() && at.iter().all(Option::is_some), "{refusal}");
        std::fs::write(&tried[2], "among the credentials").unwrap();
        assert_eq!(line(), Ok("among the credentials".to_owned()));
        std::fs::write(&tried[1], "beside").unwrap();
        assert_eq!(line(), Ok("beside".to_owned()));
        assert_eq!(files.places(Path::new("/a/b")), [PathBuf::from("/a/b")]);
        assert_eq!(files.into_found(None), {
            let mut found = tried[1..].to_vec();
            found.sort();
            found
        });
    }

    #[test]
    fn a_file_that_only_root_may_read_is_taken_from_the_credentials() {
        use std::os::unix::fs::PermissionsExt as _;
        let [beside, credentials] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let mode = |path: &Path, bits| std::fs::set_permissions(path, Permissions::from_mode(bits)).unwrap();
        let files = [beside.path(), credentials.path()].map(|folder| {
            mode(folder, 0o755);
            let file = folder.join("config-test.url");
            std::fs::write(&file, "handed over").unwrap();
            file
        });
        mode(&files[0], 0o000);
        // Root may read everything, so this thread becomes somebody else.
        let line = || {
            if rustix::process::geteuid().is_root() {
                rustix::thread::set_thread_res_uid(None, rustix::fs::Uid::from_raw(65534), None).unwrap();
            }
            let file = beside.path().join("b24relay.toml");
            let found = SecretFiles::new(Some(&file), Some(credentials.path()));
            found.line("config-test.url", Shows::Path).map(|(line, _)| line)
        };
        let as_other = || std::thread::scope(|scope| scope.spawn(line).join().unwrap());
        mode(&files[1], 0o444);
        assert_eq!(as_other(), Ok("handed over".to_owned()));
        std::fs::remove_file(&files[1]).unwrap();
        let refusal = as_other().unwrap_err();
        assert!(refusal.contains(&format!("`{}` could not be read", files[0].display())), "{refusal}");
    }

    #[test]
    fn a_path_that_may_be_the_secret_itself_is_not_shown() {
        let directory = tempfile::tempdir().unwrap();
        let files = SecretFiles::new(None, Some(directory.path()));
        std::fs::create_dir(directory.path().join("s3cr3t.d")).unwrap();
        std::fs::write(directory.path().join("s3cr3t.empty"), "").unwrap();
        let endless = "s3cr3t".repeat(1000);
        for text in [
            "s3cr3t",
            "/s3cr3t",
            "/dev/null/s3cr3t",
            "a+b/s3cr3t=",
            "s3cr3t.d",
            "s3cr3t.empty",
            endless.as_str(),
        ] {
            let message = files.line(text, Shows::PathForCertain).unwrap_err();
            assert!(!message.contains("s3cr3t"), "{message}");
        }
        let message = files.line("s3cr3t", Shows::PathForCertain).unwrap_err();
        assert!(message.contains(&directory.path().display().to_string()), "{message}");
    }

    #[test]
    fn a_path_that_is_one_for_certain_is_shown_in_full() {
        let directory = tempfile::tempdir().unwrap();
        let files = SecretFiles::new(None, Some(directory.path()));
        let absolute = directory.path().join("nowhere").display().to_string();
        for (text, shown) in [
            ("crm.token", directory.path().join("crm.token").display().to_string()),
            (absolute.as_str(), absolute.clone()),
        ] {
            let message = files.line(text, Shows::PathForCertain).unwrap_err();
            assert!(message.contains(&shown), "{message}");
        }
    }

    #[test]
    fn the_secret_itself_is_no_path() {
        for text in ["https://a.example/rest/1/s3cr3t/", "a.example/rest/1/s3cr3t", "whsec_s3cr3t"] {
            assert!(!file_path(text).unwrap_err().contains("s3cr3t"));
        }
        assert!(file_path("/run/secrets/rest/url").is_ok());
    }
}
