//! Secrets, given as `KEY` or in a file of their own as `KEY_file`. What they say is never repeated.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use super::leaf;
use super::secret_text::SecretText;
use super::secret_url::{SecretUrl, WebhookUrl};
use super::table::Table;

/// Far more than any secret needs.
const LARGEST: u64 = 64 * 1024;

/// What can be a secret.
pub(super) trait SecretValue: Sized {
    /// Whether the path of a file of such a secret can be repeated. Only where a secret that was put in
    /// the path's place is recognised as one.
    const IS_PATH_SHOWN: bool;

    /// The secret in `text`, or what is wrong with it, without repeating any of it.
    fn parse(text: &str) -> Result<Self, &'static str>;
}

impl SecretValue for SecretUrl {
    const IS_PATH_SHOWN: bool = true;

    fn parse(text: &str) -> Result<Self, &'static str> {
        Self::parse(text)
    }
}

impl SecretValue for WebhookUrl {
    const IS_PATH_SHOWN: bool = true;

    fn parse(text: &str) -> Result<Self, &'static str> {
        Self::parse(text)
    }
}

impl SecretValue for SecretText {
    const IS_PATH_SHOWN: bool = false;

    fn parse(text: &str) -> Result<Self, &'static str> {
        if text.contains(char::is_control) {
            return Err("must not hold control characters");
        }
        Ok(Self::new(text))
    }
}

/// A secret and the key that gave it, which is the one to name when it breaks a rule.
pub(super) struct Secret<T> {
    pub(super) key: &'static str,
    pub(super) value: T,
}

/// Where files of secrets are looked for, besides the working directory.
pub(super) struct SecretFiles<'a> {
    pub(super) credentials: Option<&'a Path>,
}

