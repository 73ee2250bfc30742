//! The address of an incoming webhook, which is also its credential.

use std::fmt;

use reqwest::Url;

use crate::secret::secret_url::SecretUrl;

/// The form of the URL that the portal shows when a webhook is created.
macro_rules! shaped {
    ($rule:literal) => {
        concat!($rule, ": it must look like https://HOST/rest/USER_ID/CODE/")
    };
}

/// Codes that occur in examples.
const EXAMPLE_CODES: [&str; 7] =
    ["code", "your_code", "your-code", "webhook_code", "webhook", "secret", "token"];

/// Shorter codes are not from a portal either, but they may not be from an example.
const DUMMY_MIN: usize = 3;

/// Portals that occur in examples.
const EXAMPLE_PORTALS: [&str; 6] =
    ["example", "your-portal", "yourportal", "your-domain", "yourdomain", "your-company"];

/// An incoming webhook, `https://HOST/rest/USER_ID/CODE/` (PORTAL.md 1.1): address and credential in one.
/// Displays as `https://HOST/rest/USER_ID/***`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct WebhookUrl {
    base: SecretUrl,
    user_id: u64,
    code: String,
}

impl WebhookUrl {
    /// Parses the URL that the portal shows when the webhook is created, with or without the final slash, and with
    /// the method at its end that the portal shows in examples.
    ///
    /// # Errors
    /// Says what is wrong without repeating the text, which is a secret.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let mut url = SecretUrl::parse(text)?.into_url();
        let (user_id, code) = {
            let parts: Vec<&str> = url.path().split('/').filter(|part| !part.is_empty()).collect();
            let (user_id, code, method) = taken_apart(&parts)?;
            if method.is_none() && url.query().is_some() {
                return Err("must not hold a `?` part");
            }
            (user_id, code.to_owned())
        };
        url.set_path(&format!("/rest/{user_id}/{code}/"));
        url.set_query(None);
        Ok(Self { base: SecretUrl::of(url), user_id, code })
    }

    /// The part that was copied from an example and never replaced.
    pub fn example(&self) -> Option<&'static str> {
        if is_example_portal(&self.base) {
            return Some("its host is that of the examples");
        }
        let code = self.code.to_ascii_lowercase();
        let is_dummy = code.bytes().all(|byte| matches!(byte, b'x' | b'*' | b'.' | b'_' | b'-'));
        (is_dummy && code.len() >= DUMMY_MIN || EXAMPLE_CODES.contains(&code.as_str()))
            .then_some("its code is that of the examples")
    }

    /// The address of one method, only for use in a request.
    pub fn expose_method(&self, method: &str) -> Url {
        let mut url = self.base.expose().clone();
        url.set_path(&format!("{}{method}", url.path()));
        url
    }

    /// The secret part, to redact it in texts from other systems.
    pub fn expose_code(&self) -> &str {
        &self.code
    }

    /// The address without its secret part.
    pub fn url(&self) -> &SecretUrl {
        &self.base
    }

    /// The user who owns the webhook.
    pub fn user_id(&self) -> u64 {
        self.user_id
    }

    /// The queue it reads: portal and user (PORTAL.md 2.4), as recorded in the state file.
    pub fn identity(&self) -> String {
        format!("{}/user/{}", self.base.authority(), self.user_id)
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/rest/{}/***", self.base.expose().scheme(), self.base.authority(), self.user_id)
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// True if `portal` is a placeholder from an example.
pub fn is_example_portal(portal: &SecretUrl) -> bool {
    let host = portal.expose().host_str().unwrap_or_default();
    let (first, domain) = host.split_once('.').unwrap_or((host, ""));
    match domain {
        "" => first == "host",
        "com" | "org" | "net" => first == "example",
        domain => domain.starts_with("bitrix24.") && EXAMPLE_PORTALS.contains(&first),
    }
}

/// User, code and, if there is one, method.
fn taken_apart<'p>(parts: &[&'p str]) -> Result<(u64, &'p str, Option<&'p str>), &'static str> {
    let (user_id, code, method) = match *parts {
        ["rest", "api", ..] => {
            return Err("is the address of REST 3.0, which has no event queue: remove `/api` behind `/rest`");
        }
        ["rest", user_id, code] => (user_id, code, None),
        ["rest", user_id, code, method] => (user_id, code, Some(method)),
        ["rest", _] => return Err(shaped!("has no code behind the user id")),
        ["rest"] => return Err(shaped!("has neither user id nor code behind `/rest`")),
        ["rest", ..] => return Err(shaped!("has more behind the code than one method")),
        _ => return Err(shaped!("has no `/rest/` behind the host")),
    };
    let user_id = user_id.parse().ok().filter(|user_id| *user_id > 0);
    let user_id = user_id.ok_or(shaped!("has a user id that is no number above 0"))?;
    if code.contains('.') {
        return Err(shaped!("has a method where the code must be"));
    }
    if code.contains('%') {
        return Err(shaped!("has characters in its code that no code has"));
    }
    if method.is_some_and(|method| !is_method(method)) {
        return Err(shaped!("has something behind the code that is no method"));
    }
    Ok((user_id, code, method))
}

/// True if `text` can be the name of a method, such as `profile`, `profile.json` or `im.v2.Event.get`.
fn is_method(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_url_is_taken_apart_and_hides_its_code() {
        for end in [
            "",
            "/",
            "//",
            "/profile",
            "/profile/",
            "/profile.json",
            "/profile.json/",
            "/im.v2.Event.get",
            "/im.v2.Event.get.json?limit=1",
        ] {
            let url = WebhookUrl::parse(&format!("https://a.example/rest/12/s3cr3t{end}")).unwrap();
            assert_eq!(url.identity(), "a.example/user/12");
            assert_eq!(url.expose_method("profile").as_str(), "https://a.example/rest/12/s3cr3t/profile");
            assert_eq!(
                format!("{url} {url:?}"),
                "https://a.example/rest/12/*** https://a.example/rest/12/***"
            );
        }
        for text in [
            "HTTPS://A.example//rest//12/s3cr3t",
            "https:/a.example/rest/12/s3cr3t",
            "https:\\\\a.example\\rest\\12\\s3cr3t",
        ] {
            assert_eq!(WebhookUrl::parse(text).unwrap().identity(), "a.example/user/12", "{text}");
        }
    }

    #[test]
    fn what_is_no_webhook_url_is_refused_by_its_part_and_not_repeated() {
        for (text, rule) in [
            ("s3cr3t", "must start with https://"),
            ("a.example/rest/12/s3cr3t/", "must start with https://"),
            ("ftp://a.example/rest/12/s3cr3t/", "must start with https://"),
            ("https://a s3cr3t/rest/12/s3cr3t/", "see its host"),
            ("https://a.example/", "no `/rest/`"),
            ("https://a.example/s3cr3t/rest/12/s3cr3t/", "no `/rest/`"),
            ("https://a.example/rest/", "neither user id nor code"),
            ("https://a.example/rest/12/", "no code"),
            ("https://a.example/rest/12/profile.json", "method where the code"),
            ("https://a.example/rest/0/s3cr3t/", "user id"),
            ("https://a.example/rest/s3cr3t/s3cr3t/", "user id"),
            ("https://a.example/rest/12/s3cr3t\u{441}/", "no code has"),
            ("https://a.example/rest/12/s3cr3t/.json", "no method"),
            ("https://a.example/rest/12/s3cr3t/s3cr3t/profile", "more behind the code"),
            ("https://a.example/rest/12/s3cr3t/s3%2Fcr3t", "no method"),
            ("https://a.example/rest/api/12/s3cr3t/", "REST 3.0"),
            ("https://a.example/rest/12/s3cr3t/?a=1", "`?`"),
            ("https://a.example/rest/12/s3cr3t/#a", "`#`"),
            ("https://me:s3cr3t@a.example/rest/12/s3cr3t/", "user name"),
        ] {
            let refusal = WebhookUrl::parse(text).unwrap_err();
            assert!(refusal.contains(rule) && !refusal.contains("s3cr3t"), "{text}: {refusal}");
        }
    }

    #[test]
    fn what_stands_in_examples_is_known() {
        let example = |text: &str| WebhookUrl::parse(text).unwrap().example();
        for text in [
            "https://example.bitrix24.com/rest/1/abc123/",
            "https://your-portal.bitrix24.ru/rest/1/abc123/",
            "https://example.com/rest/1/abc123/",
            "https://HOST/rest/1/abc123/",
            "https://a.bitrix24.com/rest/1/CODE/",
            "https://a.bitrix24.com/rest/1/xxxxxxxx/",
            "https://a.bitrix24.com/rest/1/***/profile",
        ] {
            assert!(example(text).is_some(), "{text}");
        }
        for text in ["https://examples.bitrix24.com/rest/1/abc123/", "https://a.example/rest/1/code1/"] {
            assert_eq!(example(text), None, "{text}");
        }
    }
}
