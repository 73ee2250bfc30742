//! A request that faults may affect: a method call or a token request.

use axum::http::StatusCode;

use crate::faults::script::Fault;
use crate::http::state::AppState;
use crate::oauth::answer;
use crate::queue::buffer::{Completeness, Page};
use crate::rest::input::call::Call;
use crate::rest::input::parameter::Parameters;
use crate::rest::input::target::Target;
use crate::rest::outcome::Outcome;
use crate::state::portal::Portal;
use crate::wire::envelope::{self, Answer};
use crate::wire::html;

/// One request that faults may affect.
#[derive(Debug)]
pub(crate) enum PortalRequest {
    /// A call below `/rest/`.
    Call(Call),
    /// A request to `/oauth/token/`.
    Token(Parameters),
}

impl PortalRequest {
    /// The target of the request; `None` for a method that does not exist.
    pub(crate) fn target(&self) -> Option<Target> {
        match self {
            Self::Call(call) => call.method.map(Target::Method),
            Self::Token(_) => Some(Target::Token),
        }
    }

    /// Executes the request. `bend` may change its page of events.
    pub(crate) fn answer(
        &self,
        app_state: &AppState,
        completeness: Completeness,
        bend: impl FnOnce(&mut Page),
    ) -> Answer {
        let call = match self {
            Self::Call(call) => call,
            Self::Token(parameters) => return answer::answer(parameters, app_state),
        };
        let mut portal = app_state.portal();
        if portal.switches.html {
            return html::html_answer(StatusCode::OK);
        }
        let mut executed = portal.execute(call, completeness);
        drop(portal);
        if let Ok(Outcome::Page(page)) = &mut executed.outcome {
            bend(page);
        }
        envelope::answer(&executed)
    }
}

impl Portal {
    /// Counts the request and takes its fault, if any.
    pub(crate) fn admit(&mut self, request: &PortalRequest) -> Option<Fault> {
        let target = request.target();
        *self.stats.requests.entry(target.map_or("unknown", Target::name)).or_default() += 1;
        let user = match request {
            PortalRequest::Call(call) => {
                call.credential.as_ref().and_then(|credential| self.user_of(credential))
            }
            PortalRequest::Token(parameters) => {
                let secret = parameters.text("refresh_token").or_else(|| parameters.text("code"));
                secret.and_then(|secret| self.tokens.user_behind(secret))
            }
        };
        let fault = self.faults.draw(target, user)?;
        self.stats.faults += 1;
        Some(fault)
    }
}
