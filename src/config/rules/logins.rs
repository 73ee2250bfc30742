//! Rules for a source that uses the login of another source: that login must exist, and its portal limits the
//! poll rate.

use crate::config::parse::findings::Findings;
use crate::config::parse::quote;
use crate::config::parse::value;
use crate::config::section::sources::access::RawAccess;
use crate::config::section::sources::source::{self, RawSource};

/// Notes every `oauth.grant` that names no login, and what does not suit the portal of the one it names.
pub(crate) fn check(sources: &[RawSource], findings: &Findings) {
    for source in sources {
        let RawAccess::Grant(Some(owner)) = &source.access else { continue };
        let path = format!("sources.{}", quote::key(&source.name));
        if let Some(objection) = objection(owner, sources) {
            let text = format!("{objection}: {}", hint(sources));
            findings.report(format!("{path}.oauth.grant"), text);
        }
        let shortest = source::shortest_idle(source.portal(sources));
        if source.poll.idle < shortest {
            let (shortest, idle) = (value::spelled(shortest), value::spelled(source.poll.idle));
            let text = format!("must be at least {shortest}, not {idle}: the portal is not on this machine");
            findings.report(format!("{path}.poll.idle"), text);
        }
    }
}

/// The error for `owner`, if any. An unknown name is not repeated, because it may be a secret in the wrong
/// place.
fn objection(owner: &str, sources: &[RawSource]) -> Option<String> {
    let Some(source) = sources.iter().find(|source| source.name == owner) else {
        return Some("there is no source of that name".to_owned());
    };
    let owner = quote::key(owner);
    match &source.access {
        RawAccess::Webhook(_) => Some(format!("`sources.{owner}` has a webhook and no login")),
        RawAccess::Grant(_) => Some(format!("`sources.{owner}` has no login of its own")),
        RawAccess::Login(_) | RawAccess::Unclear => None,
    }
}

fn hint(sources: &[RawSource]) -> String {
    let owners = sources.iter().filter(|source| matches!(source.access, RawAccess::Login(_)));
    let owners: Vec<String> = owners.map(|owner| format!("`{}`", quote::key(&owner.name))).collect();
    if owners.is_empty() {
        return "set `portal`, `client_id` and `client_secret` here instead".to_owned();
    }
    format!("name one with a login of its own: {}", owners.join(", "))
}
