//! The portal's own errors, with the statuses that its code sends (PORTAL.md 6). For scripted faults, see
//! `faults`.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

/// An error response, without `result` and `time` (PORTAL.md 8).
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// `error`, `error_description` and further keys.
    pub body: Map<String, Value>,
}

impl Refusal {
    /// An error of the methods for bots.
    pub(crate) fn bad_request(code: &str, description: &str) -> Self {
        Self::new(400, code, description)
    }

    /// An error with `code`, which may have any type.
    pub(crate) fn new(status: u16, code: impl Into<Value>, description: &str) -> Self {
        let mut body = Map::new();
        body.insert("error".into(), code.into());
        body.insert("error_description".into(), description.into());
        Self { status, body }
    }

    /// An error without a description, as sent by the authorization server.
    fn bare(status: u16, code: &str) -> Self {
        let mut body = Map::new();
        body.insert("error".into(), code.into());
        Self { status, body }
    }

    /// The HTTP status in the type of the HTTP library.
    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// A parameter that is not an integer (PORTAL.md 2.3).
    pub(crate) fn invalid_value(name: &str, value: &Value) -> Self {
        Self::mistyped(name, value, "int")
    }

    /// A parameter of a type other than `kind`.
    pub(crate) fn mistyped(name: &str, value: &Value, kind: &str) -> Self {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let text = format!(
            "Invalid value {{{value}}} to match with parameter {{{name}}}. Should be value of type {kind}."
        );
        Self::new(400, "100", &text)
    }

    /// A required parameter is missing.
    pub(crate) fn missing_value(name: &str) -> Self {
        Self::new(400, "100", &format!("Could not find value for parameter {{{name}}}"))
    }

    /// A required argument is missing; the error names it.
    pub(crate) fn missing_argument(name: &str) -> Self {
        Self::wrong_argument(name, &format!("Argument '{name}' is null or empty"))
    }

    /// An argument is invalid; the error names it.
    pub(crate) fn wrong_argument(name: &str, description: &str) -> Self {
        let mut refusal = Self::new(400, "ERROR_ARGUMENT", description);
        refusal.body.insert("argument".into(), json!(name));
        refusal
    }

    /// The portal is closed or deleted.
    pub(crate) fn portal_deleted() -> Self {
        Self::new(403, "PORTAL_DELETED", "Portal was deleted")
    }

    /// The method does not exist.
    pub(crate) fn method_not_found() -> Self {
        Self::new(404, "ERROR_METHOD_NOT_FOUND", "Method not found!")
    }

    /// A webhook was used over plain HTTP.
    pub(crate) fn https_required() -> Self {
        Self::new(401, "INVALID_REQUEST", "Https required.")
    }

    /// There is neither a webhook in the path nor a token.
    pub(crate) fn no_auth_found() -> Self {
        Self::new(401, "NO_AUTH_FOUND", "Wrong authorization data")
    }

    /// The webhook does not exist.
    pub(crate) fn invalid_credentials() -> Self {
        Self::new(401, "INVALID_CREDENTIALS", "Invalid request credentials")
    }

    /// The access token is unknown.
    pub(crate) fn invalid_token() -> Self {
        Self::new(401, "invalid_token", "Unable to get application by token")
    }

    /// The token's application is not installed on the portal.
    pub(crate) fn application_not_installed() -> Self {
        Self::new(401, "ERROR_OAUTH", "Application not installed")
    }

    /// The token's application is disabled or deleted.
    pub(crate) fn application_not_found() -> Self {
        Self::new(401, "APPLICATION_NOT_FOUND", "Application not found")
    }

    /// The access token has expired.
    pub(crate) fn expired_token() -> Self {
        Self::new(401, "expired_token", "The access token provided has expired.")
    }

    /// The method requires the other kind of credential.
    pub(crate) fn wrong_auth_type() -> Self {
        Self::new(403, "WRONG_AUTH_TYPE", "Current authorization type is denied for this method")
    }

    /// The user has no permission.
    pub(crate) fn access_denied() -> Self {
        Self::new(403, "ACCESS_DENIED", "Access denied!")
    }

    /// The plan does not include the method.
    pub(crate) fn wrong_license() -> Self {
        Self::new(403, "WRONG_LICENSE", "Your license does not include this feature")
    }

    /// The event does not exist, or is not in the application's scopes (PORTAL.md 4).
    pub(crate) fn event_not_found() -> Self {
        Self::new(400, "ERROR_EVENT_NOT_FOUND", "Event not found!")
    }

    /// The handler is already bound to the event.
    pub(crate) fn already_bound() -> Self {
        Self::new(400, "ERROR_CORE", "Unable to set event handler: Handler already binded")
    }

    /// The handler's URL is not HTTP.
    pub(crate) fn unsupported_protocol() -> Self {
        Self::new(400, "ERROR_UNSUPPORTED_PROTOCOL", "Unsupported event handler protocol")
    }

    /// The handler's host contains no dot.
    pub(crate) fn wrong_handler_url() -> Self {
        Self::new(400, "ERROR_WRONG_HANDLER_URL", "Wrong handler URL")
    }

    /// A parameter for the authorization server is missing or has an unknown value (PORTAL.md 5.4).
    pub(crate) fn invalid_request(name: &str) -> Self {
        Self::new(400, "invalid_request", &format!("Missing or invalid parameter: {name}"))
    }

    /// The application is unknown to the authorization server; observed with status 200.
    pub(crate) fn wrong_client() -> Self {
        Self::bare(200, "wrong_client")
    }

    /// The client secret is wrong, or the application is disabled.
    pub(crate) fn invalid_client() -> Self {
        Self::bare(400, "invalid_client")
    }

    /// The application was removed from the portal.
    pub(crate) fn not_installed() -> Self {
        Self::bare(401, "NOT_INSTALLED")
    }

    /// The refresh token is unknown, replaced or expired.
    pub(crate) fn invalid_grant() -> Self {
        Self::bare(400, "invalid_grant")
    }

    /// The code is unknown, used or expired.
    pub(crate) fn bad_verification_code() -> Self {
        Self::bare(400, "bad_verification_code")
    }

    /// The credential, a webhook or an access token, lacks the method's scope.
    pub(crate) fn insufficient_scope(credential: &str) -> Self {
        let text = format!("The request requires higher privileges than provided by the {credential}");
        Self::new(401, "insufficient_scope", &text)
    }

    /// The acting user was dismissed.
    pub(crate) fn inactive_user() -> Self {
        Self::new(401, "authorization_error", "Unable to authorize user")
    }

    /// Neither GET nor POST.
    pub(crate) fn invalid_http_method() -> Self {
        Self::new(400, "invalid_http_method", "Wrong HTTP method")
    }

    /// The method's operating time is used up (PORTAL.md 7).
    pub(crate) fn operation_time_limit() -> Self {
        Self::new(429, "OPERATION_TIME_LIMIT", "Method is blocked due to operation time limit.")
    }

    /// A batch inside a batch.
    pub(crate) fn not_in_batch() -> Self {
        Self::new(405, "ERROR_BATCH_METHOD_NOT_ALLOWED", "Method is not allowed for batch usage")
    }

    /// A call after the fiftieth of a batch.
    pub(crate) fn batch_too_long() -> Self {
        Self::new(400, "ERROR_BATCH_LENGTH_EXCEEDED", "Max batch length exceeded")
    }

    /// The leaky bucket is full (PORTAL.md 7).
    pub(crate) fn query_limit_exceeded() -> Self {
        Self::new(503, "QUERY_LIMIT_EXCEEDED", "Too many requests")
    }
}
