//! What a caller does after a refusal: PORTAL.md section 6 as a table.

/// What the caller does next. Matched on by the relay's pace and by the commands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// The same call again, after a growing delay.
    Retry,
    /// As [`Class::Retry`], but when it keeps coming, as [`Class::Operator`].
    RetryBounded,
    /// Slow the whole portal down, then the same call again.
    Rate,
    /// Wait until the portal's operating time for this method has run down.
    OpWait,
    /// Refresh the token once, then the same call once; impossible with a webhook.
    Refresh,
    /// A person must act: leave the source alone but for slow probes.
    Operator,
    /// The request itself is wrong: this program or its version does not fit the portal.
    Bug,
    /// The answer is over our size cap: ask for fewer events.
    TooLarge,
}

/// One row of the table: an error code, its class, and what a person can do.
struct Row(&'static str, Class, &'static str);

const LOOK: &str = "look at the portal's answer above, then at the portal's own logs";
const RECREATE: &str = "create the incoming webhook again (portal: Developer resources, scope `im`) and put its URL into the source";
const PLAN: &str = "see to the portal's subscription: its plan does not include REST for this account";
const REPORT: &str = "this looks like a defect of b24relay or an unknown portal version: please report it";
const REINSTALL: &str = "install the application on the portal again";

/// Every code of PORTAL.md section 6 that needs no table of its own; upper case.
#[rustfmt::skip]
const CODES: &[Row] = &[
    Row("QUERY_LIMIT_EXCEEDED", Class::Rate, ""),
    Row("OPERATION_TIME_LIMIT", Class::OpWait, ""),
    Row("OVERLOAD_LIMIT", Class::Operator, "ask the portal's support to lift the block on REST"),
    Row("EXPIRED_TOKEN", Class::Refresh, RECREATE),
    Row("INVALID_TOKEN", Class::Refresh, RECREATE),
    Row("NO_AUTH_FOUND", Class::Operator, "check that the webhook URL is complete"),
    Row("INVALID_CREDENTIALS", Class::Operator, RECREATE),
    Row("INSUFFICIENT_SCOPE", Class::Operator, "edit the incoming webhook and tick the scope `im`"),
    Row("USER_ACCESS_ERROR", Class::Operator, "let the webhook's owner use the application"),
    Row("AUTHORIZATION_ERROR", Class::Operator, "the webhook's owner is dismissed or inactive: create the webhook as another user"),
    Row("APPLICATION_NOT_FOUND", Class::Operator, REINSTALL),
    Row("ERROR_OAUTH", Class::Operator, REINSTALL),
    Row("NOT_INSTALLED", Class::Operator, REINSTALL),
    Row("PAYMENT_REQUIRED", Class::Operator, PLAN),
    Row("CONNECTION_ERROR", Class::Retry, ""),
    Row("METHOD_CONFIRM_WAITING", Class::Operator, "an administrator of the portal must approve the call"),
    Row("METHOD_CONFIRM_DENIED", Class::Operator, "an administrator of the portal refused the call"),
    Row("ACCESS_DENIED", Class::Operator, PLAN),
    Row("WRONG_AUTH_TYPE", Class::Operator, "this method does not take a webhook's credential"),
    Row("WRONG_LICENSE", Class::Operator, PLAN),
    Row("ALLOWED_ONLY_INTRANET_USER", Class::Operator, "the webhook's owner must not be an extranet user"),
    Row("INVALID_REQUEST", Class::Bug, "the portal wants https: check the URL, and that a proxy before the portal hands the scheme on"),
    Row("ERROR_METHOD_NOT_FOUND", Class::Operator, "the portal is too old for `im.v2.Event.*`: update it"),
    Row("PORTAL_DELETED", Class::Operator, "the portal is closed or gone; polling goes on by itself when it is back"),
    Row("ERROR_BATCH_METHOD_NOT_ALLOWED", Class::Bug, REPORT),
    Row("ERROR_BATCH_LENGTH_EXCEEDED", Class::Bug, REPORT),
    Row("ERROR_ARGUMENT", Class::Bug, REPORT),
    Row("MAIN_CONTROLLER_22001", Class::Bug, REPORT),
    Row("22002", Class::Operator, "the portal is too old for `im.v2.Event.*`: update it"),
    Row("ERROR_CORE", Class::RetryBounded, LOOK),
    Row("INTERNAL_SERVER_ERROR", Class::Retry, ""),
    Row("ERROR_UNEXPECTED_ANSWER", Class::Retry, ""),
    Row("INTERNAL_WRONG_TRANSPORT", Class::Operator, "the portal is broken: ask its administrator"),
    Row("INTERNAL_WRONG_HANDLER_CLASS", Class::Operator, "the portal is broken: ask its administrator"),
    Row("WRONG_ENCODING", Class::RetryBounded, "the portal cannot encode one of its events"),
    Row("ERROR_MANIFEST_IS_NOT_AVAILABLE", Class::Bug, REPORT),
    Row("INVALID_AUTHENTICATION", Class::Operator, RECREATE),
    Row("INVALID_HTTP_METHOD", Class::Bug, REPORT),
    Row("BOT_TOKEN_NOT_SPECIFIED", Class::Bug, REPORT),
    Row("CLIENT_ID_NOT_SPECIFIED", Class::Bug, REPORT),
    Row("BOT_ID_REQUIRED", Class::Bug, REPORT),
    Row("PARAMS_REQUIRED", Class::Bug, REPORT),
    Row("BOT_NOT_FOUND", Class::Operator, "the bot is gone or its token has changed"),
    Row("BOT_OWNERSHIP_ERROR", Class::Operator, "the bot belongs to another application"),
    Row("SCOPE_ERROR", Class::Operator, "edit the incoming webhook and tick the scope `im`"),
    Row("USER_NOT_SUBSCRIBED", Class::Operator, "run `b24relay subscribe`: somebody ended the subscription"),
    Row("AUTH_ERROR", Class::Operator, RECREATE),
];

