//! Times in response headers: `Retry-After` and `Date`.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// The longest accepted `Retry-After`, so that an error of the other side cannot stop requests for a day.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// `Retry-After` as a date or in seconds, with fractions rounded up; at most an hour. Unreadable values and
/// negative numbers are ignored.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let texts = headers.get_all(RETRY_AFTER).iter().filter_map(|value| value.to_str().ok());
    let delay = texts.map(str::trim).find_map(|text| seconds(text).or_else(|| until(text)));
    delay.map(|delay| delay.min(RETRY_AFTER_MAX))
}

/// `Date`: the clock of the other side, in Unix milliseconds.
pub fn date_ms(headers: &HeaderMap) -> Option<i64> {
    let at = date(headers.get(DATE)?.to_str().ok()?.trim())?;
    Some(Timestamp::try_from(at).ok()?.as_millisecond())
}

fn seconds(text: &str) -> Option<Duration> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds: f64 = text.parse().ok().filter(|_| is_plain)?;
    Some(Duration::try_from_secs_f64(seconds.ceil()).unwrap_or(Duration::MAX))
}

fn until(text: &str) -> Option<Duration> {
    Some(date(text)?.duration_since(SystemTime::now()).unwrap_or_default())
}

/// Parses the three formats of RFC 9110, 5.6.7, and the date format of e-mail, in which some servers write
/// the zone as `+0000`.
fn date(text: &str) -> Option<SystemTime> {
    let of_mail = || rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?.try_into().ok();
    httpdate::parse_http_date(text).ok().or_else(of_mail)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn given(text: &str) -> Option<Duration> {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(text).unwrap())]);
        retry_after(&headers)
    }

    #[test]
    fn retry_after_is_read_in_every_form_and_bounded() {
        for (text, seconds) in [
            ("7", 7),
            ("  7\t ", 7),
            ("0", 0),
            ("007", 7),
            ("1.5", 2),
            ("0.01", 1),
            ("2.0", 2),
            ("86400", 3600),
            ("99999999999999999999", 3600),
            (&"9".repeat(400), 3600),
            ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
            ("Wednesday, 21-Oct-15 07:28:00 GMT", 0),
            ("Wed Oct 21 07:28:00 2015", 0),
            ("Sun Nov  6 08:49:37 1994", 0),
            ("Fri, 01 Jan 2100 00:00:00 GMT", 3600),
            ("Thursday, 01-Jan-60 00:00:00 GMT", 3600),
            ("Fri Jan  1 00:00:00 2100", 3600),
            ("Fri, 01 Jan 2100 00:00:00 +0000", 3600),
        ] {
            assert_eq!(given(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["-1", "-1.5", "", "   ", "soon", ".", "1.2.3", "inf", "NaN", "1e3", "5 s"] {
            assert_eq!(given(text), None, "{text}");
        }
    }

    #[test]
    fn the_first_value_that_can_be_read_counts() {
        let values = ["soon", "9", "7"].map(|text| (RETRY_AFTER, HeaderValue::from_static(text)));
        let mut headers = HeaderMap::new();
        for (name, value) in values {
            headers.append(name, value);
        }
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(9)));
    }
}
