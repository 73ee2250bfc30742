//! The methods for bots: `imbot.v2.*` and the two relevant methods of the older API (PORTAL.md 3). Where
//! documentation and code differ in a status, the code's status is used: 400.

use serde_json::{Map, Value, json};

use crate::queue::buffer::ReadRequest;
use crate::queue::read::read;
use crate::rest::caller::Caller;
use crate::rest::credential::Auth;
use crate::rest::input::parameter::Parameters;
use crate::rest::method::Method;
use crate::rest::methods::bot_fields;
use crate::rest::outcome::CallContext;
use crate::rest::outcome::Outcome;
use crate::rest::refusal::Refusal;
use crate::state::bots::{Bot, Owner};
use crate::state::portal::Portal;
use crate::wire::bot_payload::{self, BotEventKind, BotShape, ShortShape};

/// The names of the parameter with the secret, the newest first (PORTAL.md 1.1).
const SECRETS: [&str; 3] = ["botToken", "BOT_TOKEN", "CLIENT_ID"];

impl Portal {
    /// Runs a method for bots on behalf of `caller`.
    ///
    /// # Errors
    ///
    /// The error of the first check that fails.
    pub(crate) fn run_bot_method(
        &mut self,
        method: Method,
        caller: &Caller,
        parameters: &Parameters,
        context: CallContext,
    ) -> Result<Outcome, Refusal> {
        match method {
            Method::BotRegister => self.register_bot(caller, parameters).map(Outcome::Written),
            Method::BotList => self.list_bots(caller, parameters).map(Outcome::Written),
            Method::BotGet => self.show_bot(caller, parameters).map(Outcome::Written),
            Method::BotUnregister => self.unregister_bot(caller, parameters, context).map(Outcome::Value),
            Method::BotUnregisterV1 => {
                self.unregister_bot_v1(caller, parameters, context).map(Outcome::Value)
            }
            Method::BotListV1 => Ok(Outcome::Value(self.list_bots_v1())),
            Method::RevisionGet => {
                Ok(Outcome::Written(r#"{"rest":36,"web":130,"mobile":23,"desktop":6}"#.into()))
            }
            _ => self.read_bot_events(caller, parameters, context),
        }
    }

    /// `imbot.v2.Event.get`, with the checks in the order of PORTAL.md 3.1.
    fn read_bot_events(
        &mut self,
        caller: &Caller,
        parameters: &Parameters,
        context: CallContext,
    ) -> Result<Outcome, Refusal> {
        let request = ReadRequest::read(parameters)?;
        let with_user_events = parameters.boolean("withUserEvents")?;
        let bot = self.own_bot(caller, parameters)?.id;
        if with_user_events {
            self.check_user_events(caller)?;
        }
        let read_context = self.read_context(context);
        let Some(bot) = self.bots.get_mut(bot) else { return Err(not_found()) };
        let user = self.accounts.get_mut(&caller.user).filter(|_| with_user_events);
        let mut queues = vec![&mut bot.queue];
        queues.extend(user.map(|account| &mut account.queue));
        Ok(Outcome::Page(read(&mut queues, request, read_context)))
    }

    fn check_user_events(&self, caller: &Caller) -> Result<(), Refusal> {
        if !caller.may(Method::Get) {
            return Err(Refusal::bad_request("SCOPE_ERROR", "Scope 'im' is required to fetch user events"));
        }
        // An authorised caller always has a user, so only the fault script can produce this error.
        let account = self
            .accounts
            .get(&caller.user)
            .ok_or_else(|| Refusal::bad_request("AUTH_ERROR", "Authorization required for user events"))?;
        if !account.queue.is_subscribed() {
            return Err(Refusal::bad_request(
                "USER_NOT_SUBSCRIBED",
                "User is not subscribed. Call im.v2.Event.subscribe first",
            ));
        }
        Ok(())
    }

    /// The bot in `parameters`, if it belongs to the caller.
    fn own_bot(&self, caller: &Caller, parameters: &Parameters) -> Result<&Bot, Refusal> {
        let id = bot_id(parameters)?;
        let owner = owner(caller, secret(parameters))?;
        let id = id.ok_or_else(|| Refusal::bad_request("BOT_ID_REQUIRED", "Bot ID is required"))?;
        let bot = self.bots.get(id).ok_or_else(not_found)?;
        if bot.owner != owner {
            return Err(Refusal::bad_request(
                "BOT_OWNERSHIP_ERROR",
                "Bot is registered by another application",
            ));
        }
        Ok(bot)
    }

    /// If the owner already has a bot with this code, returns that bot unchanged.
    fn register_bot(&mut self, caller: &Caller, parameters: &Parameters) -> Result<String, Refusal> {
        let fields = parameters.get("fields").ok_or_else(|| Refusal::missing_value("fields"))?;
        let fields = fields.as_object().ok_or_else(|| Refusal::mistyped("fields", fields, "array"))?;
        let token = fields.get("botToken").and_then(Value::as_str).filter(|token| !token.is_empty());
        let owner = owner(caller, token.or_else(|| secret(parameters)))?;
        let code = bot_fields::code(&owner, fields)?;
        if let Some(bot) = self.bots.with_code(code) {
            let is_own = bot.owner == owner;
            return is_own
                .then(|| described(bot))
                .ok_or_else(|| Refusal::bad_request("BOT_CODE_ALREADY_TAKEN", "Bot code is already taken"));
        }
        let profile = bot_fields::profile(code, fields)?;
        if !self.bots.has_room_for(&owner) {
            return Err(Refusal::bad_request("BOT_LIMIT_EXCEEDED", "Bot limit exceeded"));
        }
        bot_fields::check_avatar(fields)?;
        let id = self.bots.next_id();
        self.bots.add(id, owner, profile);
        self.bots
            .get(id)
            .map(described)
            .ok_or_else(|| Refusal::bad_request("BOT_REGISTER_FAILED", "Bot registration failed"))
    }

    /// Lists only the bots of this application or token. With a wrong token, the list is empty.
    fn list_bots(&self, caller: &Caller, parameters: &Parameters) -> Result<String, Refusal> {
        let limit = usize::try_from(parameters.integer("limit", 50)?.max(1)).unwrap_or(1);
        let offset = usize::try_from(parameters.integer("offset", 0)?).unwrap_or(0);
        let owner = owner(caller, secret(parameters))?;
        let kind = parameters.get("filter").and_then(|filter| filter.get("type")).and_then(Value::as_str);
        let bots = self.bots.owned_by(&owner).filter(|bot| kind.is_none_or(|kind| kind == bot.profile.kind));
        let bots: Vec<&Bot> = bots.skip(offset).take(limit).collect();
        Ok(bot_payload::list(&bots, bots.len() >= limit))
    }

    /// Shows all fields to the owner, and the short form to other callers.
    fn show_bot(&self, caller: &Caller, parameters: &Parameters) -> Result<String, Refusal> {
        let id = bot_id(parameters)?;
        let owner = owner(caller, secret(parameters))?;
        let bot = match (id, parameters.text("code")) {
            (Some(id), _) => self.bots.get(id),
            (None, Some(code)) => self.bots.with_code(code),
            (None, None) => {
                return Err(Refusal::bad_request("PARAMS_REQUIRED", "Required parameters are missing"));
            }
        };
        let bot = bot.ok_or_else(not_found)?;
        if bot.owner == owner {
            Ok(described(bot))
        } else {
            Ok(bot_payload::described(&ShortShape::of(bot), bot))
        }
    }

    fn unregister_bot(
        &mut self,
        caller: &Caller,
        parameters: &Parameters,
        context: CallContext,
    ) -> Result<Value, Refusal> {
        let id = self.own_bot(caller, parameters)?.id;
        self.end_bot(id, context.now_s);
        Ok(json!({ "result": true }))
    }

    /// `imbot.unregister`, with the checks in the order of PORTAL.md 3.3.
    fn unregister_bot_v1(
        &mut self,
        caller: &Caller,
        parameters: &Parameters,
        context: CallContext,
    ) -> Result<Value, Refusal> {
        let parameters = parameters.folded();
        let denied = |_| Refusal::new(403, "ACCESS_DENIED", "Access denied! Client ID not specified");
        let owner = owner(caller, parameters.text("CLIENT_ID")).map_err(denied)?;
        let id = parameters.whole("BOT_ID");
        let bot = id
            .and_then(|id| self.bots.get(id))
            .ok_or_else(|| Refusal::bad_request("BOT_ID_ERROR", "Bot not found"))?;
        if bot.owner != owner {
            return Err(Refusal::bad_request(
                "APP_ID_ERROR",
                "Bot was installed by another rest application",
            ));
        }
        let id = bot.id;
        self.end_bot(id, context.now_s);
        Ok(json!(true))
    }

    /// Lists every bot of the portal, for every caller.
    fn list_bots_v1(&self) -> Value {
        let entry = |bot: &Bot| {
            let openline =
                if bot.profile.kind == "openline" || bot.profile.is_support_openline { "Y" } else { "N" };
            let (name, code) = (&bot.profile.name, &bot.profile.code);
            (bot.id.to_string(), json!({ "ID": bot.id, "NAME": name, "CODE": code, "OPENLINE": openline }))
        };
        let bots: Map<String, Value> = self.bots.registered().map(entry).collect();
        if bots.is_empty() { json!([]) } else { Value::Object(bots) }
    }

    /// Records the event for the deletion of the bot, and deletes it with all other events, so that no poller
    /// ever receives it (PORTAL.md 3.1).
    fn end_bot(&mut self, id: u64, now_s: i64) {
        let Some(bot) = self.bots.get(id) else { return };
        if bot.is_fetching() {
            let data = bot_payload::deletion(bot).into();
            let kind = BotEventKind::Delete.wire_name().into();
            let row = self.row(now_s, kind, data);
            if let Some(bot) = self.bots.get_mut(id) {
                bot.queue.record(row);
            }
        }
        self.bots.remove(id);
    }
}

/// The owner for whom the caller may act: its application, or the owner that knows `secret`.
fn owner(caller: &Caller, secret: Option<&str>) -> Result<Owner, Refusal> {
    match (&caller.auth, secret) {
        (Auth::App { client_id }, _) => Ok(Owner::App(client_id.clone())),
        (Auth::Webhook { .. }, Some(secret)) => Ok(Owner::Token(secret.into())),
        (Auth::Webhook { .. }, None) => {
            Err(Refusal::bad_request("BOT_TOKEN_NOT_SPECIFIED", "Bot token is not specified"))
        }
    }
}

fn secret(parameters: &Parameters) -> Option<&str> {
    SECRETS.into_iter().find_map(|name| parameters.text(name))
}

/// The bot's id; `None` if it is missing or not positive.
fn bot_id(parameters: &Parameters) -> Result<Option<u64>, Refusal> {
    let name = if parameters.get("botId").is_some() { "botId" } else { "BOT_ID" };
    let id = parameters.integer(name, 0)?;
    Ok(u64::try_from(id).ok().filter(|id| *id > 0))
}

fn described(bot: &Bot) -> String {
    bot_payload::described(&BotShape::of(bot), bot)
}

fn not_found() -> Refusal {
    Refusal::bad_request("BOT_NOT_FOUND", "Bot not found")
}
