//! The methods the sandbox offers and what each does (PORTAL.md 1.4, 2.1).

use serde_json::{Value, json};

use super::clock::iso;
use super::parameter::Parameters;
use super::people::Person;
use super::portal::Account;
use super::queue::{Ask, Farewell, Page, Passage};
use super::refusal::Refusal;

/// One REST method.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// `im.v2.Event.subscribe`.
    Subscribe,
    /// `im.v2.Event.get`.
    Get,
    /// `im.v2.Event.unsubscribe`.
    Unsubscribe,
    /// `profile`: whose webhook it is.
    Profile,
    /// `scope`: what the webhook may do.
    Scope,
    /// `method.get`: whether a method exists and may be called.
    Availability,
    /// `server.time`.
    ServerTime,
}

impl Method {
    const ALL: [Self; 7] = [
        Self::Subscribe,
        Self::Get,
        Self::Unsubscribe,
        Self::Profile,
        Self::Scope,
        Self::Availability,
        Self::ServerTime,
    ];

    /// The method called `name` in whatever case.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name().eq_ignore_ascii_case(name))
    }

    /// The documented spelling.
    pub fn name(self) -> &'static str {
        match self {
            Self::Subscribe => "im.v2.Event.subscribe",
            Self::Get => "im.v2.Event.get",
            Self::Unsubscribe => "im.v2.Event.unsubscribe",
            Self::Profile => "profile",
            Self::Scope => "scope",
            Self::Availability => "method.get",
            Self::ServerTime => "server.time",
        }
    }

    /// The scope it needs beyond the basic one.
    pub fn scope(self) -> Option<&'static str> {
        match self {
            Self::Subscribe | Self::Get | Self::Unsubscribe => Some("im"),
            Self::Profile | Self::Scope | Self::Availability | Self::ServerTime => None,
        }
    }

    /// Runs it for `account`.
    ///
    /// # Errors
    ///
    /// Refuses parameters of the wrong type or missing ones.
    pub fn run(
        self,
        account: &mut Account,
        parameters: &Parameters,
        situation: Situation,
    ) -> Result<Outcome, Refusal> {
        Ok(match self {
            Self::Get => {
                let offset = parameters.integer("offset", 0)?;
                let limit = parameters.integer("limit", Ask::DEFAULT_LIMIT)?;
                let ask = Ask { offset, limit };
                Outcome::Page(account.queue.get(ask, situation.now_s, situation.passage))
            }
            Self::Subscribe => {
                account.queue.subscribe();
                Outcome::Value(json!(true))
            }
            Self::Unsubscribe => {
                account.queue.unsubscribe(situation.farewell);
                Outcome::Value(json!(true))
            }
            Self::Profile => Outcome::Value(profile(account)),
            Self::Scope => Outcome::Value(json!(account.scopes)),
            Self::Availability => Outcome::Value(availability(account, parameters)?),
            Self::ServerTime => Outcome::Value(json!(iso(situation.now_s))),
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
    /// What unsubscribing does to the rows.
    pub farewell: Farewell,
}

/// What a method returns: `result` before it is rendered.
#[derive(Debug)]
pub enum Outcome {
    /// A page of events.
    Page(Page),
    /// Anything small.
    Value(Value),
}

fn profile(account: &Account) -> Value {
    let person = Person::of(account.id);
    json!({
        "ID": account.id.to_string(),
        "ADMIN": account.id == 1,
        "NAME": person.first_name,
        "LAST_NAME": person.last_name,
        "PERSONAL_GENDER": person.gender,
        "PERSONAL_PHOTO": "",
        "TIME_ZONE": "",
        "TIME_ZONE_OFFSET": 0,
    })
}

fn availability(account: &Account, parameters: &Parameters) -> Result<Value, Refusal> {
    let name = parameters.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
    let method = Method::find(name.ok_or_else(|| Refusal::missing_argument("name"))?);
    let available = method.is_some_and(|method| account.may(method));
    Ok(json!({ "isExisting": method.is_some(), "isAvailable": available }))
}
