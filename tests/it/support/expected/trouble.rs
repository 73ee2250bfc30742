//! Random faults of the portal and of the receiver.

use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use crate::support::receivers::receiver::Answer;

/// A temporary fault in one of the portal's next answers to `user`.
pub(crate) fn of_portal(dice: &mut StdRng, user: u64) -> Value {
    let mut fault = match dice.random_range(0..9) {
        0 => json!({"kind": "error", "status": 503, "code": "QUERY_LIMIT_EXCEEDED"}),
        1 => json!({"kind": "error", "status": 500, "code": "INTERNAL_SERVER_ERROR"}),
        2 => json!({"kind": "html", "status": 502}),
        3 => json!({"kind": "close_before"}),
        4 => json!({"kind": "close_after"}),
        5 => json!({"kind": "wrong_length"}),
        6 => json!({"kind": "gzip_cut"}),
        7 => json!({"kind": "stall", "seconds": 0.05}),
        _ => json!({"kind": "truncate", "at": dice.random_range(0.0..1.0)}),
    };
    fault["user"] = user.into();
    fault["skip"] = dice.random_range(0..8).into();
    fault
}

/// The receiver's next answers, mostly good ones.
pub(crate) fn of_receiver(dice: &mut StdRng) -> Vec<Answer> {
    let well = dice.random_range(0..20);
    let badly = match dice.random_range(0..21) {
        0..5 => Answer::Status(500),
        5..10 => Answer::Status(503),
        10..15 => Answer::Status(429),
        15..20 => Answer::Close,
        _ => Answer::Hang,
    };
    std::iter::repeat_n(Answer::Status(200), well).chain([badly]).collect()
}
