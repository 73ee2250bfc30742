//! The user and the credential of a call: the checks before every method (PORTAL.md 1.3).

use crate::rest::credential::Auth;
use crate::rest::input::call::{Call, CallCredential};
use crate::rest::method::Method;
use crate::rest::refusal::Refusal;
use crate::state::portal::Portal;

/// An authorised caller.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The acting user.
    pub user: u64,
    /// True for an administrator of the portal.
    pub is_admin: bool,
    /// The credential of the call.
    pub auth: Auth,
    /// The scopes of the credential.
    pub scopes: Vec<String>,
}

impl Caller {
    /// True if the credential has the scope that `method` requires.
    pub(crate) fn may(&self, method: Method) -> bool {
        has_scope(&self.scopes, method)
    }

    /// The calling application.
    ///
    /// # Errors
    ///
    /// If the caller is a webhook, because the method requires an application.
    pub(crate) fn client_id(&self) -> Result<&str, Refusal> {
        match &self.auth {
            Auth::App { client_id } => Ok(client_id),
            Auth::Webhook { .. } => Err(Refusal::wrong_auth_type()),
        }
    }
}

fn has_scope(scopes: &[String], method: Method) -> bool {
    method.scope().is_none_or(|scope| scopes.iter().any(|owned| owned == scope))
}

impl Portal {
    /// Verifies the credential of `call`.
    ///
    /// # Errors
    ///
    /// The error of the first check that fails.
    pub(crate) fn authorise(&self, call: &Call, method: Method, now_s: i64) -> Result<Caller, Refusal> {
        match call.credential.as_ref().ok_or_else(Refusal::no_auth_found)? {
            CallCredential::Webhook { user, code } => self.authorise_webhook(*user, code, method),
            CallCredential::Token(token) => self.authorise_token(token, method, now_s),
        }
    }

    fn authorise_webhook(&self, user: u64, code: &str, method: Method) -> Result<Caller, Refusal> {
        if self.switches.require_https {
            return Err(Refusal::https_required());
        }
        let account = self.accounts.get(&user).filter(|account| account.code == code);
        let account = account.ok_or_else(Refusal::invalid_credentials)?;
        if !has_scope(&account.scopes, method) {
            return Err(Refusal::insufficient_scope("webhook token"));
        }
        self.admit_user(user, Auth::Webhook { code: code.into() }, account.scopes.clone())
    }

    fn authorise_token(&self, token: &str, method: Method, now_s: i64) -> Result<Caller, Refusal> {
        let grant = self.tokens.access(token).ok_or_else(Refusal::invalid_token)?;
        let app = self.apps.get(&grant.client_id).ok_or_else(Refusal::application_not_found)?;
        if !app.installed {
            return Err(Refusal::application_not_installed());
        }
        if !app.active {
            return Err(Refusal::application_not_found());
        }
        if grant.ends_s <= now_s {
            return Err(Refusal::expired_token());
        }
        if !has_scope(&app.scopes, method) {
            return Err(Refusal::insufficient_scope("access token"));
        }
        self.admit_user(grant.user, Auth::App { client_id: app.client_id.clone() }, app.scopes.clone())
    }

    fn admit_user(&self, user: u64, auth: Auth, scopes: Vec<String>) -> Result<Caller, Refusal> {
        let account = self.accounts.get(&user).filter(|account| account.active);
        let account = account.ok_or_else(Refusal::inactive_user)?;
        Ok(Caller { user, is_admin: account.is_admin, auth, scopes })
    }

    /// The user behind `credential`, authorised or not.
    pub(crate) fn user_of(&self, credential: &CallCredential) -> Option<u64> {
        match credential {
            CallCredential::Webhook { user, .. } => Some(*user),
            CallCredential::Token(token) => self.tokens.access(token).map(|grant| grant.user),
        }
    }

    /// The name of the credential in the headers of a response: a webhook or an application.
    pub(crate) fn origin(&self, call: &Call) -> String {
        match &call.credential {
            Some(CallCredential::Token(token)) => {
                self.tokens.access(token).map_or_else(String::new, |grant| grant.client_id.clone())
            }
            Some(CallCredential::Webhook { user, .. }) => format!("webhook{user}"),
            None => "webhook0".into(),
        }
    }
}
