//! One login of an OAuth application, shared by all sources and calls that use it (PORTAL.md 5.3).
//!
//! A pair is refreshed only after the portal has refused it, by one call at a time. The new pair is on disk
//! before it is used: the server forgets the old one, so a lost pair is a lost login.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::Url;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use crate::http::Route;
use crate::key_value::{KeyValue, KeyValueError};
use crate::log_code;
use crate::oauth::authorization::{self, Authorization, TokenRequest};
use crate::oauth::tokens::Tokens;
use crate::refusal::CallError;
use crate::secret::secret_text::SecretText;
use crate::settings::OAuthConfig;

/// The pauses while we look for a pair that another process received for our refresh token. The server has
/// already rotated the token, and its response is on its way to that process, or from there to the disk.
const RACE_PAUSES_MS: [u64; 6] = [0, 100, 200, 400, 800, 1500];

/// One login, with its current tokens.
pub struct OAuthSession {
    config: OAuthConfig,
    authorization: Authorization,
    key_value: Arc<dyn KeyValue>,
    /// Locked during a refresh: other callers wait for its outcome.
    state: Arc<Mutex<State>>,
    /// Incremented for each new pair.
    epoch: AtomicU64,
}

#[derive(Default)]
struct State {
    tokens: Option<Tokens>,
    /// When the pair was refreshed and for which method; `None` once that method has accepted it.
    unproven: Option<(Instant, &'static str)>,
    /// A pair that is not written to disk yet.
    unkept: Option<Tokens>,
    /// A refresh token that must not be used again, with its error.
    dead: Option<(SecretText, CallError)>,
    /// When and how the last refresh failed. Callers that waited for it fail with the same error.
    failure: Option<(Instant, CallError)>,
    /// True if the pair was refused for good: the user may have logged in again.
    is_doubted: bool,
    /// True while the pair is only tested: it is not stored, and the stored pair does not replace it.
    is_candidate: bool,
}

impl OAuthSession {
    /// The login that `config` names. The authorization server is reached by `route`.
    pub fn new(config: &OAuthConfig, route: Route, key_value: Arc<dyn KeyValue>) -> Self {
        Self {
            config: config.clone(),
            authorization: Authorization::new(config, route),
            key_value,
            state: Arc::default(),
            epoch: AtomicU64::new(0),
        }
    }

    /// The name of the source that owns the login.
    pub fn name(&self) -> &str {
        &self.config.grant
    }

    /// True if it is the login that `config` names.
    pub fn is_of(&self, config: &OAuthConfig) -> bool {
        self.config == *config
    }

