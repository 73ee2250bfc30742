//! Either generation of the portal's bot methods, and what to do about their refusals.

use crate::config::SecretText;
use crate::portal::bots::{self, Bot};
use crate::portal::{CallError, Caller, Class};

/// The API that is asked, and the secret for it.
pub struct Api {
    v2: bool,
    secret: Option<SecretText>,
}

/// What became of the bot.
pub enum Outcome {
    Removed,
    WasGone,
}

impl Api {
    pub fn new(v2: bool, secret: Option<SecretText>) -> Self {
        Self { v2, secret }
    }

    pub async fn list(&self, caller: &Caller) -> Result<Vec<Bot>, CallError> {
        let listed = if self.v2 {
            bots::list_v2(caller, self.secret.as_ref()).await
        } else {
            bots::list(caller).await
        };
        listed.map_err(advised)
    }

    pub async fn unregister(&self, caller: &Caller, id: u64) -> Result<Outcome, CallError> {
        let removed = if self.v2 {
            bots::unregister_v2(caller, id, self.secret.as_ref()).await
        } else {
            bots::unregister(caller, id, self.secret.as_ref()).await
        };
        match removed {
            Ok(()) => Ok(Outcome::Removed),
            Err(refusal) if is_one_of(&refusal, &GONE) => Ok(Outcome::WasGone),
            Err(refusal) => Err(advised(refusal)),
        }
    }
}

/// The codes that say that there is no such bot: whoever wanted it gone has it.
const GONE: [&str; 2] = ["BOT_ID_ERROR", "BOT_NOT_FOUND"];

const SCOPE: &str =
    "the credential lacks the scope `imbot`: tick it on the portal, in the webhook or the application";
const TOKEN: &str = "give the bot's token with --bot-token-file";
const OWNER: &str =
    "the bot belongs to another application, or to another secret: give the one it was registered with";
const BY_HAND: &str = "the portal does not let go of this bot: ask an administrator to remove it there";

/// What to do about a refusal of these methods (PORTAL.md 3.2, 3.3).
const ADVICE: &[(&str, Class, &str)] = &[
    (
        "WRONG_AUTH_TYPE",
        Class::Operator,
        "this method wants a webhook or an application: check the source's credential",
    ),
    (
        "ACCESS_DENIED",
        Class::Operator,
        "give the bot's CLIENT_ID with --client-id-file; when that was not missing, the portal's plan or the \
         account's rights do not suffice",
    ),
    ("APP_ID_ERROR", Class::Operator, OWNER),
    ("BOT_OWNERSHIP_ERROR", Class::Operator, OWNER),
    ("WRONG_REQUEST", Class::Operator, BY_HAND),
    ("BOT_UNREGISTER_FAILED", Class::RetryBounded, BY_HAND),
    ("BOT_TOKEN_NOT_SPECIFIED", Class::Operator, TOKEN),
    ("CLIENT_ID_NOT_SPECIFIED", Class::Operator, TOKEN),
    ("BOT_ID_REQUIRED", Class::Operator, "give the bot's user id with --bot-id"),
    ("INSUFFICIENT_SCOPE", Class::Operator, SCOPE),
    ("SCOPE_ERROR", Class::Operator, SCOPE),
    (
        "ERROR_METHOD_NOT_FOUND",
        Class::Operator,
        "this portal does not know the method: try the other API, with or without --v2",
    ),
];

fn advised(refusal: CallError) -> CallError {
    match ADVICE.iter().find(|(code, ..)| is_one_of(&refusal, &[code])) {
        Some((_, class, cure)) => refusal.advising(*class, cure),
        None => refusal,
    }
}

fn is_one_of(refusal: &CallError, codes: &[&str]) -> bool {
    refusal.code().is_some_and(|code| codes.iter().any(|known| known.eq_ignore_ascii_case(code)))
}
