//! The reaction to a refusal: PORTAL.md section 6 as a table.

use std::time::Duration;

/// What the caller does next. The relay's poll pace and the commands match on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Make the same call again, with backoff.
    Retry,
    /// Like [`Class::Retry`], but if the error persists, like [`Class::Operator`].
    RetryBounded,
    /// Slow down all calls to the portal, then make the same call again.
    Rate,
    /// Wait until the portal's operating time for this method has expired.
    OpWait,
    /// Refresh the token once, then make the same call once; impossible with a webhook.
    Refresh,
    /// Subscribe again once, then make the same call. If the error persists, like [`Class::Operator`].
    Unsubscribed,
    /// The operator must act: only probe the source slowly.
    Operator,
    /// The request itself is wrong: this version of the program does not fit the portal.
    Bug,
    /// The response exceeds our size limit: request fewer events.
    TooLarge,
}

impl Class {
    /// Its name in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Retry | Self::RetryBounded => "retry",
            Self::Rate => "rate",
            Self::OpWait => "operating_time",
            Self::Refresh => "token",
            Self::Unsubscribed => "unsubscribed",
            Self::Operator => "operator",
            Self::Bug => "bug",
            Self::TooLarge => "too_large",
        }
    }
}

/// A class, with the probe delay and the hint for the operator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Verdict {
    /// What the caller does next.
    pub class: Class,
    /// The delay before the first slow probe.
    pub probe: Duration,
    /// The hint for the operator; empty if no action is required.
    pub hint: Hint,
}

impl Verdict {
    /// `class` with the usual probe delay.
    pub(crate) const fn new(class: Class, hint: Hint) -> Self {
        Self { class, probe: PROBE, hint }
    }

    /// `class` with a short probe delay, for a response that did not come from a portal. At boot or during
    /// maintenance, such an error is often over within seconds.
    pub(crate) const fn soon(class: Class, hint: Hint) -> Self {
        Self { class, probe: PROBE_SOON, hint }
    }
}

/// The hint for the operator, for either kind of credential.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Hint {
    /// The hint for an incoming webhook.
    pub webhook: &'static str,
    /// The hint for an OAuth application.
    pub oauth: &'static str,
}

impl Hint {
    /// No action is required.
    pub(crate) const NONE: Self = Self::same("");

    /// The same hint for both credentials.
    pub(crate) const fn same(text: &'static str) -> Self {
        Self { webhook: text, oauth: text }
    }
}

/// The usual probe delay.
const PROBE: Duration = minutes(1);

/// The probe delay if no portal has answered.
const PROBE_SOON: Duration = Duration::from_secs(5);

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

