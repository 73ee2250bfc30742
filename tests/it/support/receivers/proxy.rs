//! A real proxy for one test, for CONNECT and for plain requests. It records its requests, and resolves every name that
//! ends with `.test` to one address.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

pub(crate) struct Proxy {
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// `refusal` is a status line that it answers instead.
    pub(crate) async fn start(tests: SocketAddr, refusal: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let noted = heads.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, tests, refusal, noted.clone()));
            }
        });
        Self { address, heads }
    }

    /// The heads of the first requests on each connection.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    tests: SocketAddr,
    refusal: Option<&str>,
    heads: Arc<Mutex<Vec<String>>>,
) {
    let mut read = Vec::new();
    while !read.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let text = String::from_utf8_lossy(&read).into_owned();
    let is_tunnel = text.starts_with("CONNECT ");
    let target = text.split(' ').nth(1).unwrap_or_default();
    let authority = target.trim_start_matches("http://").split('/').next().unwrap_or_default().to_owned();
    heads.lock().unwrap().push(text);
    if let Some(status) = refusal {
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.ok();
        return;
    }
    let host = authority.split(':').next().unwrap_or_default();
    let address = if host.rsplit('.').next() == Some("test") { tests.to_string() } else { authority };
    let Ok(mut other) = TcpStream::connect(address).await else { return };
    if is_tunnel {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok();
    } else {
        other.write_all(&read).await.ok();
    }
    copy_bidirectional(&mut stream, &mut other).await.ok();
}
