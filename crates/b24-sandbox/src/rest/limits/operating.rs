//! The operating limiter: execution seconds of each credential and method, in ten buckets of a minute each
//! (PORTAL.md 7).

use std::collections::{BTreeMap, VecDeque};

use crate::rest::credential::Auth;
use crate::rest::method::Method;
use crate::rest::outcome::OperatingTime;
use crate::rest::outcome::WINDOW_S;

/// The time that one bucket covers.
const BUCKET_S: i64 = 60;

/// Calls that take at most this long are not counted.
const FLOOR_S: f64 = 0.1;

/// A credential, webhook or application, and a method.
type Spender = (Auth, Method);

/// The recent operating time of all credentials.
#[derive(Debug, Default)]
pub(crate) struct Operating(BTreeMap<Spender, VecDeque<Bucket>>);

#[derive(Debug)]
struct Bucket {
    /// The time of its first call.
    first_s: i64,
    /// The total time of its calls.
    spent_s: f64,
}

impl Operating {
    /// True if a call of `method` by `credential` is within `limit_s`.
    pub(crate) fn admits(&mut self, credential: &Auth, method: Method, limit_s: f64, now_s: i64) -> bool {
        self.spent(credential, method, now_s).operating_s <= limit_s
    }

    /// Counts a call that took `seconds`.
    pub(crate) fn count(&mut self, credential: &Auth, method: Method, seconds: f64, now_s: i64) {
        if seconds <= FLOOR_S {
            return;
        }
        let buckets = self.0.entry((credential.clone(), method)).or_default();
        let minute = |second: i64| second.div_euclid(BUCKET_S);
        match buckets.back_mut().filter(|last| minute(last.first_s) == minute(now_s)) {
            Some(last) => last.spent_s += seconds,
            None => buckets.push_back(Bucket { first_s: now_s, spent_s: seconds }),
        }
    }

    /// The operating time of `method` for `credential` within the window that ends at `now_s`.
    pub(crate) fn spent(&mut self, credential: &Auth, method: Method, now_s: i64) -> OperatingTime {
        let spender = (credential.clone(), method);
        let Some(buckets) = self.0.get_mut(&spender) else { return OperatingTime::none(now_s) };
        // If the clock was set back, there are buckets in the future, which do not count.
        buckets.retain(|bucket| bucket.first_s <= now_s && now_s < bucket.first_s + WINDOW_S);
        let Some(oldest) = buckets.front() else { return OperatingTime::none(now_s) };
        let reset_at_s = oldest.first_s + WINDOW_S;
        OperatingTime { operating_s: buckets.iter().map(|bucket| bucket.spent_s).sum(), reset_at_s }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 60_000;

    fn webhook(code: &str) -> Auth {
        Auth::Webhook { code: code.into() }
    }

    fn spent(operating: &mut Operating, now_s: i64) -> (f64, i64) {
        let operating_time = operating.spent(&webhook("code"), Method::Get, now_s);
        (operating_time.operating_s, operating_time.reset_at_s)
    }

    #[test]
    fn buckets_add_up_and_drop_out_one_by_one() {
        let mut operating = Operating::default();
        operating.count(&webhook("code"), Method::Get, 2.0, NOW + 10);
        operating.count(&webhook("code"), Method::Get, 3.0, NOW + 59);
        operating.count(&webhook("code"), Method::Get, 4.0, NOW + 60);
        assert_eq!(spent(&mut operating, NOW + 60), (9.0, NOW + 610));
        assert_eq!(spent(&mut operating, NOW + 609), (9.0, NOW + 610));
        assert_eq!(spent(&mut operating, NOW + 610), (4.0, NOW + 660));
        assert_eq!(spent(&mut operating, NOW + 660), (0.0, NOW + 1260));
    }

    #[test]
    fn short_calls_are_free() {
        let mut operating = Operating::default();
        operating.count(&webhook("code"), Method::Get, 0.1, NOW);
        assert_eq!(spent(&mut operating, NOW), (0.0, NOW + 600));
        operating.count(&webhook("code"), Method::Get, 0.25, NOW);
        assert_eq!(spent(&mut operating, NOW), (0.25, NOW + 600));
    }

    #[test]
    fn only_more_than_the_limit_is_too_much() {
        let mut operating = Operating::default();
        operating.count(&webhook("code"), Method::Get, 5.0, NOW);
        assert!(operating.admits(&webhook("code"), Method::Get, 5.0, NOW));
        operating.count(&webhook("code"), Method::Get, 0.5, NOW);
        assert!(!operating.admits(&webhook("code"), Method::Get, 5.0, NOW));
        assert!(operating.admits(&webhook("other"), Method::Get, 5.0, NOW), "another credential");
        assert!(operating.admits(&webhook("code"), Method::Profile, 5.0, NOW), "another method");
        assert!(operating.admits(&webhook("code"), Method::Get, 5.0, NOW + 600));
    }
}
