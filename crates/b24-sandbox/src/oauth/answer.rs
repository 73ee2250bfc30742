//! Responses of the token endpoint (PORTAL.md 5).

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::http::state::AppState;
use crate::oauth::grant::{GrantType, IssuedTokens};
use crate::rest::input::parameter::Parameters;
use crate::state::portal::Portal;
use crate::wire::envelope::{self, Answer};
use crate::wire::php_json;

/// The response of the token endpoint.
pub(crate) fn answer(parameters: &Parameters, app_state: &AppState) -> Answer {
    let mut portal = app_state.portal();
    let now = portal.now();
    let (status, body) = match portal.issue_tokens(parameters, now.as_second()) {
        Ok(issued) => {
            let mut body = describe(&issued, &portal, app_state);
            if issued.grant_type == GrantType::Refresh {
                portal.next_refresh.remove(&issued.app.client_id).unwrap_or_default().bend(&mut body);
            }
            (StatusCode::OK, body)
        }
        Err(refusal) => (refusal.status(), Value::Object(refusal.body)),
    };
    let mut answer = envelope::json(status, php_json::render(&body).into());
    answer.headers_mut().extend(envelope::date(now));
    answer
}

/// The response of PORTAL.md 5.2. `domain` is the domain of the authorization server. In the documentation,
/// `expires` is missing for an exchanged code, but the official Python client requires it.
pub(crate) fn describe(issued: &IssuedTokens, portal: &Portal, app_state: &AppState) -> Value {
    let IssuedTokens { app, pair, .. } = issued;
    json!({
        "access_token": pair.access_token,
        "expires": pair.expires_s,
        "expires_in": app.access_lifetime_s,
        "scope": app.scopes.join(","),
        "domain": app_state.address.to_string(),
        "server_endpoint": app_state.rest_url(),
        "status": "L",
        "client_endpoint": app_state.rest_url(),
        "member_id": portal.member_id,
        "user_id": pair.user,
        "refresh_token": pair.refresh_token,
    })
}
