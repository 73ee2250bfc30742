//! The two generations of the portal's bot methods, and advice for their refusals.

use b24_client::methods::bots::{self, Bot};
use b24_client::{CallError, PortalClient};

use crate::cli::portal::refused::is_about_plan;
use crate::config::SecretText;

/// The generation of the API to call, and the secret for it.
pub(super) struct Api {
    v2: bool,
    secret: Option<SecretText>,
}

/// What happened to the bot.
pub(super) enum Outcome {
    Removed,
    WasGone,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    List,
    Unregister,
}

impl Api {
    pub(super) fn new(v2: bool, secret: Option<SecretText>) -> Self {
        Self { v2, secret }
    }

    pub(super) async fn list(&self, client: &PortalClient) -> Result<Vec<Bot>, CallError> {
        let listed = if self.v2 {
            bots::list_v2(client, self.secret.as_ref()).await
        } else {
            bots::list(client).await
        };
        listed.map_err(|refusal| self.advised(refusal, Verb::List))
    }

    pub(super) async fn unregister(&self, client: &PortalClient, id: u64) -> Result<Outcome, CallError> {
        let removed = if self.v2 {
            bots::unregister_v2(client, id, self.secret.as_ref()).await
        } else {
            bots::unregister(client, id, self.secret.as_ref()).await
        };
        match removed {
            Ok(()) => Ok(Outcome::Removed),
            Err(refusal) if is_one_of(&refusal, &GONE) => Ok(Outcome::WasGone),
            Err(refusal) => Err(self.advised(refusal, Verb::Unregister)),
        }
    }
}

/// The codes that say that there is no such bot. For a removal this is success.
const GONE: [&str; 2] = ["BOT_ID_ERROR", "BOT_NOT_FOUND"];

const SCOPE: &str =
    "the credential lacks the scope `imbot`: tick it in the portal, in the webhook or in the application";
const TOKEN: &str = "give the bot's token with --bot-token-file";
const CLIENT_ID: &str = "give the CLIENT_ID that the bot was registered with (--client-id-file); if it was given, the user \
                         behind the credential lacks the right";
const OWNER: &str =
    "the bot belongs to another application or has another secret: give the one it was registered with";
const BY_HAND: &str = "the portal does not remove this bot: ask an administrator to remove it there";
const OTHER_API: &str = "this portal does not know the method, or the credential lacks the scope `imbot`: tick the scope, or try \
                         the other API (with or without --v2)";

impl Api {
    /// Adds advice to the refusal (PORTAL.md 3.2, 3.3) where its code means something particular for these methods.
    fn advised(&self, refusal: CallError, verb: Verb) -> CallError {
        let code = refusal.code().unwrap_or_default().to_ascii_uppercase();
        let advice = match (code.as_str(), verb) {
            ("ACCESS_DENIED", Verb::Unregister) if !self.v2 && !is_about_plan(&refusal) => CLIENT_ID,
            ("CLIENT_ID_NOT_SPECIFIED", Verb::Unregister) if !self.v2 => CLIENT_ID,
            ("BOT_TOKEN_NOT_SPECIFIED" | "CLIENT_ID_NOT_SPECIFIED", _) => TOKEN,
            ("APP_ID_ERROR" | "BOT_OWNERSHIP_ERROR", _) => OWNER,
            ("WRONG_REQUEST" | "BOT_UNREGISTER_FAILED", Verb::Unregister) => BY_HAND,
            ("WRONG_AUTH_TYPE", _) => {
                "this method needs a webhook or an application: check the source's credential"
            }
            ("BOT_ID_REQUIRED", Verb::Unregister) => "give the bot's user id with --bot-id",
            ("INSUFFICIENT_SCOPE" | "SCOPE_ERROR", _) => SCOPE,
            ("ERROR_METHOD_NOT_FOUND", _) => OTHER_API,
            _ => return refusal,
        };
        refusal.advising(advice)
    }
}

fn is_one_of(refusal: &CallError, codes: &[&str]) -> bool {
    refusal.code().is_some_and(|code| codes.iter().any(|known| known.eq_ignore_ascii_case(code)))
}
