//! One login of an OAuth application, shared by every source and call that uses it (PORTAL.md 5.3).
//!
//! A pair is refreshed only after the portal has refused it, by one call at a time, and is on the disk
//! before it is used: the server forgets the old one, so a pair lost is a login lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::Url;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use crate::config::{OAuthConfig, SecretText};
use crate::portal::memory::Memory;
use crate::portal::oauth::authorization::{self, Authorization, Claim};
use crate::portal::oauth::tokens::Tokens;
use crate::portal::refusal::CallError;

/// How long a pair is looked for that another process has got for our refresh token: the server has
/// rotated by then, and the answer is on its way to that process, or from there to the disk.
const RACE_PAUSES_MS: [u64; 6] = [0, 100, 200, 400, 800, 1500];

/// See the top of this file.
pub struct Grant {
    config: OAuthConfig,
    authorization: Authorization,
    memory: Arc<dyn Memory>,
    /// Held through a refresh: whoever comes meanwhile waits for its outcome.
    state: Arc<Mutex<State>>,
    /// Counts the pairs that there were.
    epoch: AtomicU64,
}

#[derive(Default)]
struct State {
    tokens: Option<Tokens>,
    /// Since when the pair has been refreshed, and for which method, without having worked there yet.
    unproven: Option<(Instant, &'static str)>,
    /// A pair that the disk has not taken yet.
    unkept: Option<Tokens>,
    /// What became of the refresh token that must not be tried again.
    dead: Option<(SecretText, CallError)>,
    /// How the last refresh failed, and when: those who waited for it fail with it.
    failure: Option<(Instant, CallError)>,
    /// The pair was refused for good: perhaps somebody has logged in again.
    is_doubted: bool,
    /// The pair is only tried out: neither is it on record, nor does what is there replace it.
    is_candidate: bool,
}

impl Grant {
    /// The login that `config` names.
    pub fn new(config: &OAuthConfig, memory: Arc<dyn Memory>) -> Self {
        Self {
            config: config.clone(),
            authorization: Authorization::new(config),
            memory,
            state: Arc::default(),
            epoch: AtomicU64::new(0),
        }
    }

    /// Whose login it is: the name of a source.
    pub fn name(&self) -> &str {
        &self.config.grant
    }

    /// Whether it is the login that `config` names.
    pub fn is_of(&self, config: &OAuthConfig) -> bool {
        self.config == *config
    }

