//! Dispatches a call to the code of its method.

use serde_json::json;

use crate::queue::buffer::ReadRequest;
use crate::queue::read::read;
use crate::rest::caller::Caller;
use crate::rest::input::parameter::Parameters;
use crate::rest::method::Method;
use crate::rest::methods::account;
use crate::rest::methods::handlers;
use crate::rest::methods::offline;
use crate::rest::outcome::CallContext;
use crate::rest::outcome::Outcome;
use crate::rest::refusal::Refusal;
use crate::state::clock::iso;
use crate::state::portal::Portal;

impl Method {
    /// Runs the method for `caller`.
    ///
    /// # Errors
    ///
    /// If a parameter is missing or has the wrong type, or the caller may not use the method.
    pub(crate) fn run(
        self,
        portal: &mut Portal,
        caller: &Caller,
        parameters: &Parameters,
        context: CallContext,
    ) -> Result<Outcome, Refusal> {
        let now_s = context.now_s;
        Ok(match self {
            Self::Get => {
                let (request, read_context) = (ReadRequest::read(parameters)?, portal.read_context(context));
                Outcome::Page(read(&mut [portal.queue_of(caller.user)?], request, read_context))
            }
            Self::Subscribe => {
                portal.queue_of(caller.user)?.subscribe();
                Outcome::Value(json!(true))
            }
            Self::Unsubscribe => {
                let policy = portal.unsubscribe_policy();
                portal.queue_of(caller.user)?.unsubscribe(policy);
                Outcome::Value(json!(true))
            }
            Self::Profile => Outcome::Written(account::profile(caller)),
            Self::Scope => Outcome::Value(json!(caller.scopes)),
            Self::Availability => Outcome::Value(account::availability(caller, parameters)?),
            Self::ServerTime => Outcome::Value(json!(iso(now_s))),
            Self::AppInfo => Outcome::Value(account::app_info(caller)),
            Self::Events => Outcome::Value(handlers::events(caller, parameters)?),
            Self::EventBind => Outcome::Value(handlers::bind(portal, caller, parameters)?),
            Self::EventGet => Outcome::Value(handlers::get(portal, caller)?),
            Self::EventUnbind => Outcome::Value(handlers::unbind(portal, caller, parameters)?),
            Self::OfflineGet => Outcome::Value(offline::get(portal, caller, parameters, now_s)?),
            Self::OfflineList => Outcome::List(offline::list(portal, caller, parameters, now_s)?),
            Self::OfflineClear => Outcome::Value(offline::clear(portal, caller, parameters, now_s)?),
            Self::OfflineError => Outcome::Value(offline::error(portal, caller, parameters, now_s)?),
            Self::Batch => Outcome::Batch(portal.run_batch(caller, parameters, context)),
            Self::BotRegister
            | Self::BotList
            | Self::BotGet
            | Self::BotUnregister
            | Self::BotEvents
            | Self::RevisionGet
            | Self::BotUnregisterV1
            | Self::BotListV1 => portal.run_bot_method(self, caller, parameters, context)?,
        })
    }
}
