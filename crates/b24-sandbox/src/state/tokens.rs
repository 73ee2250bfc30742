//! The codes, access tokens and refresh tokens of the authorization server (PORTAL.md 5). Pure: it has no
//! clock and does no I/O.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::state::apps::App;
use crate::state::rng::Rng;

/// How long a code can be exchanged (PORTAL.md 5.1).
const CODE_LIFETIME_S: i64 = 30;

/// The length of codes and tokens, as on a real portal.
const LENGTH: usize = 70;

/// The owner and the expiry of a code or token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Grant {
    /// The application.
    pub client_id: String,
    /// The user it acts for.
    pub user: u64,
    /// Unix time at which it expires, in seconds.
    pub ends_s: i64,
}

/// Two tokens, issued together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Pair {
    /// The token for calls.
    pub access_token: String,
    /// The token for the next pair.
    pub refresh_token: String,
    /// The user for whom both act.
    pub user: u64,
    /// Unix time at which the access token expires, in seconds.
    pub expires_s: i64,
}

/// All issued codes and tokens. Expired access tokens are kept, because the portal recognises them as
/// expired.
#[derive(Debug)]
pub(crate) struct Tokens {
    rng: Rng,
    codes: BTreeMap<String, Grant>,
    /// The challenge of each code. The exchange must contain its verifier (RFC 7636, S256).
    challenges: BTreeMap<String, String>,
    access: BTreeMap<String, Grant>,
    refresh: BTreeMap<String, Grant>,
}

impl Tokens {
    /// No codes or tokens yet.
    pub(crate) fn new(rng: Rng) -> Self {
        Self {
            rng,
            codes: BTreeMap::new(),
            challenges: BTreeMap::new(),
            access: BTreeMap::new(),
            refresh: BTreeMap::new(),
        }
    }

    /// The grant of an access token, expired or not.
    pub(crate) fn access(&self, token: &str) -> Option<&Grant> {
        self.access.get(token)
    }

    /// The user of a code or a refresh token, valid or not.
    pub(crate) fn user_behind(&self, secret: &str) -> Option<u64> {
        self.codes.get(secret).or_else(|| self.refresh.get(secret)).map(|grant| grant.user)
    }

    /// Issues a code for the redirect of the browser.
    pub(crate) fn issue_code(&mut self, app: &App, user: u64, now_s: i64) -> String {
        let code = self.rng.code(LENGTH);
        let grant = Grant { client_id: app.client_id.clone(), user, ends_s: now_s + CODE_LIFETIME_S };
        self.codes.insert(code.clone(), grant);
        code
    }

    /// Requires the verifier of `challenge` for `code`.
    pub(crate) fn challenge(&mut self, code: &str, challenge: String) {
        self.challenges.insert(code.to_owned(), challenge);
    }

    /// True if `verifier` matches the challenge of `code`, or if the code has no challenge.
    pub(crate) fn is_proven(&self, code: &str, verifier: Option<&str>) -> bool {
        self.challenges.get(code).is_none_or(|challenge| {
            verifier.is_some_and(|verifier| URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) == *challenge)
        })
    }

    /// Exchanges a code for a pair, once. `None` if the code is unknown, used, expired or belongs to another
    /// application.
    pub(crate) fn redeem(&mut self, app: &App, code: &str, now_s: i64) -> Option<Pair> {
        self.codes.get(code).filter(|grant| grant.client_id == app.client_id)?;
        self.challenges.remove(code);
        let grant = self.codes.remove(code).filter(|grant| now_s < grant.ends_s)?;
        Some(self.issue(app, grant.user, now_s))
    }

    /// Exchanges a refresh token for a new pair. The old token expires at once or after the app's grace
    /// period. `None` if it is unknown, expired or belongs to another application.
    pub(crate) fn rotate(&mut self, app: &App, refresh_token: &str, now_s: i64) -> Option<Pair> {
        let grant = self.refresh.get_mut(refresh_token)?;
        if grant.client_id != app.client_id || grant.ends_s <= now_s {
            return None;
        }
        grant.ends_s = grant.ends_s.min(now_s.saturating_add(app.grace_s));
        let user = grant.user;
        Some(self.issue(app, user, now_s))
    }

    /// Issues a pair for `user`, as if the user had just authorised the app.
    pub(crate) fn issue(&mut self, app: &App, user: u64, now_s: i64) -> Pair {
        let (access_token, refresh_token) = (self.rng.code(LENGTH), self.rng.code(LENGTH));
        let grant = |lifetime_s: i64| Grant {
            client_id: app.client_id.clone(),
            user,
            ends_s: now_s.saturating_add(lifetime_s),
        };
        let (access, refresh) = (grant(app.access_lifetime_s), grant(app.refresh_lifetime_s));
        let expires_s = access.ends_s;
        self.access.insert(access_token.clone(), access);
        self.refresh.insert(refresh_token.clone(), refresh);
        Pair { access_token, refresh_token, user, expires_s }
    }

    /// Expires every access token of the app now.
    pub(crate) fn expire_access(&mut self, client_id: &str, now_s: i64) {
        end(&mut self.access, client_id, now_s);
    }

    /// Expires every refresh token of the app now.
    pub(crate) fn expire_refresh(&mut self, client_id: &str, now_s: i64) {
        end(&mut self.refresh, client_id, now_s);
    }

    /// Deletes every access token of the app, so that the portal does not recognise them any more.
    pub(crate) fn forget_access(&mut self, client_id: &str) {
        self.access.retain(|_, grant| grant.client_id != client_id);
    }
}

