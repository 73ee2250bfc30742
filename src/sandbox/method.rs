//! The methods the sandbox offers and what each does (PORTAL.md 1.4, 2.1).

use serde_json::{Value, json};

use super::caller::Caller;
use super::clock::iso;
use super::parameter::Parameters;
use super::portal::Portal;
use super::preflight;
use super::queue::{Ask, Page, Passage};
use super::refusal::Refusal;

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
        Ok(match self {
            Self::Get => {
                let offset = parameters.integer("offset", 0)?;
                let limit = parameters.integer("limit", Ask::DEFAULT_LIMIT)?;
                let queue = portal.queue_of(caller.user)?;
                Outcome::Page(queue.get(Ask { offset, limit }, situation.now_s, situation.passage))
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
            Self::Profile => Outcome::Value(preflight::profile(caller)),
            Self::Scope => Outcome::Value(json!(caller.scopes)),
            Self::Availability => Outcome::Value(preflight::availability(caller, parameters)?),
            Self::ServerTime => Outcome::Value(json!(iso(situation.now_s))),
            Self::AppInfo => Outcome::Value(preflight::app_info(caller)),
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
    /// Anything small.
    Value(Value),
}
