//! The exit code and the hint for a refusal by the portal, the same for all commands.
//!
//! A command with better advice puts it into the refusal ([`CallError::advising`]). The exit code is decided only here,
//! so that a refusal has the same exit code in every command.

use std::borrow::Cow;

use b24_client::{CallError, Class};

use crate::cli::exit_code::Exit;
use crate::human::span;

/// The codes that are more specific than their class.
const BY_CODE: [(&str, Exit); 8] = [
    // A mistake in the command line.
    ("ERROR_EVENT_NOT_FOUND", Exit::Usage),
    // A mistake in the configuration: an address without HTTPS.
    ("INVALID_REQUEST", Exit::Config),
    // A bot's secret is missing or belongs to another bot.
    ("BOT_TOKEN_NOT_SPECIFIED", Exit::Refused),
    ("CLIENT_ID_NOT_SPECIFIED", Exit::Refused),
    ("BOT_ID_REQUIRED", Exit::Refused),
    ("BOT_ID_ERROR", Exit::Refused),
    ("APP_ID_ERROR", Exit::Refused),
    // The portal refuses the request.
    ("WRONG_REQUEST", Exit::Refused),
];

const BUSY: &str = "the portal refuses calls because there were too many: run the command again in a minute. The daemon \
                    and other applications behind the same address share the limit";
const OUT_OF_REACH: &str = "run the command again in a few minutes. If it fails again, check that the portal is up and \
                            that this machine reaches it";

/// The longest time for which the portal blocks a method, in seconds (PORTAL.md 7).
const OPERATING_MAX: u64 = 600;

/// The exit code of a command after this refusal.
pub(in crate::cli) fn exit(refusal: &CallError) -> Exit {
    let code = refusal.code().unwrap_or_default();
    let known = BY_CODE.iter().find(|(known, _)| known.eq_ignore_ascii_case(code));
    known.map_or_else(|| by_class(refusal), |(_, exit)| *exit)
}

fn by_class(refusal: &CallError) -> Exit {
    match refusal.class {
        // An HTML page, a redirect or a certificate error says nothing about the credential.
        Class::Operator if !refusal.is_refusal() && !refusal.is_ours() => Exit::Unavailable,
        Class::Operator | Class::Refresh | Class::Unsubscribed => Exit::Refused,
        Class::Bug => Exit::Internal,
        Class::Retry | Class::RetryBounded | Class::Rate | Class::OpWait | Class::TooLarge => {
            Exit::Unavailable
        }
    }
}

/// What the operator can do.
pub(in crate::cli) fn hint(refusal: &CallError) -> Cow<'_, str> {
    if !refusal.hint.is_empty() {
        return refusal.hint.as_ref().into();
    }
    match refusal.class {
        Class::Rate => BUSY.into(),
        Class::OpWait => {
            let seconds = refusal.wait.map_or(OPERATING_MAX, |wait| wait.as_secs() + 1);
            let wait = span(seconds.try_into().unwrap_or(i64::MAX));
            let text = "the portal blocks this method for a while because its calls took too long";
            format!("{text}: run the command again in {wait}").into()
        }
        _ => OUT_OF_REACH.into(),
    }
}

/// Whether the portal's plan does not allow the call. Another login or more rights would not help.
pub(in crate::cli) fn is_about_plan(refusal: &CallError) -> bool {
    let code = refusal.code().unwrap_or_default();
    if ["WRONG_LICENSE", "PAYMENT_REQUIRED"].iter().any(|plan| plan.eq_ignore_ascii_case(code)) {
        return true;
    }
    let text = refusal.to_string().to_lowercase();
    ["subscription", "commercial", "license", "licence", "tariff"].iter().any(|word| text.contains(word))
}
