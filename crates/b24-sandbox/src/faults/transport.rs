//! Answers that fail on their way: connections that close, lengths that lie, bytes that take their time.
//!
//! hyper drops a connection whose body fails, together with whatever it has not written yet. So a cut
//! body gives its last bytes a moment to leave; one that fails at once leaves no byte of an answer.

use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use axum::http::{HeaderValue, Response};
use futures_util::stream::{self, StreamExt as _};
use tokio_util::sync::CancellationToken;

use crate::wire::envelope::Answer;

/// How long the last bytes before a cut may take to leave.
const LEAVE: Duration = Duration::from_millis(30);

/// How often a dripping body lets something go.
const DRIP: Duration = Duration::from_millis(50);

/// No longer than this is an answer held, whatever the script says.
const HOLD_MAX: Duration = Duration::from_secs(3600);

/// By how much a wrong Content-Length overstates the body.
const OVERSTATEMENT: usize = 64;

/// The connection closes without a byte.
pub fn closed() -> Response<Body> {
    Response::new(Body::from_stream(stream::iter([Err::<Bytes, _>(cut_off())])))
}

/// The first `length` bytes of the body, then the connection closes.
pub fn cut(answer: Answer, length: usize) -> Response<Body> {
    answer.map(|body| failing_after(body.slice(..length.min(body.len()))))
}

/// The whole body under a larger Content-Length, then the connection closes.
pub fn overstated(answer: Answer) -> Response<Body> {
    let length = HeaderValue::from(answer.body().len() + OVERSTATEMENT);
    let mut response = answer.map(failing_after);
    response.headers_mut().insert(CONTENT_LENGTH, length);
    response
}

/// The body as gzip that ends halfway, in a complete HTTP message.
pub fn cut_gzip(answer: Answer) -> Response<Body> {
    let mut response = answer.map(|body| Body::from(half_a_gzip(&body)));
    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response
}

/// The answer after `seconds`; none at all when the sandbox stops first.
pub async fn late(answer: Answer, seconds: f64, stop: &CancellationToken) -> Response<Body> {
    match stop.run_until_cancelled(tokio::time::sleep(duration(seconds))).await {
        Some(()) => answer.map(Body::from),
        None => closed(),
    }
}

/// The body at `bytes_per_second`; it is cut when the sandbox stops.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a saturated number of bytes is the whole body"
)]
pub fn drip(answer: Answer, bytes_per_second: f64, stop: &CancellationToken) -> Response<Body> {
    // Slow bodies drip byte by byte at a longer pace, fast ones several bytes at a time.
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

/// What a script calls seconds: none when negative or no number.
fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(HOLD_MAX).min(HOLD_MAX)
}

/// A gzip header (RFC 1952) and half of one stored block (RFC 1951, 3.2.4): it needs no compressor.
fn half_a_gzip(body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
    let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    gzip.push(0);
    gzip.extend_from_slice(&length.to_le_bytes());
    gzip.extend_from_slice(&(!length).to_le_bytes());
    gzip.extend_from_slice(&body[..usize::from(length) / 2]);
    gzip
}
