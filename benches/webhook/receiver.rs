//! A slow receiver that records the times of the first request and of the last answer.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::requests::body_length;

/// Serves until the process ends.
pub(crate) struct Receiver {
    pub url: String,
    log: Arc<Mutex<Log>>,
}

/// The record of a receiver.
#[derive(Clone, Copy, Default)]
pub(crate) struct Log {
    pub requests: u32,
    pub connections: u32,
    first: Option<Instant>,
    last: Option<Instant>,
}

impl Log {
    /// The time from the first request to the last answer.
    pub(crate) fn elapsed(&self) -> Duration {
        self.last.unwrap() - self.first.unwrap()
    }
}

impl Receiver {
    pub(crate) fn start(latency: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let log = Arc::<Mutex<Log>>::default();
        let shared = Arc::clone(&log);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, log) = (stream.unwrap(), Arc::clone(&shared));
                log.lock().unwrap().connections += 1;
                thread::spawn(move || answer_all(stream, &log, latency));
            }
        });
        Self { url, log }
    }

    pub(crate) fn log(&self) -> Log {
        *self.log.lock().unwrap()
    }
}

fn answer_all(mut stream: TcpStream, log: &Mutex<Log>, latency: Duration) {
    stream.set_nodelay(true).unwrap();
    let mut requests = BufReader::new(stream.try_clone().unwrap());
    let mut body = Vec::new();
    while let Some(length) = body_length(&mut requests) {
        let arrived = Instant::now();
        body.resize(length, 0);
        requests.read_exact(&mut body).unwrap();
        thread::sleep(latency.saturating_sub(arrived.elapsed()));
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        let mut log = log.lock().unwrap();
        log.requests += 1;
        log.first.get_or_insert(arrived);
        log.last = Some(Instant::now());
    }
}