/// Takes `key` or `file_key`, exactly one of which must be given; what is wrong is noted.
pub(super) fn take<T: SecretValue>(
    table: &mut Table<'_>,
    [key, file_key]: [&'static str; 2],
    files: &SecretFiles<'_>,
) -> Option<Secret<T>> {
    if !table.has(key) && !table.has(file_key) {
        table.report(
            key,
            format!("is missing: set it, or put it into a file and set `{file_key}` to that file's path"),
        );
    }
    take_given(table, [key, file_key], files)
}

/// As [`take`], but it is fine when neither is given.
pub(super) fn take_given<T: SecretValue>(
    table: &mut Table<'_>,
    [key, file_key]: [&'static str; 2],
    files: &SecretFiles<'_>,
) -> Option<Secret<T>> {
    if table.has(key) && table.has(file_key) {
        table.report(file_key, format!("must not be given together with `{key}`: keep one"));
    }
    let inline = table.take(key, |value| parsed(&leaf::secret(value)?, ""));
    let from_file = table.take(file_key, |value| from_file(&leaf::secret(value)?, files));
    inline
        .map(|value| Secret { key, value })
        .or_else(|| from_file.map(|value| Secret { key: file_key, value }))
}

/// Refuses plain http over a network.
pub(super) fn refuse_exposed(table: &Table<'_>, key: &str, url: &SecretUrl) {
    if url.is_exposed() {
        table.report(
            key,
            format!(
                "must be https: plain http shows the secret and the events to everyone on the way to `{}`; \
                 where that is fine, set `allow_http = true`",
                url.authority()
            ),
        );
    }
}

fn parsed<T: SecretValue>(text: &str, subject: &str) -> Result<T, String> {
    if text.contains(char::is_whitespace) {
        return Err(format!("{subject}must not hold white space"));
    }
    T::parse(text).map_err(|rule| format!("{subject}{rule}"))
}

fn from_file<T: SecretValue>(text: &str, files: &SecretFiles<'_>) -> Result<T, String> {
    let path = file_path(text)?;
    if T::IS_PATH_SHOWN {
        let text = files.read(&path).map_err(|unread| unread.naming(&path))?;
        parsed(&text, &format!("the text in `{}` ", path.display()))
    } else {
        parsed(&files.read(&path).map_err(Unread::nameless)?, "the text in the file ")
    }
}

/// Where the file at the path in `text` is, and what it says; the path is not repeated, it may be a secret.
pub(super) fn find_file(text: &str, files: &SecretFiles<'_>) -> Result<(PathBuf, String), String> {
    files.find(&file_path(text)?, LARGEST).map_err(Unread::nameless)
}

/// The text of the file that `text` names, of at most `largest` bytes: for what is no secret, or is recognised
/// where it stands in the path's place.
pub(super) fn text_at(text: &str, files: &SecretFiles<'_>, largest: u64) -> Result<String, String> {
    let path = file_path(text)?;
    files.find(&path, largest).map(|(_, text)| text).map_err(|unread| unread.naming(&path))
}

/// The text of the file that `text` names, which is not shown: it may be the secret itself.
pub(super) fn line_at(text: &str, files: &SecretFiles<'_>) -> Result<String, String> {
    files.read(&file_path(text)?).map_err(Unread::nameless)
}

/// The path of a file, and not the secret itself put under the wrong key.
fn file_path(text: &str) -> Result<PathBuf, String> {
    let is_secret = text.starts_with("whsec_")
        || text.starts_with("whsk_")
        || text.contains("://")
        || WebhookUrl::parse(&format!("https://{text}")).is_ok();
    if is_secret || text.contains(char::is_control) {
        return Err("must be the path of a file, not the secret itself".to_owned());
    }
    Ok(PathBuf::from(text))
}

/// Why there is no text of a file.
#[derive(PartialEq, Eq, Debug)]
enum Unread {
    /// None of the places has it.
    Absent { credentials: Option<PathBuf> },
    /// What is at this place is not right.
    Wrong { place: PathBuf, rule: String },
}

impl SecretFiles<'_> {
    /// The text of the first file there is, without white space at its end.
    fn read(&self, path: &Path) -> Result<String, Unread> {
        self.find(path, LARGEST).map(|(_, text)| text)
    }

    /// The same of at most `largest` bytes, and where the file is.
    fn find(&self, path: &Path, largest: u64) -> Result<(PathBuf, String), Unread> {
        for place in self.places(path) {
            let text = match File::open(&place) {
                Ok(file) => read_up_to(file, largest),
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => Err(unreadable(&error)),
            };
            return match text {
                Ok(text) => Ok((place, text)),
                Err(rule) => Err(Unread::Wrong { place, rule }),
            };
        }
        Err(Unread::Absent { credentials: self.credentials.map(Path::to_owned) })
    }

    fn places(&self, path: &Path) -> Vec<PathBuf> {
        let credential =
            self.credentials.filter(|_| path.is_relative()).map(|directory| directory.join(path));
        std::iter::once(path.to_owned()).chain(credential).collect()
    }
}

impl Unread {
    fn naming(self, path: &Path) -> String {
        match self {
            Self::Wrong { place, rule } => format!("the file `{}` {rule}", place.display()),
            Self::Absent { .. } if path.is_absolute() => {
                format!("there is no file `{}`: create it, or correct the path", path.display())
            }
            Self::Absent { credentials: Some(directory) } => format!(
                "there is no file `{}`: looked in the working directory and at `{}`",
                path.display(),
                directory.join(path).display()
            ),
            Self::Absent { credentials: None } => format!(
                "there is no file `{}`: looked in the working directory; `$CREDENTIALS_DIRECTORY` is not set",
                path.display()
            ),
        }
    }

    fn nameless(self) -> String {
        match self {
            Self::Wrong { rule, .. } => format!("the file {rule}"),
            Self::Absent { credentials } => {
                let also =
                    credentials.map_or_else(String::new, |place| format!(" and `{}`", place.display()));
                format!(
                    "there is no such file (not shown, it may be the secret itself): a relative path starts \
                     at the working directory{also}"
                )
            }
        }
    }
}

/// The text of a file of secrets, without white space at its end, or what is wrong with it.
pub(super) fn read_text(file: File) -> Result<String, String> {
    read_up_to(file, LARGEST)
}

fn read_up_to(file: File, largest: u64) -> Result<String, String> {
    let mut bytes = Vec::new();
    file.take(largest + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    text_of(bytes, largest)
}

/// What is said of a file that cannot be read.
pub(super) fn unreadable(error: &io::Error) -> String {
    format!("could not be read: {error}")
}

fn text_of(bytes: Vec<u8>, largest: u64) -> Result<String, String> {
    if bytes.len() as u64 > largest {
        return Err(format!("is larger than {} KiB: it must hold nothing else", largest / 1024));
    }
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
    let text = text.trim_end();
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_file_is_trimmed_at_its_end_and_refused_when_empty_large_or_binary() {
        assert_eq!(text_of(b"s3cr3t \r\n\n".to_vec(), LARGEST), Ok("s3cr3t".to_owned()));
        for bytes in [b" \n".to_vec(), vec![b's'; 64 * 1024 + 1], b"s3cr3t\xff".to_vec()] {
            assert!(!text_of(bytes, LARGEST).unwrap_err().contains("s3cr3t"));
        }
    }

    #[test]
    fn a_relative_file_is_looked_up_among_the_credentials_and_an_absolute_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("config-test.url"), "s3cr3t").unwrap();
        let files = SecretFiles { credentials: Some(directory.path()) };
        assert_eq!(files.read(Path::new("config-test.url")), Ok("s3cr3t".to_owned()));
        let absent = Path::new("absent.url");
        let message = files.read(absent).unwrap_err().naming(absent);
        assert!(message.contains("`absent.url`") && message.contains("working directory"), "{message}");
        assert!(message.contains(&directory.path().join("absent.url").display().to_string()), "{message}");
        assert_eq!(files.places(Path::new("/a/b")), [PathBuf::from("/a/b")]);
        let files = SecretFiles { credentials: None };
        assert!(files.read(absent).unwrap_err().naming(absent).contains("CREDENTIALS_DIRECTORY"));
    }

    #[test]
    fn a_file_that_may_be_the_secret_itself_is_not_shown() {
        let directory = tempfile::tempdir().unwrap();
        let files = SecretFiles { credentials: Some(directory.path()) };
        std::fs::create_dir(directory.path().join("s3cr3t.d")).unwrap();
        std::fs::write(directory.path().join("s3cr3t.empty"), "").unwrap();
        let endless = "s3cr3t".repeat(1000);
        for text in ["s3cr3t", "/s3cr3t", "/dev/null/s3cr3t", "s3cr3t.d", "s3cr3t.empty", endless.as_str()] {
            let message = from_file::<SecretText>(text, &files).unwrap_err();
            assert!(!message.contains("s3cr3t"), "{message}");
        }
    }

    #[test]
    fn the_secret_itself_is_no_path() {
        for text in ["https://a.example/rest/1/s3cr3t/", "a.example/rest/1/s3cr3t"] {
            assert!(!file_path(text).unwrap_err().contains("s3cr3t"));
        }
        assert!(file_path("/run/secrets/rest/url").is_ok());
    }
}
