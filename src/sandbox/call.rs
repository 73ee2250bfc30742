//! One call as it was typed into the URL: whose webhook, which method, which parameters (PORTAL.md 1.1).

use axum::http::Method as Verb;

use super::method::Method;
use super::parameter::Parameters;

/// A request below `/rest/`.
#[derive(Debug)]
pub struct Call {
    /// GET, POST, or something a controller never sees.
    pub verb: Verb,
    /// The method, or `None` when there is no such one.
    pub method: Option<Method>,
    /// The webhook's two path segments; `None` for the OAuth form.
    pub webhook: Option<Webhook>,
    /// Query and body.
    pub parameters: Parameters,
}

/// The credential in the path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Webhook {
    /// The owner, or 0 when that segment is no number.
    pub user: u64,
    /// The secret.
    pub code: String,
}

/// Reads what stands behind `/rest/`: `USER/CODE/METHOD` or `METHOD`, with or without a trailing
/// slash and a format suffix, in any case.
pub fn read_path(path: &str) -> (Option<Webhook>, Option<Method>) {
    let path = path.strip_prefix("/rest").unwrap_or(path).trim_matches('/');
    match path.split('/').collect::<Vec<_>>()[..] {
        [method] => (None, find(method)),
        [user, code, method] => {
            let webhook = Webhook { user: user.parse().unwrap_or(0), code: code.into() };
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
        let webhook = Some(Webhook { user: 7, code: "abc".into() });
        for method in ["im.v2.Event.get", "im.v2.event.GET", "im.v2.Event.get.json", "im.v2.Event.get/"] {
            let read = read_path(&format!("/rest/7/abc/{method}"));
            assert_eq!(read, (webhook.clone(), Some(Method::Get)), "{method}");
        }
        assert_eq!(read_path("/rest/profile"), (None, Some(Method::Profile)));
        assert_eq!(read_path("/rest/7/abc/im.v2.Event.get.yaml"), (webhook, None));
        assert_eq!(read_path("/rest/"), (None, None));
    }
}
