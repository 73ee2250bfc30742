//! The authorization server's decisions: who gets a code, who gets tokens (PORTAL.md 5).

use crate::rest::input::parameter::Parameters;
use crate::rest::refusal::Refusal;
use crate::state::apps::App;
use crate::state::portal::Portal;
use crate::state::tokens::Pair;

/// What a client came with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GrantType {
    /// A code from the browser.
    Code,
    /// The refresh token of an earlier answer.
    Refresh,
}

impl GrantType {
    /// What `grant_type` names, and under which parameter the secret comes.
    fn read(parameters: &Parameters) -> Result<(Self, &str), Refusal> {
        let required = |name| parameters.text(name).ok_or_else(|| Refusal::invalid_request(name));
        match required("grant_type")? {
            "authorization_code" => Ok((Self::Code, required("code")?)),
            "refresh_token" => Ok((Self::Refresh, required("refresh_token")?)),
            _ => Err(Refusal::invalid_request("grant_type")),
        }
    }
}

/// Tokens, and what else their answer has to say.
#[derive(Debug)]
pub struct Issue {
    /// The application they were issued to.
    pub app: App,
    /// The tokens.
    pub pair: Pair,
    /// What they were issued for.
    pub grant_type: GrantType,
}

impl Portal {
    /// Exchanges a code or a refresh token for a pair of tokens.
    ///
    /// # Errors
    ///
    /// With the error and status of PORTAL.md 5.4; what is observed comes before what is documented.
    pub fn issue_tokens(&mut self, parameters: &Parameters, now_s: i64) -> Result<Issue, Refusal> {
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
        Ok(Issue { app, pair, grant_type })
    }

    /// The application that proves itself by its secret and is installed.
    fn authenticate(&self, parameters: &Parameters) -> Result<&App, Refusal> {
        let required = |name| parameters.text(name).ok_or_else(|| Refusal::invalid_request(name));
        let (client_id, client_secret) = (required("client_id")?, required("client_secret")?);
        let app = self.apps.get(client_id).ok_or_else(Refusal::wrong_client)?;
        if app.client_secret != client_secret || !app.active {
            return Err(Refusal::invalid_client());
        }
        if app.installed { Ok(app) } else { Err(Refusal::not_installed()) }
    }

    /// A code for `user`, who has just agreed in the browser that the application may act.
    ///
    /// # Errors
    ///
    /// Says to the person at the browser why not; the application never hears of it.
    pub fn authorise_app(&mut self, client_id: &str, user: u64) -> Result<(App, String), &'static str> {
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
