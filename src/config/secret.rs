//! Secrets, given as `KEY` or in a file of their own as `KEY_file`. What they say is never repeated.

use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use super::leaf;
use super::secret_url::{SecretUrl, WebhookUrl};
use super::table::Table;

/// Far more than any secret needs.
const LARGEST: u64 = 64 * 1024;

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
pub(super) fn take<T>(
    table: &mut Table<'_>,
    [key, file_key]: [&'static str; 2],
    files: &SecretFiles<'_>,
    parse: impl Fn(&str) -> Result<T, &'static str>,
) -> Option<Secret<T>> {
    match (table.has(key), table.has(file_key)) {
        (true, true) => table.report(file_key, format!("must not be given together with `{key}`: keep one")),
        (false, false) => table.report(
            key,
            format!("is missing: set it, or put it into a file and set `{file_key}` to that file's path"),
        ),
        _ => {}
    }
    let inline = table.take(key, |value| parsed(&leaf::secret(value)?, "", &parse));
    let from_file = table.take(file_key, |value| {
        let path = leaf::secret(value).and_then(|text| file_path(&text))?;
        parsed(&files.read(&path)?, &format!("the text in `{}` ", path.display()), &parse)
    });
    inline
        .map(|value| Secret { key, value })
        .or_else(|| from_file.map(|value| Secret { key: file_key, value }))
}

/// Refuses plain http over a network, unless the operator allows it for this table.
pub(super) fn refuse_exposed(table: &mut Table<'_>, key: &str, url: Option<&SecretUrl>) {
    let is_allowed = table.take("allow_http", leaf::boolean).unwrap_or(false);
    let Some(url) = url.filter(|url| url.is_exposed() && !is_allowed) else { return };
    table.report(
        key,
        format!(
            "must be https: plain http shows the secret and the events to everyone on the way to `{}`; \
             where that is fine, set `allow_http = true`",
            url.authority()
        ),
    );
}

fn parsed<T>(
    text: &str,
    subject: &str,
    parse: impl Fn(&str) -> Result<T, &'static str>,
) -> Result<T, String> {
    if text.contains(char::is_whitespace) {
        return Err(format!("{subject}must not hold white space"));
    }
    parse(text).map_err(|rule| format!("{subject}{rule}"))
}

/// The path of a file, and not the secret itself put under the wrong key.
fn file_path(text: &str) -> Result<PathBuf, String> {
    let is_secret = text.contains("://") || WebhookUrl::parse(&format!("https://{text}")).is_ok();
    if is_secret || text.contains(char::is_control) {
        return Err("must be the path of a file, not the secret itself".to_owned());
    }
    Ok(PathBuf::from(text))
}

impl SecretFiles<'_> {
    /// The text of the first file there is, without white space at its end.
    fn read(&self, path: &Path) -> Result<String, String> {
        let places = self.places(path);
        for place in &places {
            match read_file(place) {
                Ok(bytes) => return text_of(bytes, place),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(format!("could not read `{}`: {error}", place.display())),
            }
        }
        Err(not_found(path, &places))
    }

    fn places(&self, path: &Path) -> Vec<PathBuf> {
        let credential =
            self.credentials.filter(|_| path.is_relative()).map(|directory| directory.join(path));
        std::iter::once(path.to_owned()).chain(credential).collect()
    }
}

fn read_file(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn text_of(bytes: Vec<u8>, place: &Path) -> Result<String, String> {
    let place = place.display();
    if bytes.len() as u64 > LARGEST {
        return Err(format!("the file `{place}` is larger than 64 KiB: it must hold the secret only"));
    }
    let text = String::from_utf8(bytes).map_err(|_| format!("the file `{place}` is not UTF-8"))?;
    let text = text.trim_end();
    if text.is_empty() {
        return Err(format!("the file `{place}` is empty: it must hold the secret"));
    }
    Ok(text.to_owned())
}

fn not_found(path: &Path, places: &[PathBuf]) -> String {
    let looked = match places {
        [_, credential] => format!("looked in the working directory and at `{}`", credential.display()),
        _ if path.is_absolute() => "create it, or correct the path".to_owned(),
        _ => "looked in the working directory; `$CREDENTIALS_DIRECTORY` is not set".to_owned(),
    };
    format!("there is no file `{}`: {looked}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_file_is_trimmed_at_its_end_and_refused_when_empty_large_or_binary() {
        let place = Path::new("support.url");
        assert_eq!(text_of(b"s3cr3t \r\n\n".to_vec(), place), Ok("s3cr3t".to_owned()));
        for bytes in [b" \n".to_vec(), vec![b's'; 64 * 1024 + 1], b"s3cr3t\xff".to_vec()] {
            assert!(!text_of(bytes, place).unwrap_err().contains("s3cr3t"));
        }
    }

    #[test]
    fn a_relative_file_is_looked_up_among_the_credentials_and_an_absolute_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("config-test.url"), "s3cr3t").unwrap();
        let files = SecretFiles { credentials: Some(directory.path()) };
        assert_eq!(files.read(Path::new("config-test.url")), Ok("s3cr3t".to_owned()));
        let message = files.read(Path::new("absent.url")).unwrap_err();
        assert!(message.contains("`absent.url`") && message.contains("working directory"), "{message}");
        assert!(message.contains(&directory.path().join("absent.url").display().to_string()), "{message}");
        assert_eq!(files.places(Path::new("/a/b")), [PathBuf::from("/a/b")]);
        let files = SecretFiles { credentials: None };
        assert!(files.read(Path::new("absent.url")).unwrap_err().contains("CREDENTIALS_DIRECTORY"));
    }

    #[test]
    fn the_secret_itself_is_no_path() {
        for text in ["https://a.example/rest/1/s3cr3t/", "a.example/rest/1/s3cr3t"] {
            assert!(!file_path(text).unwrap_err().contains("s3cr3t"));
        }
        assert!(file_path("/run/secrets/rest/url").is_ok());
    }
}
