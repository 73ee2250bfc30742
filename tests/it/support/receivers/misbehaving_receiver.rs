//! A receiver on raw TCP: it reads requests correctly, and answers them with a scripted misbehaviour.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::interval;

/// The end of the connection after the scripted bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Close,
    /// Shuts down its sending side, and continues to read.
    HalfClose,
    /// Leaves the connection open without sending.
    Silence,
    Reset,
    /// Sends these bytes again and again, as fast as possible.
    Flood(&'static [u8]),
    /// Sends these bytes again and again, one at a time with a pause before each.
    Drip(&'static [u8]),
}

/// The answer to a request.
#[derive(Clone, Debug)]
pub(crate) struct Misdeed {
    /// Whether it answers before the body of the request is read.
    pub is_early: bool,
    pub head: Vec<u8>,
    pub end: End,
}

impl Misdeed {
    pub(crate) fn new(head: impl AsRef<[u8]>, end: End) -> Self {
        Self { is_early: false, head: head.as_ref().to_vec(), end }
    }

    pub(crate) fn early(head: impl AsRef<[u8]>, end: End) -> Self {
        Self { is_early: true, ..Self::new(head, end) }
    }
}

#[derive(Clone, Default)]
struct Shared {
    misdeed: Arc<Mutex<Option<Misdeed>>>,
    /// The event of each request, and whether it got a correct answer.
    requests: Arc<Mutex<Vec<(u64, bool)>>>,
    /// How often the client closed the connection during a flood or a drip.
    given_up: Arc<Mutex<usize>>,
}

pub(crate) struct MisbehavingReceiver {
    pub address: SocketAddr,
    shared: Shared,
}

impl MisbehavingReceiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, shared) = (listener.local_addr().unwrap(), Shared::default());
        let theirs = shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, theirs.clone()));
            }
        });
        Self { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hooks/b24", self.address)
    }

    /// From now on answers like this; with `None`, with a correct 200.
    pub(crate) fn misbehave(&self, misdeed: Option<Misdeed>) {
        *self.shared.misdeed.lock().unwrap() = misdeed;
    }

    /// The event of each request so far, and whether it got a correct answer.
    pub(crate) fn requests(&self) -> Vec<(u64, bool)> {
        self.shared.requests.lock().unwrap().clone()
    }

    pub(crate) fn requests_of(&self, id: u64) -> usize {
        self.requests().into_iter().filter(|(event_id, _)| *event_id == id).count()
    }

    pub(crate) fn given_up(&self) -> usize {
        *self.shared.given_up.lock().unwrap()
    }
}

/// Reads the head of a request and the received part of its body; `None` if the connection ends before.
async fn read_head(stream: &mut TcpStream) -> Option<(usize, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            return Some((length.unwrap(), bytes.split_off(end + 4)));
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

async fn serve(mut stream: TcpStream, shared: Shared) -> Option<()> {
    let (length, mut body) = read_head(&mut stream).await?;
    let misdeed = shared.misdeed.lock().unwrap().clone();
    let early = misdeed.as_ref().filter(|misdeed| misdeed.is_early);
    if let Some(misdeed) = early {
        stream.write_all(&misdeed.head).await.ok()?;
    }
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    let event: Value = serde_json::from_slice(&body).unwrap();
    shared.requests.lock().unwrap().push((event["eventId"].as_u64().unwrap(), misdeed.is_none()));
    let Some(misdeed) = misdeed else {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return stream.write_all(answer).await.ok();
    };
    if !misdeed.is_early {
        stream.write_all(&misdeed.head).await.ok()?;
    }
    end(stream, misdeed.end, &shared).await
}

async fn end(mut stream: TcpStream, end: End, shared: &Shared) -> Option<()> {
    let mut rest = Vec::new();
    match end {
        End::Close => stream.shutdown().await.ok()?,
        End::HalfClose => {
            stream.shutdown().await.ok()?;
            stream.read_to_end(&mut rest).await.ok()?;
        }
        End::Silence => {
            stream.read_to_end(&mut rest).await.ok()?;
        }
        End::Reset => {
            stream.set_zero_linger().ok()?;
        }
        End::Flood(bytes) => {
            while stream.write_all(bytes).await.is_ok() {}
            *shared.given_up.lock().unwrap() += 1;
        }
        End::Drip(bytes) => {
            let mut pace = interval(Duration::from_millis(5));
            for byte in bytes.iter().cycle() {
                pace.tick().await;
                if stream.write_all(&[*byte]).await.is_err() {
                    break;
                }
            }
            *shared.given_up.lock().unwrap() += 1;
        }
    }
    Some(())
}
