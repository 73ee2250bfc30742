//! What a receiver answered: a verdict on the events that were posted, and its words as far as they may be kept.

use reqwest::{Response, StatusCode};

use super::DeliverError;
use super::hidden::Hidden;
use crate::config::WebhookConfig;
use crate::foreign_text::{beginning, plain, without, without_torn};
use crate::http_client;

/// How much of an answer is read, so that the connection can serve again.
const READ_MAX: usize = 64 * 1024;

/// How much of it a dead letter keeps.
const ANSWER_MAX: usize = 4 * 1024;

/// What a status says about the event that was posted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Delivered,
    /// It may well be taken in a moment.
    Transient,
    /// It will never be taken as it is.
    Rejected,
    /// Something is wrong with us or the receiver, not with the event.
    Held,
}

impl Verdict {
    fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            200..=299 => Self::Delivered,
            400 | 406 | 411 | 413 | 414 | 415 | 422 | 431 | 501 | 505 => Self::Rejected,
            408 | 425 | 429 | 500..=599 => Self::Transient,
            _ => Self::Held,
        }
    }
}

/// Reads answers of one receiver.
pub(super) struct Judge {
    authority: String,
    secrets: Hidden,
}

impl Judge {
    pub(super) fn new(config: &WebhookConfig, secrets: Hidden) -> Self {
        Self { authority: config.url.authority(), secrets }
    }

    /// What `response` means for the events that were posted.
    pub(super) async fn judge(&self, response: Response) -> Result<(), DeliverError> {
        let status = response.status();
        let wait = http_client::retry_after(response.headers());
        // The verdict stands with the status line, whatever becomes of the rest.
        let (body, is_cut) = http_client::read_beginning(response, READ_MAX).await;
        let reason = format!("{} answered {status}", self.authority);
        match Verdict::of(status) {
            Verdict::Delivered => Ok(()),
            Verdict::Transient => Err(DeliverError::Transient { reason, wait }),
            Verdict::Rejected => {
                let answer = self.presentable(&body, is_cut);
                Err(DeliverError::Rejected { reason, status: Some(status.as_u16()), answer })
            }
            Verdict::Held if status.is_redirection() => Err(DeliverError::Held {
                reason: format!("{reason}: redirects are not followed, correct `url`"),
            }),
            Verdict::Held => {
                Err(DeliverError::Held { reason: format!("{reason}: correct the receiver or `url`") })
            }
        }
    }

    /// The receiver's words without our secrets, as much of them as is kept.
    fn presentable(&self, body: &[u8], is_cut: bool) -> String {
        let secrets = self.secrets.expose();
        let secrets = || secrets.iter().map(String::as_str);
        let text = without(&String::from_utf8_lossy(body), secrets());
        let text = if is_cut { without_torn(&text, secrets()) } else { text };
        beginning(&plain(&text), ANSWER_MAX).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SecretUrl;

    fn judge(url: &str) -> Judge {
        let config = WebhookConfig::of(SecretUrl::parse(url).unwrap());
        Judge::new(&config, Hidden::of(&config))
    }

    #[test]
    fn what_is_kept_of_an_answer_shows_no_secret_wherever_it_is_cut() {
        let judge = judge("http://127.0.0.1/hook/s3cr3tc0de?token=0therm4rk");
        let (code, mark) = ("s3cr3tc0de", "0therm4rk");
        for shift in [ANSWER_MAX, READ_MAX] {
            for at in shift - 40..=shift {
                let body = format!("{}{code} {mark} \u{1b}[2J", "я".repeat(at / 2));
                let (body, is_cut) = (&body.as_bytes()[..body.len().min(READ_MAX)], body.len() > READ_MAX);
                let answer = judge.presentable(body, is_cut);
                assert!(answer.len() <= ANSWER_MAX && !answer.contains('\u{1b}'));
                assert!(!answer.contains("s3c") && !answer.contains("0th"), "{at}: {answer}");
            }
        }
    }

    #[test]
    fn where_secrets_shrink_the_end_of_what_was_read_comes_into_sight() {
        let code = "s3cr3tc0de".repeat(500);
        let judge = judge(&format!("http://127.0.0.1/{code}"));
        let body = code.repeat(READ_MAX / code.len() + 1);
        let answer = judge.presentable(&body.as_bytes()[..READ_MAX], true);
        assert_eq!(answer, "***".repeat(READ_MAX / code.len()));
    }

    #[test]
    fn an_answer_that_is_no_text_is_kept_as_far_as_it_is() {
        assert_eq!(judge("http://127.0.0.1/").presentable(b"no\xff \0way\r\n", false), "no\u{fffd}  way  ");
    }
}
