//! `/sandbox/bots`: registers bots without a REST call.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::control::reply::ApiError;
use crate::control::reply::Reply;
use crate::control::reply::Shares;
use crate::control::reply::read;
use crate::http::state::AppState;
use crate::state::bots::{Bot, Bots, EventMode, Owner, Profile};

/// The routes to the bots.
pub(crate) fn routes() -> Router<Arc<AppState>> {
    Router::new().route("/sandbox/bots", get(bots).post(set_bot))
}

async fn bots(State(app_state): Shares) -> Reply {
    Ok(Json(app_state.portal().bots.registered().map(describe).collect()))
}

fn describe(bot: &Bot) -> Value {
    let mut described = json!({
        "id": bot.id,
        "code": bot.profile.code,
        "name": bot.profile.name,
        "type": bot.profile.kind,
        "event_mode": bot.profile.event_mode,
    });
    let (key, secret) = match &bot.owner {
        Owner::Token(token) => ("token", token),
        Owner::App(client_id) => ("client_id", client_id),
    };
    described[key] = json!(secret);
    described
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BotChange {
    id: Option<u64>,
    code: Option<String>,
    name: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    token: Option<String>,
    client_id: Option<String>,
    event_mode: Option<EventMode>,
}

/// Registers a bot, or changes the registered one with that id.
async fn set_bot(State(app_state): Shares, body: Bytes) -> Reply {
    let change: BotChange = read(&body)?;
    let mut portal = app_state.portal();
    let id = change.id.unwrap_or(portal.bots.next_id());
    // The counter of ids must not overflow.
    if portal.accounts.contains_key(&id) || !(1..=u64::from(u32::MAX)).contains(&id) {
        return Err(ApiError::unfit(format!("`id` {id} is a user's, or out of bounds")));
    }
    change.check_code(&portal.bots, id)?;
    if portal.bots.get(id).is_none() {
        change.register(&mut portal.bots, id)?;
    }
    let bot = portal.bots.get_mut(id).ok_or_else(|| ApiError::unfit("the bot is gone"))?;
    change.apply(bot)?;
    Ok(Json(describe(bot)))
}

impl BotChange {
    fn owner(&self) -> Result<Option<Owner>, ApiError> {
        match (&self.token, &self.client_id) {
            (Some(token), None) => Ok(Some(Owner::Token(token.clone()))),
            (None, Some(client_id)) => Ok(Some(Owner::App(client_id.clone()))),
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(ApiError::unfit("a bot has a `token` or a `client_id`, not both")),
        }
    }

    fn check_code(&self, bots: &Bots, id: u64) -> Result<(), ApiError> {
        let holder = self.code.as_deref().and_then(|code| bots.with_code(code));
        match holder.filter(|holder| holder.id != id) {
            Some(holder) => {
                let text = format!("the code `{}` is that of bot {}", holder.profile.code, holder.id);
                Err(ApiError(StatusCode::CONFLICT, text))
            }
            None => Ok(()),
        }
    }

    fn register(&self, bots: &mut Bots, id: u64) -> Result<(), ApiError> {
        let owner =
            self.owner()?.ok_or_else(|| ApiError::unfit("a new bot needs a `token` or a `client_id`"))?;
        let code = self.code.clone().unwrap_or_else(|| format!("bot{id}"));
        let name = self.name.clone().unwrap_or_else(|| format!("Bot {id}"));
        bots.add(id, owner, Profile::new(&code, &name));
        Ok(())
    }

    fn apply(self, bot: &mut Bot) -> Result<(), ApiError> {
        if let Some(owner) = self.owner()? {
            bot.owner = owner;
        }
        let profile = &mut bot.profile;
        profile.code = self.code.unwrap_or_else(|| profile.code.clone());
        profile.name = self.name.unwrap_or_else(|| profile.name.clone());
        profile.kind = self.kind.unwrap_or_else(|| profile.kind.clone());
        if let Some(mode) = self.event_mode {
            bot.set_event_mode(mode);
        }
        Ok(())
    }
}
