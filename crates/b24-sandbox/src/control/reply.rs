//! Types shared by the handlers of the control API: state, responses, and body parsing.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::http::state::Shared;
use crate::queue::owner::OrderError;
use crate::state::portal::{Account, Portal};

/// The sandbox, as an argument of handlers.
pub(crate) type Shares = State<Arc<Shared>>;

/// The response of a handler.
pub(crate) type Reply = Result<Json<Value>, Complaint>;

/// An error response with its reason.
pub(crate) struct Complaint(pub StatusCode, pub String);

impl Complaint {
    #[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`, which gives the error away")]
    /// The request is invalid.
    pub(crate) fn unfit(reason: impl ToString) -> Self {
        Self(StatusCode::BAD_REQUEST, reason.to_string())
    }
}

impl IntoResponse for Complaint {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

impl From<OrderError> for Complaint {
    fn from(error: OrderError) -> Self {
        let status = match error {
            OrderError::UnknownUser(_) | OrderError::UnknownBot(_) => StatusCode::NOT_FOUND,
            OrderError::Unfit(_) => StatusCode::BAD_REQUEST,
        };
        Self(status, error.to_string())
    }
}

/// Parses a body as JSON, whatever its content type is. An empty body is `{}`.
pub(crate) fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Complaint> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { &body[..] };
    serde_json::from_slice(body).map_err(Complaint::unfit)
}

/// The account of `user`.
///
/// # Errors
/// If there is no such user.
pub(crate) fn account(portal: &mut Portal, user: u64) -> Result<&mut Account, Complaint> {
    portal.accounts.get_mut(&user).ok_or_else(|| OrderError::UnknownUser(user).into())
}
