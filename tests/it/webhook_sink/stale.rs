//! Connections that are closed while idle, at the same time as a request, or that carry more bytes than an answer. The
//! receiver implements HTTP by hand. The first connection is never used again, because nothing is known about the
//! receiver.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::portal::sandbox::Portal;
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;

/// The number of the connection for each request.
type Requests = Arc<Mutex<Vec<usize>>>;

/// A receiver that closes connections instead of answering the requests that `is_dropped` selects by their number.
async fn start(is_dropped: fn(usize) -> bool) -> (SocketAddr, Requests) {
    start_with(move |number| if is_dropped(number) { &[] } else { &[GOOD] }).await
}

const GOOD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// A receiver that answers each request, by its number, with these writes; without any it closes the connection.
async fn start_with(
    answer: impl Fn(usize) -> &'static [&'static str] + Send + Sync + Copy + 'static,
) -> (SocketAddr, Requests) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Requests::default();
    let noted = requests.clone();
    tokio::spawn(async move {
        for connection in 1.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream, connection, noted.clone(), answer));
        }
    });
    (address, requests)
}

async fn serve(
    mut stream: TcpStream,
    connection: usize,
    requests: Requests,
    answer: impl Fn(usize) -> &'static [&'static str],
) {
    stream.set_nodelay(true).unwrap();
    while read_request(&mut stream).await {
        let number = {
            let mut requests = requests.lock().unwrap();
            requests.push(connection);
            requests.len()
        };
        let writes = answer(number);
        for text in writes {
            stream.write_all(text.as_bytes()).await.ok();
            tokio::task::yield_now().await;
        }
        if writes.is_empty() {
            return;
        }
    }
}

/// Reads a whole request with its body.
async fn read_request(stream: &mut TcpStream) -> bool {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).to_lowercase();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
            if read.len() >= head.len() + 4 + length {
                return true;
            }
        }
        if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
            return false;
        }
    }
}

fn setup(portal: &Portal, address: SocketAddr) -> Setup {
    // A failed attempt is not retried within this test.
    Setup::new().with_source(portal).with(&format!(
        "[sinks.crm]\ntype = \"webhook\"\nurl = \"http://{address}/\"\nretry = {{ min = \"1h\", max = \"1h\" }}"
    ))
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_replaced_at_once_and_counts_as_nothing() {
    let portal = Portal::start().await;
    let (address, requests) = start(|number| number == 3).await;
    let setup = setup(&portal, address);
    let mut relay = setup.run();
    portal.record(1, 1).await;
    until("the first is delivered", async || setup.lane_of("crm").await["delivered"] == 1).await;
    portal.record(1, 1).await;
    until("the second is delivered", async || setup.lane_of("crm").await["delivered"] == 2).await;
    portal.record(1, 1).await;
    until("the third has come to an end", async || {
        let lane = setup.lane_of("crm").await;
        lane["delivered"] == 3 || lane["state"] != "flowing"
    })
    .await;
    assert_eq!(*requests.lock().unwrap(), [1, 2, 2, 3], "{}", relay.log());
    assert_eq!(setup.lane_of("crm").await["state"], "flowing");
    assert!(!relay.log().contains("attempt="), "{}", relay.log());
    relay.stop().await;
}

#[tokio::test]
async fn a_receiver_that_closes_new_connections_too_is_asked_once_more_and_no_further() {
    let portal = Portal::start().await;
    let (address, requests) = start(|number| number >= 3).await;
    let setup = setup(&portal, address);
    let mut relay = setup.run();
    portal.record(1, 1).await;
    until("the first is delivered", async || setup.lane_of("crm").await["delivered"] == 1).await;
    portal.record(1, 1).await;
    until("the second is delivered", async || setup.lane_of("crm").await["delivered"] == 2).await;
    portal.record(1, 1).await;
    let trouble = setup.trouble_of("crm", "retrying").await;
    assert!(trouble.contains("no answer"), "{trouble}");
    assert_eq!(*requests.lock().unwrap(), [1, 2, 2, 3], "{}", relay.log());
    // A new connection carries no second request.
    relay.signal(rustix::process::Signal::HUP);
    until("another attempt", async || requests.lock().unwrap().len() > 4).await;
    relay.until_logged("attempt=2").await;
    assert_eq!(*requests.lock().unwrap(), [1, 2, 2, 3, 4], "{}", relay.log());
    relay.stop().await;
}

#[tokio::test]
async fn a_receiver_that_announces_a_body_where_there_is_none_gets_each_event_once_and_no_connection_twice() {
    for answer in [
        &["HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\n", "{}"] as &[&str],
        &["HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n", "2\r\n{}\r\n0\r\n\r\n"],
        &["HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n{}"],
    ] {
        let portal = Portal::start().await;
        let (address, requests) = start_with(move |_| answer).await;
        let setup = setup(&portal, address).with("concurrency = 8");
        let mut relay = setup.run();
        portal.record(1, 40).await;
        until("all are delivered", async || setup.lane_of("crm").await["delivered"] == 40).await;
        relay.stop().await;
        let mut connections = requests.lock().unwrap().clone();
        assert_eq!(connections.len(), 40, "{}", relay.log());
        connections.sort_unstable();
        connections.dedup();
        assert_eq!(connections.len(), 40, "a connection was used twice");
        let told = relay.log().matches("this host sends bytes after the end of its answers").count();
        assert_eq!(told, 1, "{}", relay.log());
    }
}

#[tokio::test]
async fn stray_bytes_on_a_connection_that_is_used_again_are_named_and_from_then_on_none_is() {
    let portal = Portal::start().await;
    let stray: &[&str] = &["{}HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"];
    let (address, requests) = start_with(move |number| if number == 3 { stray } else { &[GOOD] }).await;
    let setup = setup(&portal, address);
    let mut relay = setup.run();
    for delivered in 1..=2 {
        portal.record(1, 1).await;
        until("it is delivered", async || setup.lane_of("crm").await["delivered"] == delivered).await;
    }
    portal.record(1, 1).await;
    let trouble = setup.trouble_of("crm", "retrying").await;
    assert!(trouble.contains("sent bytes after its answer on a reused connection"), "{trouble}");
    relay.signal(rustix::process::Signal::HUP);
    until("it is delivered after all", async || setup.lane_of("crm").await["delivered"] == 3).await;
    portal.record(1, 1).await;
    until("one more", async || setup.lane_of("crm").await["delivered"] == 4).await;
    assert_eq!(*requests.lock().unwrap(), [1, 2, 2, 3, 4], "{}", relay.log());
    relay.stop().await;
}