    /// Tries out `tokens` from here on, whoever's they are. Neither they nor what they are refreshed to
    /// gets on record, which may hold somebody else's login that works: see [`keep`].
    pub async fn seed(&self, tokens: Tokens) {
        *self.state.lock().await = State { tokens: Some(tokens), is_candidate: true, ..State::default() };
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// Another number when the pair is another one, and with it perhaps the user behind it.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Whether another pair for the same queue is on record: somebody has logged in meanwhile.
    pub async fn is_superseded(&self) -> bool {
        let state = self.state.lock().await;
        let (Ok(Some(stored)), Some(before)) = (self.stored(&state).await, &state.tokens) else {
            return false;
        };
        stored.access != before.access && self.refuse_other(before, &stored).is_ok()
    }

    /// The pair as it is now.
    pub async fn tokens(&self) -> Option<Tokens> {
        self.state.lock().await.tokens.clone()
    }

    /// The access token to call with.
    ///
    /// # Errors
    /// When nobody has logged in, or somebody else than before.
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

    /// Whose queue it opens.
    ///
    /// # Errors
    /// When nobody has logged in.
    pub async fn user_id(&self) -> Result<u64, CallError> {
        self.access().await?;
        let user_id = self.state.lock().await.tokens.as_ref().and_then(|tokens| tokens.user_id);
        user_id.ok_or_else(|| self.no_login())
    }

    /// A call of `method` with `access` went well.
    pub async fn prove(&self, access: &SecretText, method: &'static str) {
        let mut state = self.state.lock().await;
        let is_current = state.tokens.as_ref().is_some_and(|tokens| tokens.access == *access);
        if is_current && state.unproven.is_some_and(|(_, refused)| refused == method) {
            state.unproven = None;
        }
    }

    /// A call was refused in a way that another login may mend.
    pub async fn doubt(&self) {
        self.state.lock().await.is_doubted = true;
    }

    /// Gets another pair than the one with the access token `spent`, which the portal has refused to
    /// `method`.
    /// Returns where the portal answers, when the server says so.
    ///
    /// A caller who gives up does not end it: see [`Grant::rest`]. That is why it is a task of its own.
    ///
    /// # Errors
    /// Every error of PORTAL.md 5.4; the pair is then as it was.
    pub async fn renew(
        self: &Arc<Self>,
        spent: &SecretText,
        method: &'static str,
    ) -> Result<Option<Url>, CallError> {
        let asked = Instant::now();
        // Whoever gives up while waiting here has asked for nothing yet.
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

    /// Waits for the end of a refresh that is under way, and makes a last try to keep a pair that the
    /// disk has not taken.
    pub async fn rest(&self) {
        let mut state = self.state.lock().await;
        let Some(unkept) = state.unkept.take() else { return };
        if let Err(reason) = self.memory.keep(&key(self.name()), &unkept.expose()).await {
            let cure = format!("log in again: `b24relay login {}`", self.name());
            error!(
                grant = self.name(),
                reason, cure, "cannot keep the refreshed tokens, which are lost with that"
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
        self.adopt(state, fresh, method).await
    }

    /// A new pair for `before`; `None` when another process has got one meanwhile.
    async fn refresh(&self, state: &mut State, before: &Tokens) -> Result<Option<Tokens>, CallError> {
        match self.authorization.ask(Claim::Refresh(before.refresh.expose()), Some(before)).await {
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

    /// What another process has put on record in the place of `before`, which the server no longer takes.
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

    /// Keeps `fresh`, and only then uses it: first for `method`, which must not refuse it.
    async fn adopt(
        &self,
        state: &mut State,
        fresh: Tokens,
        method: &'static str,
    ) -> Result<Option<Url>, CallError> {
        if !state.is_candidate
            && let Err(reason) = self.memory.keep(&key(&self.config.grant), &fresh.expose()).await
        {
            warn!(
                grant = self.config.grant,
                reason, "cannot keep the refreshed tokens; they are not used before that"
            );
            state.unkept = Some(fresh);
            return Err(CallError::retry(
                authorization::METHOD,
                format!("cannot keep the refreshed tokens: {reason}"),
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
            // Of the login before: it must not take the place of this one.
            state.unkept = None;
            state.dead = None;
        }
        Ok(())
    }

    /// Another user's queue, or another portal's, must not be read with offsets that do not belong to it.
    fn refuse_other(&self, before: &Tokens, now: &Tokens) -> Result<(), CallError> {
        let cure = || format!("log in as the user of before: `b24relay login {}`", self.config.grant);
        if let (Some(before), Some(now)) = (before.user_id, now.user_id)
            && before != now
        {
            let reason = format!(
                "the tokens are now those of user {now}, and this source reads the queue of user {before}"
            );
            return Err(CallError::operator(authorization::METHOD, reason, cure()));
        }
        if !before.member_id.is_empty() && !now.member_id.is_empty() && before.member_id != now.member_id {
            let reason = "the tokens are now those of another portal than before";
            return Err(CallError::operator(authorization::METHOD, reason, cure()));
        }
        Ok(())
    }

    /// What is on record, unless it does not matter.
    async fn stored(&self, state: &State) -> Result<Option<Tokens>, CallError> {
        if state.is_candidate {
            return Ok(None);
        }
        let stored = recall(&*self.memory, &self.config).await;
        stored.map_err(|reason| {
            CallError::retry(authorization::METHOD, format!("cannot read the tokens: {reason}"))
        })
    }

    /// Neither a token that was refused right after its refresh nor a refresh token that was refused itself
    /// is a reason to ask again: such load gets an application blocked.
    fn refuse_endless(&self, state: &State, before: &Tokens) -> Result<(), CallError> {
        if let Some((dead, refusal)) = &state.dead
            && *dead == before.refresh
        {
            return Err(refusal.clone());
        }
        let is_young = |since: Instant| since.elapsed() < before.lifetime.max(Duration::from_secs(60));
        if state.unproven.is_some_and(|(since, _)| is_young(since)) {
            let reason = "the portal refuses a token that was refreshed a moment ago";
            let cure = format!("log in again: `b24relay login {}`", self.name());
            return Err(CallError::operator(authorization::METHOD, reason, cure));
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

/// The pair on record for `config`, unless it belongs to another application.
async fn recall(memory: &dyn Memory, config: &OAuthConfig) -> Result<Option<Tokens>, String> {
    let text = memory.recall(&key(&config.grant)).await?;
    // What cannot be read any more is as good as no login: the way out is the same.
    let tokens = text.and_then(|text| Tokens::parse(&text, &config.client_id).ok());
    Ok(tokens.filter(|tokens| tokens.client_id == config.client_id))
}

/// Puts a pair on record, for every process that uses the login.
///
/// # Errors
/// Says why it cannot be written.
pub async fn keep(memory: &dyn Memory, config: &OAuthConfig, tokens: &Tokens) -> Result<(), String> {
    memory.keep(&key(&config.grant), &tokens.expose()).await
}

fn key(grant: &str) -> String {
    format!("grant/{grant}")
}
