//! Types shared by the handlers of the control API: state, responses, and body parsing.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::http::state::AppState;
use crate::queue::owner::ControlError;
use crate::state::portal::{Account, Portal};

/// The sandbox, as an argument of handlers.
pub(crate) type Shares = State<Arc<AppState>>;

/// The response of a handler.
pub(crate) type Reply = Result<Json<Value>, ApiError>;

/// An error response with its reason.
pub(crate) struct ApiError(pub StatusCode, pub String);

impl ApiError {
    #[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`, which gives the error away")]
    /// The request is invalid.
    pub(crate) fn unfit(reason: impl ToString) -> Self {
        Self(StatusCode::BAD_REQUEST, reason.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

impl From<ControlError> for ApiError {
    fn from(error: ControlError) -> Self {
        let status = match error {
            ControlError::UnknownUser(_) | ControlError::UnknownBot(_) => StatusCode::NOT_FOUND,
            ControlError::Unfit(_) => StatusCode::BAD_REQUEST,
        };
        Self(status, error.to_string())
    }
}

/// Parses a body as JSON, whatever its content type is. An empty body is `{}`.
pub(crate) fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, ApiError> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { &body[..] };
    serde_json::from_slice(body).map_err(ApiError::unfit)
}

/// The account of `user`.
///
/// # Errors
/// If there is no such user.
pub(crate) fn account(portal: &mut Portal, user: u64) -> Result<&mut Account, ApiError> {
    portal.accounts.get_mut(&user).ok_or_else(|| ControlError::UnknownUser(user).into())
}
