//! The decisions of the authorization server: which requests get a code or tokens (PORTAL.md 5).

use crate::rest::input::parameter::Parameters;
use crate::rest::refusal::Refusal;
use crate::state::apps::App;
use crate::state::portal::Portal;
use crate::state::tokens::Pair;

/// The credential that a client exchanges.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GrantType {
    /// A code from the browser.
    Code,
    /// The refresh token of an earlier response.
    Refresh,
}

impl GrantType {
    /// Parses `grant_type`, and returns the secret from the parameter that belongs to it.
    fn read(parameters: &Parameters) -> Result<(Self, &str), Refusal> {
        let required = |name| parameters.text(name).ok_or_else(|| Refusal::invalid_request(name));
        match required("grant_type")? {
            "authorization_code" => Ok((Self::Code, required("code")?)),
            "refresh_token" => Ok((Self::Refresh, required("refresh_token")?)),
            _ => Err(Refusal::invalid_request("grant_type")),
        }
    }
}

/// Tokens with the other values of their response.
#[derive(Debug)]
pub(crate) struct IssuedTokens {
    /// The application that receives them.
    pub app: App,
    /// The tokens.
    pub pair: Pair,
    /// The grant type of the request.
    pub grant_type: GrantType,
}

impl Portal {
    /// Exchanges a code or a refresh token for a pair of tokens.
    ///
    /// # Errors
    ///
    /// The error and status of PORTAL.md 5.4. Observed behaviour takes precedence over the documentation.
    pub(crate) fn issue_tokens(
        &mut self,
        parameters: &Parameters,
        now_s: i64,
    ) -> Result<IssuedTokens, Refusal> {
        let (grant_type, secret) = GrantType::read(parameters)?;
        let app = self.authenticate(parameters)?.clone();
        let pair = match grant_type {
            GrantType::Code if !self.tokens.is_proven(secret, parameters.text("code_verifier")) => {
                Err(Refusal::invalid_grant())
            }
            GrantType::Code => {
                self.tokens.redeem(&app, secret, now_s).ok_or_else(Refusal::bad_verification_code)
            }
            GrantType::Refresh => self.tokens.rotate(&app, secret, now_s).ok_or_else(Refusal::invalid_grant),
        }?;
        Ok(IssuedTokens { app, pair, grant_type })
    }

    /// The application, if it is installed and its secret is correct.
    fn authenticate(&self, parameters: &Parameters) -> Result<&App, Refusal> {
        let required = |name| parameters.text(name).ok_or_else(|| Refusal::invalid_request(name));
        let (client_id, client_secret) = (required("client_id")?, required("client_secret")?);
        let app = self.apps.get(client_id).ok_or_else(Refusal::wrong_client)?;
        if app.client_secret != client_secret || !app.active {
            return Err(Refusal::invalid_client());
        }
        if app.installed { Ok(app) } else { Err(Refusal::not_installed()) }
    }

    /// Issues a code for `user`, who has just agreed in the browser that the application may act for them.
    ///
    /// # Errors
    ///
    /// A message for the user in the browser. The application does not receive it.
    pub(crate) fn authorise_app(
        &mut self,
        client_id: &str,
        user: u64,
    ) -> Result<(App, String), &'static str> {
        let now_s = self.now().as_second();
        let app = self.apps.get(client_id).ok_or("There is no application with this client_id.")?.clone();
        if !app.installed || !app.active {
            return Err("The application is not installed on this portal, or switched off.");
        }
        if !self.accounts.get(&user).is_some_and(|account| account.active) {
            return Err("There is no such user on this portal, or the user was dismissed.");
        }
        let code = self.tokens.issue_code(&app, user, now_s);
        Ok((app, code))
    }
}
