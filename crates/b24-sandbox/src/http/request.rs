//! What somebody asks the sandbox for, and the fault script may break: a call of a method, or tokens.

use axum::http::StatusCode;

use crate::faults::effects;
use crate::http::state::Shared;
use crate::oauth::routes;
use crate::queue::buffer::{Page, Passage};
use crate::rest::call::Call;
use crate::rest::method::{Method, Outcome};
use crate::rest::parameter::Parameters;
use crate::wire::envelope::{self, Answer};

/// One request that faults can be meant for.
#[derive(Debug)]
pub enum Errand {
    /// Below `/rest/`.
    Call(Call),
    /// `/oauth/token/`.
    Token(Parameters),
}

/// What an errand is about: the fault script aims at it, the stats count by it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// A method.
    Method(Method),
    /// The token endpoint.
    Token,
}

impl Target {
    /// The target called `name` in whatever case.
    pub fn find(name: &str) -> Option<Self> {
        let token = Self::Token;
        if name.eq_ignore_ascii_case(token.name()) {
            Some(token)
        } else {
            Method::find(name).map(Self::Method)
        }
    }

    /// The documented spelling.
    pub fn name(self) -> &'static str {
        match self {
            Self::Method(method) => method.name(),
            Self::Token => "oauth/token",
        }
    }
}

impl Errand {
    /// What it is about; `None` is a method that does not exist.
    pub fn target(&self) -> Option<Target> {
        match self {
            Self::Call(call) => call.method.map(Target::Method),
            Self::Token(_) => Some(Target::Token),
        }
    }

    /// Carries it out; a page of events goes through `bend` on its way.
    pub fn answer(&self, shared: &Shared, passage: Passage, bend: impl FnOnce(&mut Page)) -> Answer {
        let call = match self {
            Self::Call(call) => call,
            Self::Token(parameters) => return routes::answer(parameters, shared),
        };
        let mut portal = shared.portal();
        if portal.switches.html {
            return effects::html_answer(StatusCode::OK);
        }
        let mut executed = portal.execute(call, passage);
        drop(portal);
        if let Ok(Outcome::Page(page)) = &mut executed.outcome {
            bend(page);
        }
        envelope::answer(&executed)
    }
}