fn end(grants: &mut BTreeMap<String, Grant>, client_id: &str, now_s: i64) {
    for grant in grants.values_mut().filter(|grant| grant.client_id == client_id) {
        grant.ends_s = grant.ends_s.min(now_s);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::apps::FIRST_CLIENT_ID;

    fn bench() -> (Tokens, App) {
        (Tokens::new(Rng::new(1, 1)), App::new(FIRST_CLIENT_ID, 1))
    }

    #[test]
    fn a_code_works_once_and_not_for_long() {
        let (mut tokens, app) = bench();
        let code = tokens.issue_code(&app, 7, 100);
        assert_eq!(tokens.redeem(&App::new("another", 1), &code, 129), None, "another app's code");
        assert_eq!(tokens.redeem(&app, &code, 129).unwrap().user, 7);
        assert_eq!(tokens.redeem(&app, &code, 129), None, "used");
        let code = tokens.issue_code(&app, 7, 100);
        assert_eq!(tokens.redeem(&app, &code, 130), None, "expired");
    }

    #[test]
    fn a_refresh_token_is_replaced_and_ends() {
        let (mut tokens, mut app) = bench();
        let first = tokens.issue(&app, 7, 100);
        assert_eq!(tokens.access(&first.access_token).unwrap().ends_s, 3700);
        let second = tokens.rotate(&app, &first.refresh_token, 200).unwrap();
        assert_eq!((second.user, second.expires_s), (7, 3800));
        assert_eq!(tokens.rotate(&app, &first.refresh_token, 200), None, "rotated away");
        app.grace_s = 60;
        assert!(tokens.rotate(&app, &second.refresh_token, 300).is_some());
        assert!(tokens.rotate(&app, &second.refresh_token, 359).is_some(), "within the grace");
        assert_eq!(tokens.rotate(&app, &second.refresh_token, 360), None, "no using prolongs the grace");
        let third = tokens.issue(&app, 7, 100);
        let end_s = 100 + app.refresh_lifetime_s;
        assert_eq!(tokens.rotate(&app, &third.refresh_token, end_s), None, "too old");
    }

    #[test]
    fn what_is_expired_stays_known_and_what_is_forgotten_does_not() {
        let (mut tokens, app) = bench();
        let pair = tokens.issue(&app, 7, 100);
        tokens.expire_access("another", 200);
        assert_eq!(tokens.access(&pair.access_token).unwrap().ends_s, 3700);
        tokens.expire_access(&app.client_id, 200);
        assert_eq!(tokens.access(&pair.access_token).unwrap().ends_s, 200);
        tokens.forget_access(&app.client_id);
        assert_eq!(tokens.access(&pair.access_token), None);
        tokens.expire_refresh(&app.client_id, 200);
        assert_eq!(tokens.rotate(&app, &pair.refresh_token, 200), None);
    }
}
