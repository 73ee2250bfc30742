//! One incoming call: its credential, method and parameters (PORTAL.md 1.1).

use axum::http::Method as Verb;

use crate::rest::input::parameter::Parameters;
use crate::rest::method::Method;

/// A request below `/rest/`.
#[derive(Debug)]
pub(crate) struct Call {
    /// GET, POST, or a method that never reaches a controller.
    pub verb: Verb,
    /// The method; `None` if it does not exist.
    pub method: Option<Method>,
    /// The credential in the call; `None` if there is none.
    pub credential: Option<CallCredential>,
    /// The parameters from query and body.
    pub parameters: Parameters,
}

/// The credential in a call, not verified yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum CallCredential {
    /// The two path segments of a webhook.
    Webhook {
        /// The owner, or 0 if that segment is not a number.
        user: u64,
        /// The secret.
        code: String,
    },
    /// An access token of an application.
    Token(String),
}

impl Call {
    /// Builds a call. The webhook in the path takes precedence, then the token in the header `Authorization`,
    /// in `auth` and in `access_token`.
    pub(crate) fn new(verb: Verb, path: &str, authorization: Option<&str>, parameters: Parameters) -> Self {
        let (webhook, method) = read_path(path);
        let token = || {
            let shown = authorization.and_then(bearer);
            let shown = shown.or_else(|| parameters.text("auth")).or_else(|| parameters.text("access_token"));
            shown.map(|token| CallCredential::Token(token.into()))
        };
        let credential = webhook.or_else(token);
        Self { verb, method, credential, parameters }
    }
}

/// The token of `Authorization: Bearer TOKEN`.
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim()).filter(|token| !token.is_empty())
}

/// Parses the path after `/rest/`: `USER/CODE/METHOD` or `METHOD`, with or without a trailing slash and a
/// format suffix, in any letter case.
fn read_path(path: &str) -> (Option<CallCredential>, Option<Method>) {
    let path = path.strip_prefix("/rest").unwrap_or(path).trim_matches('/');
    match path.split('/').collect::<Vec<_>>()[..] {
        [method] => (None, find(method)),
        [user, code, method] => {
            let webhook = CallCredential::Webhook { user: user.parse().unwrap_or(0), code: code.into() };
            (Some(webhook), find(method))
        }
        _ => (None, None),
    }
}

fn find(name: &str) -> Option<Method> {
    let name = name.to_ascii_lowercase();
    Method::find(name.strip_suffix(".json").unwrap_or(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_in_all_its_spellings() {
        let webhook = Some(CallCredential::Webhook { user: 7, code: "abc".into() });
        for method in ["im.v2.Event.get", "im.v2.event.GET", "im.v2.Event.get.json", "im.v2.Event.get/"] {
            let read = read_path(&format!("/rest/7/abc/{method}"));
            assert_eq!(read, (webhook.clone(), Some(Method::Get)), "{method}");
        }
        assert_eq!(read_path("/rest/profile"), (None, Some(Method::Profile)));
        assert_eq!(read_path("/rest/7/abc/im.v2.Event.get.yaml"), (webhook, None));
        assert_eq!(read_path("/rest/"), (None, None));
    }

    #[test]
    fn a_token_is_looked_for_in_three_places_in_their_order() {
        let credential = |path: &str, authorization: Option<&str>, query: &str| {
            Call::new(Verb::GET, path, authorization, Parameters::read(query, "", b"")).credential
        };
        let token = |token: &str| Some(CallCredential::Token(token.into()));
        let both = "access_token=c&auth=b";
        assert_eq!(credential("/rest/profile", Some("bearer a"), both), token("a"));
        assert_eq!(credential("/rest/profile", Some("Basic a"), both), token("b"));
        assert_eq!(credential("/rest/profile", Some("Bearer "), "auth=&access_token=c"), token("c"));
        assert_eq!(credential("/rest/profile", None, "token=d"), None);
        let webhook = credential("/rest/7/abc/profile", Some("Bearer a"), both);
        assert_eq!(webhook, Some(CallCredential::Webhook { user: 7, code: "abc".into() }));
    }
}