    /// Tests `tokens` from now on, whichever user they belong to. Neither these tokens nor refreshed ones are
    /// stored, because the stored pair may be a working login of another user: see [`keep`].
    pub async fn seed(&self, tokens: Tokens) {
        *self.state.lock().await = State { tokens: Some(tokens), is_candidate: true, ..State::default() };
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// A number that changes with the pair, and so whenever the user may have changed.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// True if another pair for the same queue is stored, because the user has logged in again.
    pub async fn is_superseded(&self) -> bool {
        let state = self.state.lock().await;
        let (Ok(Some(stored)), Some(before)) = (self.stored(&state).await, &state.tokens) else {
            return false;
        };
        stored.access != before.access && self.refuse_other(before, &stored).is_ok()
    }

    /// The current pair.
    pub async fn tokens(&self) -> Option<Tokens> {
        self.state.lock().await.tokens.clone()
    }

    /// The access token for calls.
    ///
    /// # Errors
    /// If no user has logged in, or another user than before.
    pub async fn access(&self) -> Result<SecretText, CallError> {
        let mut state = self.state.lock().await;
        if (state.tokens.is_none() || state.is_doubted)
            && let Some(stored) = self.stored(&state).await?
        {
            self.replace(&mut state, stored)?;
            state.is_doubted = false;
        }
        state.tokens.as_ref().map(|tokens| tokens.access.clone()).ok_or_else(|| self.no_login())
    }

    /// The user whose queue it opens.
    ///
    /// # Errors
    /// If no user has logged in.
    pub async fn user_id(&self) -> Result<u64, CallError> {
        self.access().await?;
        let user_id = self.state.lock().await.tokens.as_ref().and_then(|tokens| tokens.user_id);
        user_id.ok_or_else(|| self.no_login())
    }

    /// Records that a call of `method` with `access` succeeded.
    pub async fn prove(&self, access: &SecretText, method: &'static str) {
        let mut state = self.state.lock().await;
        let is_current = state.tokens.as_ref().is_some_and(|tokens| tokens.access == *access);
        if is_current && state.unproven.is_some_and(|(_, refused)| refused == method) {
            state.unproven = None;
        }
    }

    /// Records that a call was refused with an error that a new login may fix.
    pub async fn doubt(&self) {
        self.state.lock().await.is_doubted = true;
    }

    /// Replaces the pair with the access token `spent`, which the portal has refused for `method`. Returns
    /// the portal's address if the server reports it.
    ///
    /// The refresh runs in a separate task, so it continues if the caller is cancelled: see [`OAuthSession::rest`].
    ///
    /// # Errors
    /// Every error of PORTAL.md 5.4. The pair is then unchanged.
    pub async fn renew(
        self: &Arc<Self>,
        spent: &SecretText,
        method: &'static str,
    ) -> Result<Option<Url>, CallError> {
        let asked = Instant::now();
        // A caller that is cancelled here has requested nothing yet.
        let mut state = Arc::clone(&self.state).lock_owned().await;
        if let Some((_, failure)) = state.failure.as_ref().filter(|(at, _)| *at > asked)
            && state.tokens.as_ref().is_some_and(|tokens| tokens.access == *spent)
        {
            debug!(grant = self.name(), "the refresh failed for all who waited");
            return Err(failure.clone());
        }
        let (grant, spent) = (Arc::clone(self), spent.clone());
        let renewing = tokio::spawn(async move {
            let outcome = grant.renew_alone(&mut state, &spent, method).await;
            state.failure = outcome.as_ref().err().map(|failure| (Instant::now(), failure.clone()));
            outcome
        });
        renewing.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }

    /// Waits for the end of a refresh in progress, and tries a last time to write a pair that is not on disk
    /// yet.
    pub async fn rest(&self) {
        let mut state = self.state.lock().await;
        let Some(unkept) = state.unkept.take() else { return };
        if let Err(reason) = self.key_value.put(&key(self.name()), &unkept.expose()).await {
            let hint = format!("log in again: `b24relay login {}`", self.name());
            error!(
                code = %log_code::TOKENS_LOST,
                grant = self.name(),
                %reason, hint, "cannot store the refreshed tokens: they are lost when b24relay ends"
            );
        }
    }

    async fn renew_alone(
        &self,
        state: &mut State,
        spent: &SecretText,
        method: &'static str,
    ) -> Result<Option<Url>, CallError> {
        if state.tokens.as_ref().is_some_and(|tokens| tokens.access != *spent) {
            return Ok(None);
        }
        if let Some(stored) = self.stored(state).await?.filter(|stored| stored.access != *spent) {
            self.replace(state, stored)?;
            info!(grant = self.config.grant, "tokens were refreshed by another process");
            return Ok(None);
        }
        let before = state.tokens.clone().ok_or_else(|| self.no_login())?;
        self.refuse_endless(state, &before)?;
        let fresh = match state.unkept.take() {
            Some(unkept) => unkept,
            None => match self.refresh(state, &before).await? {
                Some(fresh) => fresh,
                None => return Ok(None),
            },
        };
        self.bind(state, fresh, method).await
    }

    /// Requests a new pair for `before`; `None` if another process has got one meanwhile.
    async fn refresh(&self, state: &mut State, before: &Tokens) -> Result<Option<Tokens>, CallError> {
        match self.authorization.ask(TokenRequest::Refresh(before.refresh.expose()), Some(before)).await {
            Ok(fresh) => {
                let fresh = fresh.inherit(before);
                self.refuse_other(before, &fresh).map(|()| Some(fresh)).inspect_err(|refusal| {
                    state.dead = Some((before.refresh.clone(), refusal.clone()));
                })
            }
            Err(refusal) if refusal.code().is_some_and(|code| code.eq_ignore_ascii_case("invalid_grant")) => {
                if let Some(stored) = self.stored_instead(state, before).await? {
                    info!(grant = self.config.grant, "another process was first to refresh the tokens");
                    self.replace(state, stored)?;
                    return Ok(None);
                }
                state.dead = Some((before.refresh.clone(), refusal.clone()));
                Err(refusal)
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// The pair that another process has stored in the place of `before`, which the server no longer accepts.
    async fn stored_instead(&self, state: &State, before: &Tokens) -> Result<Option<Tokens>, CallError> {
        if state.is_candidate {
            return Ok(None);
        }
        for pause_ms in RACE_PAUSES_MS {
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            let stored = self.stored(state).await?;
            if let Some(stored) = stored.filter(|stored| stored.refresh != before.refresh) {
                return Ok(Some(stored));
            }
        }
        Ok(None)
    }

    /// Stores `fresh` and only then uses it. `method` is called first and must accept it.
    async fn bind(
        &self,
        state: &mut State,
        fresh: Tokens,
        method: &'static str,
    ) -> Result<Option<Url>, CallError> {
        if !state.is_candidate
            && let Err(reason) = self.key_value.put(&key(&self.config.grant), &fresh.expose()).await
        {
            warn!(
                code = %log_code::TOKENS_NOT_STORED,
                grant = self.config.grant,
                %reason, "cannot store the refreshed tokens: they are used only after they are stored"
            );
            state.unkept = Some(fresh);
            return Err(CallError::retry(
                authorization::METHOD,
                format!("cannot store the refreshed tokens: {reason}"),
            ));
        }
        info!(grant = self.config.grant, "tokens refreshed");
        let endpoint = fresh.client_endpoint.clone();
        state.tokens = Some(fresh);
        self.epoch.fetch_add(1, Ordering::Relaxed);
        state.unproven = Some((Instant::now(), method));
        state.dead = None;
        Ok(endpoint)
    }

    fn replace(&self, state: &mut State, stored: Tokens) -> Result<(), CallError> {
        if let Some(before) = &state.tokens {
            self.refuse_other(before, &stored)?;
        }
        if state.tokens.as_ref() != Some(&stored) {
            state.tokens = Some(stored);
            self.epoch.fetch_add(1, Ordering::Relaxed);
            state.unproven = None;
            // It belongs to the previous login and must not replace this one.
            state.unkept = None;
            state.dead = None;
        }
        Ok(())
    }

    /// The stored offsets belong to one queue. Refuses to use them for the queue of another user or portal.
    fn refuse_other(&self, before: &Tokens, now: &Tokens) -> Result<(), CallError> {
        let hint = || format!("log in as the user of before: `b24relay login {}`", self.config.grant);
        if let (Some(before), Some(now)) = (before.user_id, now.user_id)
            && before != now
        {
            let reason = format!(
                "the tokens are now those of user {now}, and this source reads the queue of user {before}"
            );
            return Err(CallError::operator(authorization::METHOD, reason, hint()));
        }
        if !before.member_id.is_empty() && !now.member_id.is_empty() && before.member_id != now.member_id {
            let reason = "the tokens are now those of another portal than before";
            return Err(CallError::operator(authorization::METHOD, reason, hint()));
        }
        Ok(())
    }

    /// The stored pair, unless this one is only tested.
    async fn stored(&self, state: &State) -> Result<Option<Tokens>, CallError> {
        if state.is_candidate {
            return Ok(None);
        }
        let stored = get(&*self.key_value, &self.config).await;
        stored.map_err(|reason| {
            CallError::retry(authorization::METHOD, format!("cannot read the tokens: {reason}"))
        })
    }

    /// Refuses to refresh again if the portal has just refused the refreshed token, or the server has refused
    /// the refresh token. Repeated requests of this kind get an application blocked.
    fn refuse_endless(&self, state: &State, before: &Tokens) -> Result<(), CallError> {
        if let Some((dead, refusal)) = &state.dead
            && *dead == before.refresh
        {
            return Err(refusal.clone());
        }
        let is_young = |since: Instant| since.elapsed() < before.lifetime.max(Duration::from_secs(60));
        if state.unproven.is_some_and(|(since, _)| is_young(since)) {
            let reason = "the portal refuses a token that was refreshed a moment ago";
            let hint = format!("log in again: `b24relay login {}`", self.name());
            return Err(CallError::operator(authorization::METHOD, reason, hint));
        }
        Ok(())
    }

    fn no_login(&self) -> CallError {
        let grant = &self.config.grant;
        CallError::operator(
            authorization::METHOD,
            format!("nobody has logged in for `{grant}` yet"),
            format!("run `b24relay login {grant}`"),
        )
    }
}

/// The stored pair for `config`, unless it belongs to another application.
async fn get(key_value: &dyn KeyValue, config: &OAuthConfig) -> Result<Option<Tokens>, KeyValueError> {
    let text = key_value.get(&key(&config.grant)).await?;
    // An unreadable record counts as no login, because the remedy is the same.
    let tokens = text.and_then(|text| Tokens::parse(&text, &config.client_id).ok());
    Ok(tokens.filter(|tokens| tokens.client_id == config.client_id))
}

/// Stores a pair for every process that uses the login.
pub async fn keep(
    key_value: &dyn KeyValue,
    config: &OAuthConfig,
    tokens: &Tokens,
) -> Result<(), KeyValueError> {
    key_value.put(&key(&config.grant), &tokens.expose()).await
}

fn key(grant: &str) -> String {
    format!("grant/{grant}")
}