/// The class of an error answer, and what a person can do about it (empty when nobody needs to).
///
/// Decided by `code` in any letter case, then by the HTTP `status`; `description` only where a row of
/// the table names it. `has_sessid` tells of a `sessid` key in the body.
pub fn of_error(code: &str, status: u16, description: &str, has_sessid: bool) -> (Class, &'static str) {
    if has_sessid {
        // A browser session's check answered: the request carried what it must not carry.
        return (Class::Bug, REPORT);
    }
    if code == "100" && description.contains("parameter {") {
        return (Class::Bug, REPORT);
    }
    let row = CODES.iter().find(|row| row.0.eq_ignore_ascii_case(code));
    match row {
        Some(Row(_, class, cure)) => (*class, *cure),
        None if status >= 500 => (Class::Retry, ""),
        None => (Class::RetryBounded, LOOK),
    }
}

/// The class of an answer without a usable JSON body, by its HTTP status.
pub fn of_status(status: u16) -> (Class, &'static str) {
    match status {
        // A gateway that is overwhelmed is treated as if it had named the limit.
        429 | 503 => (Class::Rate, ""),
        500..=599 | 408 => (Class::Retry, ""),
        300..=399 => (Class::Operator, "check the address: the portal sends its callers elsewhere"),
        401 | 403 => (Class::Operator, "a firewall or a closed portal answered: ask its administrator"),
        404 => (Class::Operator, "check the address: no portal answered there"),
        _ => (Class::RetryBounded, "something else than the portal answered: a login or maintenance page?"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_known_in_any_letter_case_and_with_any_status() {
        for status in [200, 401, 403, 429, 503] {
            assert_eq!(of_error("query_limit_exceeded", status, "", false).0, Class::Rate);
            assert_eq!(of_error("Expired_Token", status, "", false).0, Class::Refresh);
            assert_eq!(of_error("INVALID_CREDENTIALS", status, "", false).0, Class::Operator);
        }
    }

    #[test]
    fn numeric_codes_are_no_verdict_but_a_named_parameter_is() {
        for code in ["100", "0", "400", "", "NEVER_SEEN"] {
            assert_eq!(of_error(code, 400, "JSON error", false).0, Class::RetryBounded, "{code}");
            assert_eq!(of_error(code, 500, "", false).0, Class::Retry, "{code}");
        }
        assert_eq!(of_error("100", 400, "Invalid value for parameter {offset}", false).0, Class::Bug);
    }

    #[test]
    fn every_operator_row_says_what_to_do() {
        for Row(code, class, cure) in CODES {
            let needs_a_person = !matches!(class, Class::Retry | Class::Rate | Class::OpWait);
            assert_eq!(needs_a_person, !cure.is_empty(), "{code}");
            assert_eq!(*code, code.to_ascii_uppercase());
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
                assert_eq!(of_status(status).0, class, "{status}");
            }
        }
    }
}
