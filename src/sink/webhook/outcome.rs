//! Maps the status of a response to an outcome: one table, plus the operator's settings.

use crate::config::{Outcome, OutcomesConfig};

/// The outcome of a response with `status`. An event is never given up unless the status is known to be a
/// refusal of the event itself.
pub(super) fn outcome(status: u16, overrides: &OutcomesConfig) -> Outcome {
    overrides.of(status).unwrap_or(match status {
        200..=299 => Outcome::Delivered,
        410 => Outcome::Paused,
        400 | 406 | 411 | 413 | 414 | 415 | 422 | 431 | 501 | 505 => Outcome::Rejected,
        408 | 425 | 429 | 500..=599 => Outcome::Transient,
        // Redirects are not followed. The other 4xx mean a problem with the address, the permission or the
        // agreement. A final 1xx and statuses above 599 are not from a valid HTTP receiver.
        _ => Outcome::Held,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REJECTED: [u16; 10] = [400, 406, 411, 413, 414, 415, 422, 431, 501, 505];

    #[test]
    fn every_status_there_can_be_has_its_outcome() {
        let overrides = OutcomesConfig::default();
        let mut counts = [0; 5];
        for status in 100..=999 {
            let expected = if REJECTED.contains(&status) {
                Outcome::Rejected
            } else if status == 410 {
                Outcome::Paused
            } else if status / 100 == 2 {
                Outcome::Delivered
            } else if status / 100 == 5 || [408, 425, 429].contains(&status) {
                Outcome::Transient
            } else {
                Outcome::Held
            };
            assert_eq!(outcome(status, &overrides), expected, "{status}");
            counts[expected as usize] += 1;
        }
        assert_eq!(counts, [100, 101, 10, 688, 1], "delivered, transient, rejected, held, paused");
    }
}