/// One row of a table: an error code in upper case, its class, the minutes until the first probe, the hint.
pub(crate) struct Row(pub &'static str, pub Class, pub u64, pub Hint);

impl Row {
    /// The row of `code`, in any letter case.
    pub(crate) fn find(rows: &[Self], code: &str) -> Option<Verdict> {
        let Self(_, class, probe, hint) = rows.iter().find(|row| row.0.eq_ignore_ascii_case(code))?;
        Some(Verdict { class: *class, probe: minutes(*probe), hint: *hint })
    }
}

const NONE: Hint = Hint::NONE;
const LOOK: Hint = Hint::same("look at the portal's answer above, then at the portal's own logs");
const AUTHORISE: Hint = Hint {
    webhook: "edit the incoming webhook (portal: Developer resources, Integrations, Edit), which gives it a new secret, or, if it is gone, create the incoming webhook again (scope `im`); then put its URL into the source",
    oauth: "log in again: `b24relay login SOURCE`",
};
const SCOPE: Hint = Hint {
    webhook: "edit the incoming webhook and tick the scopes it lacks: `im`, for bots `imbot`",
    oauth: "tick the scopes it lacks in the application's card (`im`, for bots `imbot`), then `b24relay login SOURCE`",
};
const OWNER: Hint = Hint {
    webhook: "the webhook's owner is dismissed or inactive: create the webhook as another user",
    oauth: "whoever logged in is dismissed or inactive: `b24relay login SOURCE` as another user",
};
const PLAN: Hint =
    Hint::same("see to the portal's subscription: its plan does not include REST for this account");
const REPORT: Hint =
    Hint::same("this looks like a defect of b24relay or an unknown portal version: please report it");
const REINSTALL: Hint = Hint::same("install the application on the portal again");
const METHOD: Hint = Hint {
    webhook: "edit the incoming webhook and tick the scopes it lacks (`im`, for bots `imbot`), and check that its URL has the form https://PORTAL/rest/USER/CODE/; if both are right, the portal is too old for event queues (`im.v2.Event.*`): update it",
    oauth: "tick the scopes it lacks in the application's card (`im`, for bots `imbot`), then `b24relay login SOURCE`, and check `portal`; if both are right, the portal is too old for event queues (`im.v2.Event.*`): update it",
};
const PAYMENT: Hint = Hint {
    webhook: "the portal's paid period is over: renew its subscription",
    oauth: "the application's trial or paid period is over: renew it on the portal, or see to the portal's subscription",
};
const OLD_PORTAL: Hint = Hint::same("the portal is too old for event queues (`im.v2.Event.*`): update it");
const BROKEN: Hint = Hint::same("the portal is broken: ask its administrator");
const BOT_KEYS: Hint = Hint::same("complete the bot's keys: `bot_id`, and with a webhook `bot_token`");

/// Every code of PORTAL.md section 6 that needs no special rule.
#[rustfmt::skip]
const CODES: &[Row] = &[
    Row("QUERY_LIMIT_EXCEEDED", Class::Rate, 1, NONE),
    Row("OPERATION_TIME_LIMIT", Class::OpWait, 1, NONE),
    Row("OVERLOAD_LIMIT", Class::Operator, 15, Hint::same("the portal blocked REST by hand: ask its support to lift the block")),
    Row("EXPIRED_TOKEN", Class::Refresh, 1, AUTHORISE),
    Row("INVALID_TOKEN", Class::Refresh, 1, AUTHORISE),
    Row("NO_AUTH_FOUND", Class::Operator, 1, Hint { webhook: "check that the webhook URL is complete", oauth: AUTHORISE.oauth }),
    Row("INVALID_CREDENTIALS", Class::Operator, 1, AUTHORISE),
    Row("INSUFFICIENT_SCOPE", Class::Operator, 1, SCOPE),
    Row("USER_ACCESS_ERROR", Class::Operator, 1, Hint::same("let this user use the application (portal: the application's access rights)")),
    Row("AUTHORIZATION_ERROR", Class::Operator, 1, OWNER),
    Row("APPLICATION_NOT_FOUND", Class::Operator, 1, REINSTALL),
    Row("ERROR_OAUTH", Class::Operator, 1, REINSTALL),
    Row("NOT_INSTALLED", Class::Operator, 1, REINSTALL),
    Row("PAYMENT_REQUIRED", Class::Operator, 15, PAYMENT),
    Row("CONNECTION_ERROR", Class::Retry, 1, NONE),
    Row("METHOD_CONFIRM_WAITING", Class::Operator, 2, Hint::same("an administrator of the portal must approve the call")),
    Row("METHOD_CONFIRM_DENIED", Class::Operator, 15, Hint::same("an administrator of the portal refused the call")),
    Row("ACCESS_DENIED", Class::Operator, 1, Hint::same("see to the portal's subscription, whose plan may not include REST, or to the rights of the user behind the credential")),
    Row("WRONG_AUTH_TYPE", Class::Operator, 1, Hint { webhook: "this method needs an OAuth application (`[sources.NAME.oauth]`), not a webhook", oauth: "this method needs a webhook, not an application" }),
    Row("WRONG_LICENSE", Class::Operator, 15, PLAN),
    Row("ALLOWED_ONLY_INTRANET_USER", Class::Operator, 1, Hint::same("the user must not be an extranet user")),
    Row("INVALID_REQUEST", Class::Bug, 1, Hint::same("the portal wants https: check the URL, and that a proxy before the portal hands the scheme on")),
    Row("ERROR_METHOD_NOT_FOUND", Class::Operator, 15, METHOD),
    Row("PORTAL_DELETED", Class::Operator, 5, Hint::same("the portal is closed or gone; polling goes on by itself when it is back")),
    Row("ERROR_BATCH_METHOD_NOT_ALLOWED", Class::Bug, 1, REPORT),
    Row("ERROR_BATCH_LENGTH_EXCEEDED", Class::Bug, 1, REPORT),
    Row("ERROR_ARGUMENT", Class::Bug, 1, REPORT),
    Row("MAIN_CONTROLLER_22001", Class::Bug, 1, REPORT),
    Row("22002", Class::Operator, 60, OLD_PORTAL),
    Row("ERROR_CORE", Class::RetryBounded, 1, LOOK),
    Row("INTERNAL_SERVER_ERROR", Class::Retry, 1, NONE),
    Row("ERROR_UNEXPECTED_ANSWER", Class::Retry, 1, NONE),
    Row("INTERNAL_WRONG_TRANSPORT", Class::Operator, 5, BROKEN),
    Row("INTERNAL_WRONG_HANDLER_CLASS", Class::Operator, 5, BROKEN),
    Row("WRONG_ENCODING", Class::RetryBounded, 1, Hint::same("the portal cannot encode one of its events")),
    Row("ERROR_MANIFEST_IS_NOT_AVAILABLE", Class::Bug, 1, REPORT),
    Row("INVALID_AUTHENTICATION", Class::Operator, 1, AUTHORISE),
    Row("INVALID_HTTP_METHOD", Class::Bug, 1, REPORT),
    Row("BOT_TOKEN_NOT_SPECIFIED", Class::Bug, 1, BOT_KEYS),
    Row("CLIENT_ID_NOT_SPECIFIED", Class::Bug, 1, BOT_KEYS),
    Row("BOT_ID_REQUIRED", Class::Bug, 1, BOT_KEYS),
    Row("PARAMS_REQUIRED", Class::Bug, 1, BOT_KEYS),
    Row("BOT_NOT_FOUND", Class::Operator, 1, Hint::same("the bot is gone: register it again and correct `bot_id`")),
    Row("BOT_OWNERSHIP_ERROR", Class::Operator, 1, Hint { webhook: "the bot's token has changed or it is another's bot: correct `bot_token`", oauth: "the bot belongs to another application" }),
    Row("SCOPE_ERROR", Class::Operator, 1, SCOPE),
    Row("USER_NOT_SUBSCRIBED", Class::Unsubscribed, 1, Hint::same("run `b24relay subscribe SOURCE`: somebody keeps ending the subscription")),
    Row("AUTH_ERROR", Class::Operator, 1, AUTHORISE),
];

/// The verdict on an error response.
///
/// It depends on `code` in any letter case, then on the HTTP `status`, and on `description` only where a row
/// of the table names it. `has_sessid` means that the body has a `sessid` key.
pub(crate) fn of_error(code: &str, status: u16, description: &str, has_sessid: bool) -> Verdict {
    // The check of a browser session has failed, so the request contained parameters of such a session.
    let is_session_check = has_sessid
        && ["ACCESS_DENIED", "SESSION_FAILED"].iter().any(|session| session.eq_ignore_ascii_case(code));
    if is_session_check || (code == "100" && description.contains("parameter {")) {
        return Verdict::new(Class::Bug, REPORT);
    }
    Row::find(CODES, code).unwrap_or(match status {
        500.. => Verdict::new(Class::Retry, NONE),
        _ => Verdict::new(Class::RetryBounded, LOOK),
    })
}

/// The verdict on a response without a usable JSON body, by its HTTP status.
pub(crate) fn of_status(status: u16) -> Verdict {
    let (class, hint) = match status {
        // An overloaded gateway is treated as if it had reported the rate limit.
        429 | 503 => (Class::Rate, ""),
        500..=599 | 408 => (Class::Retry, ""),
        300..=399 => (
            Class::Operator,
            "a login page of the network or a maintenance page? b24relay goes on by itself when it is gone; if it stays, check the address: only a portal's redirect to its new name is followed",
        ),
        401 | 403 => (
            Class::Operator,
            "a firewall, a proxy or a closed portal answered: ask its administrator; b24relay goes on by itself when that is over",
        ),
        404 => (
            Class::Operator,
            "a web server or balancer without the portal? b24relay goes on by itself when it is back; if it stays, check the address",
        ),
        407 => (Class::Operator, "correct the user name and the password of the proxy in the environment"),
        _ => (
            Class::RetryBounded,
            "something else than the portal answered: a login or maintenance page? b24relay goes on by itself when that is over",
        ),
    };
    Verdict::soon(class, Hint::same(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(code: &str, status: u16, description: &str) -> Class {
        of_error(code, status, description, false).class
    }

    #[test]
    fn a_code_is_known_in_any_letter_case_and_with_any_status() {
        for status in [200, 401, 403, 429, 503] {
            assert_eq!(class("query_limit_exceeded", status, ""), Class::Rate);
            assert_eq!(class("Expired_Token", status, ""), Class::Refresh);
            assert_eq!(class("INVALID_CREDENTIALS", status, ""), Class::Operator);
        }
    }

    #[test]
    fn numeric_codes_are_no_verdict_but_a_named_parameter_is() {
        for code in ["100", "0", "400", "", "NEVER_SEEN"] {
            assert_eq!(class(code, 400, "JSON error"), Class::RetryBounded, "{code}");
            assert_eq!(class(code, 500, ""), Class::Retry, "{code}");
        }
        assert_eq!(class("100", 400, "Invalid value for parameter {offset}"), Class::Bug);
    }

    #[test]
    fn a_session_check_is_our_mistake_but_a_stray_sessid_is_not() {
        assert_eq!(of_error("access_denied", 401, "", true).class, Class::Bug);
        assert_eq!(of_error("ACCESS_DENIED", 401, "", false).class, Class::Operator);
        assert_eq!(of_error("CONNECTION_ERROR", 401, "", true).class, Class::Retry);
    }

    #[test]
    fn every_operator_row_says_what_to_do() {
        for Row(code, class, probe, hint) in CODES {
            let needs_a_person = !matches!(class, Class::Retry | Class::Rate | Class::OpWait);
            assert_eq!(needs_a_person, !hint.webhook.is_empty() && !hint.oauth.is_empty(), "{code}");
            assert_eq!(*code, code.to_ascii_uppercase());
            assert!((1..=60).contains(probe), "{code}");
        }
    }

    #[test]
    fn a_page_instead_of_an_answer_is_judged_by_its_status() {
        for (statuses, class) in [
            (vec![200, 400], Class::RetryBounded),
            (vec![301, 302, 401, 403, 404], Class::Operator),
            (vec![429, 503], Class::Rate),
            (vec![408, 500, 502, 504], Class::Retry),
        ] {
            for status in statuses {
                assert_eq!(of_status(status).class, class, "{status}");
            }
        }
    }
}
