//! The methods the sandbox offers and what each does (PORTAL.md 1.4, 2.1).

use serde_json::{Value, json};

use crate::queue::buffer::{Ask, Page, Passage};
use crate::queue::read::read;
use crate::rest::batch::Part;
use crate::rest::caller::Caller;
use crate::rest::methods::account;
use crate::rest::methods::offline::{self, Listing};
use crate::rest::parameter::Parameters;
use crate::rest::refusal::Refusal;
use crate::state::clock::iso;
use crate::state::handlers;
use crate::state::portal::Portal;

/// Makes the enum of all methods out of one list: variant, documented spelling, and the scope it needs
/// beyond the basic one.
macro_rules! methods {
    ($($variant:ident $name:literal $scope:expr;)*) => {
        /// One REST method.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Method {
            $(#[doc = $name] $variant,)*
        }

        impl Method {
            const ALL: &[Self] = &[$(Self::$variant),*];

            /// The documented spelling.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The scope it needs beyond the basic one.
            pub fn scope(self) -> Option<&'static str> {
                match self {
                    $(Self::$variant => $scope,)*
                }
            }
        }
    };
}

methods! {
    Subscribe "im.v2.Event.subscribe" Some("im");
    Get "im.v2.Event.get" Some("im");
    Unsubscribe "im.v2.Event.unsubscribe" Some("im");
    Profile "profile" None;
    Scope "scope" None;
    Availability "method.get" None;
    ServerTime "server.time" None;
    AppInfo "app.info" None;
    Events "events" None;
    EventBind "event.bind" None;
    EventGet "event.get" None;
    EventUnbind "event.unbind" None;
    OfflineGet "event.offline.get" None;
    OfflineList "event.offline.list" None;
    OfflineClear "event.offline.clear" None;
    OfflineError "event.offline.error" None;
    Batch "batch" None;
    BotRegister "imbot.v2.Bot.register" Some("imbot");
    BotList "imbot.v2.Bot.list" Some("imbot");
    BotGet "imbot.v2.Bot.get" Some("imbot");
    BotUnregister "imbot.v2.Bot.unregister" Some("imbot");
    BotEvents "imbot.v2.Event.get" Some("imbot");
    RevisionGet "imbot.v2.Revision.get" Some("imbot");
    BotUnregisterV1 "imbot.unregister" Some("imbot");
    BotListV1 "imbot.bot.list" Some("imbot");
}

impl Method {
    /// The method called `name` in whatever case.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|method| method.name().eq_ignore_ascii_case(name))
    }

    /// Runs it for `caller`.
    ///
    /// # Errors
    ///
    /// Refuses parameters of the wrong type or missing ones, and whom the method is not for.
    pub fn run(
        self,
        portal: &mut Portal,
        caller: &Caller,
        parameters: &Parameters,
        situation: Situation,
    ) -> Result<Outcome, Refusal> {
        let now_s = situation.now_s;
        Ok(match self {
            Self::Get => {
                let (ask, moment) = (Ask::read(parameters)?, portal.moment(situation));
                Outcome::Page(read(&mut [portal.queue_of(caller.user)?], ask, moment))
            }
            Self::Subscribe => {
                portal.queue_of(caller.user)?.subscribe();
                Outcome::Value(json!(true))
            }
            Self::Unsubscribe => {
                let farewell = portal.farewell();
                portal.queue_of(caller.user)?.unsubscribe(farewell);
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
            Self::Batch => Outcome::Batch(portal.run_batch(caller, parameters, situation)),
            Self::BotRegister
            | Self::BotList
            | Self::BotGet
            | Self::BotUnregister
            | Self::BotEvents
            | Self::RevisionGet
            | Self::BotUnregisterV1
            | Self::BotListV1 => portal.run_bot_method(self, caller, parameters, situation)?,
        })
    }
}

/// What a method needs to know besides its parameters.
#[derive(Clone, Copy, Debug)]
pub struct Situation {
    /// The portal's time.
    pub now_s: i64,
    /// Whether the answer will arrive whole.
    pub passage: Passage,
}

/// What a method returns: `result` before it is rendered.
#[derive(Debug)]
pub enum Outcome {
    /// A page of events.
    Page(Page),
    /// Part of a list.
    List(Listing),
    /// Anything small whose members may come in any order.
    Value(Value),
    /// JSON whose members come in the server's order.
    Written(String),
    /// What came of each call of a batch.
    Batch(Vec<Part>),
}
