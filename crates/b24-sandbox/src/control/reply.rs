//! What the handlers of the control API share: their state, their answers, and how they read a body.

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

/// How the handlers get at the sandbox.
pub type Shares = State<Arc<Shared>>;

/// What a handler answers.
pub type Reply = Result<Json<Value>, Complaint>;

/// A request that cannot be met, and why.
pub struct Complaint(pub StatusCode, pub String);

impl Complaint {
    #[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`, which gives the error away")]
    /// The order cannot be carried out as it stands.
    pub fn unfit(reason: impl ToString) -> Self {
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

/// Reads a body as JSON whatever its content type claims; an empty one is `{}`.
pub fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Complaint> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { &body[..] };
    serde_json::from_slice(body).map_err(Complaint::unfit)
}

/// The account of `user`.
///
/// # Errors
/// When there is no such user.
pub fn account(portal: &mut Portal, user: u64) -> Result<&mut Account, Complaint> {
    portal.accounts.get_mut(&user).ok_or_else(|| OrderError::UnknownUser(user).into())
}
