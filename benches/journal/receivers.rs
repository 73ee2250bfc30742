//! Misbehaving receivers, which live as long as this process.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::requests::body_length;

/// How long a changing receiver takes to answer a request that it accepts.
pub(crate) const ACCEPT_TIME: Duration = Duration::from_millis(2);

/// The address of a receiver that accepts connections and never answers.
pub(crate) fn hanging() -> String {
    let (listener, url) = listen();
    // Kept, because dropped connections would be closed.
    thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    url
}

/// Rejects every event for good, until it is switched to accept them.
pub(crate) struct Changing {
    pub url: String,
    accepts: Arc<AtomicBool>,
}

impl Changing {
    pub(crate) fn start() -> Self {
        let (listener, url) = listen();
        let accepts = Arc::<AtomicBool>::default();
        let shared = Arc::clone(&accepts);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, accepts) = (stream.unwrap(), Arc::clone(&shared));
                thread::spawn(move || answer_all(stream, &accepts));
            }
        });
        Self { url, accepts }
    }

    pub(crate) fn accept(&self) {
        self.accepts.store(true, Ordering::Relaxed);
    }
}

fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    (listener, url)
}

/// Answers until the connection ends or breaks: a replay may be killed.
fn answer_all(mut stream: TcpStream, accepts: &AtomicBool) {
    stream.set_nodelay(true).unwrap();
    let mut requests = BufReader::new(stream.try_clone().unwrap());
    let mut body = Vec::new();
    while let Some(length) = body_length(&mut requests) {
        body.resize(length, 0);
        if requests.read_exact(&mut body).is_err() {
            return;
        }
        let answer: &[u8] = if accepts.load(Ordering::Relaxed) {
            thread::sleep(ACCEPT_TIME);
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        } else {
            b"HTTP/1.1 422 No\r\nwebhook-delivery: abort-message\r\nContent-Length: 0\r\n\r\n"
        };
        if stream.write_all(answer).is_err() {
            return;
        }
    }
}
