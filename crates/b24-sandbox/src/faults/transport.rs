//! Responses that fail in transport: closed connections, wrong lengths, slow bytes.
//!
//! If a body fails, hyper drops the connection with all bytes that it has not written yet. So a cut body
//! waits briefly until its last bytes are sent; otherwise nothing of the response would arrive.

use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use axum::http::{HeaderValue, Response};
use futures_util::stream::{self, StreamExt as _};
use tokio_util::sync::CancellationToken;

use crate::wire::envelope::Answer;

/// How long the last bytes before a cut may take to be sent.
const LEAVE: Duration = Duration::from_millis(30);

/// The interval between writes of a slow body.
const DRIP: Duration = Duration::from_millis(50);

/// The longest delay of a response, whatever the script says.
const HOLD_MAX: Duration = Duration::from_secs(3600);

/// The difference between a wrong Content-Length and the length of the body.
const OVERSTATEMENT: usize = 64;

/// The connection closes without a byte.
pub(crate) fn closed() -> Response<Body> {
    Response::new(Body::from_stream(stream::iter([Err::<Bytes, _>(cut_off())])))
}

/// Sends the first `length` bytes of the body, then closes the connection.
pub(crate) fn cut(answer: Answer, length: usize) -> Response<Body> {
    answer.map(|body| failing_after(body.slice(..length.min(body.len()))))
}

/// Sends the whole body with a larger Content-Length, then closes the connection.
pub(crate) fn overstated(answer: Answer) -> Response<Body> {
    let length = HeaderValue::from(answer.body().len() + OVERSTATEMENT);
    let mut response = answer.map(failing_after);
    response.headers_mut().insert(CONTENT_LENGTH, length);
    response
}

/// The body as truncated gzip, in a complete HTTP message.
pub(crate) fn cut_gzip(answer: Answer) -> Response<Body> {
    let mut response = answer.map(|body| Body::from(half_a_gzip(&body)));
    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response
}

/// Sends the response after `seconds`, or not at all if the sandbox stops first.
pub(crate) async fn late(answer: Answer, seconds: f64, stop: &CancellationToken) -> Response<Body> {
    match stop.run_until_cancelled(tokio::time::sleep(duration(seconds))).await {
        Some(()) => answer.map(Body::from),
        None => closed(),
    }
}

/// Sends the body at `bytes_per_second`. It is cut off when the sandbox stops.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a saturated number of bytes is the whole body"
)]
pub(crate) fn drip(answer: Answer, bytes_per_second: f64, stop: &CancellationToken) -> Response<Body> {
    // Slow bodies are sent byte by byte at longer intervals, fast ones with several bytes at a time.
    let size = ((bytes_per_second * DRIP.as_secs_f64()) as usize).max(1);
    let pause = DRIP.max(duration(bytes_per_second.recip()));
    let stop = stop.clone();
    answer.map(|body| {
        Body::from_stream(stream::unfold((body, stop), move |(mut rest, stop)| async move {
            if rest.is_empty() {
                return None;
            }
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return Some((Err(cut_off()), (Bytes::new(), stop)));
            }
            let drop = rest.split_to(size.min(rest.len()));
            Some((Ok(drop), (rest, stop)))
        }))
    })
}

fn failing_after(bytes: Bytes) -> Body {
    let failure = stream::once(async {
        tokio::time::sleep(LEAVE).await;
        Err(cut_off())
    });
    Body::from_stream(stream::iter([Ok(bytes)]).chain(failure))
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "cut off by the fault script")
}

/// Converts seconds from a script; zero if negative or not a number.
fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(HOLD_MAX).min(HOLD_MAX)
}

/// A gzip header (RFC 1952) and half of one stored block (RFC 1951, 3.2.4), which needs no compressor.
fn half_a_gzip(body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
    let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    gzip.push(0);
    gzip.extend_from_slice(&length.to_le_bytes());
    gzip.extend_from_slice(&(!length).to_le_bytes());
    gzip.extend_from_slice(&body[..usize::from(length) / 2]);
    gzip
}
